//! Invented ledgers with true hashes, signed by an invented validator: for tests and benchmarks.
