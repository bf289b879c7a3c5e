//! The figures: scale, catching up, requests, latency, the CPU of a webhook, Stellar's ledgers, and TON after an outage,
//! each printed with what was wanted of it.
//!
//! `figures PART [quick]`, where PART is one of `scale`, `catch-up`, `requests`, `latency`, `stellar`, `ton`; run by `./bench`, which keeps what they
//! print. Lines that begin with `figure:` are the ones to remember. Nothing here is a test: clocks of shared machines
//! are no judges. Ratios are taken within one run; absolutes belong to the machine.

mod bare;
mod catching_up;
mod chain;
mod ground;
mod latency;
mod meter;
mod node;
mod requests;
mod scale;
mod stellar;
mod ton;

use std::process::ExitCode;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The sizes of the goals.
    Full,
    /// Small: shows that the benchmarks work, not what the figures are.
    Quick,
}

impl Size {
    /// One of two numbers.
    pub fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

fn main() -> ExitCode {
    // Cargo hands its own flags to every benchmark.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let size = if words.contains(&"quick") { Size::Quick } else { Size::Full };
    if let ["node", folder, delay] = words.as_slice() {
        return node::serve(folder.as_ref(), delay.parse().unwrap_or(0));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    amn_rpc::install_crypto();
    if let ["stellar-nodes", ledgers] = words.as_slice() {
        return runtime.block_on(stellar::serve(ledgers.parse().unwrap_or(0)));
    }
    runtime.block_on(async {
        match words.first() {
            Some(&"scale") => scale::run(size).await,
            Some(&"catch-up") => catching_up::run(size).await,
            Some(&"requests") => requests::run(size).await,
            Some(&"latency") => latency::run(size).await,
            Some(&"stellar") => stellar::run(size).await,
            Some(&"ton") => ton::run(size).await,
            _ => {
                eprintln!("usage: figures scale|catch-up|requests|latency|stellar|ton [quick]");
                return ExitCode::from(2);
            }
        }
        ExitCode::SUCCESS
    })
}

/// Prints a figure with its goal and whether it was met.
pub fn figure(what: &str, value: &str, goal: Option<(&str, bool)>) {
    match goal {
        Some((goal, met)) => {
            println!("figure: {what}: {value} (goal {goal}: {})", if met { "met" } else { "MISSED" });
        }
        None => println!("figure: {what}: {value}"),
    }
}
