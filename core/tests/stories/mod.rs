//! Payments as a merchant lives them: a chain, what happens on it, and exactly what is heard.

mod chain;
mod contracts;
mod payments;
mod stage;
mod takebacks;
