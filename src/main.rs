//! amn-scanner: the daemon and its command line. The exit code tells the truth: 0 fine, 1 failed, 2 wrong usage
//! or configuration. Read on in `cli`.

mod cli;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cli::main().await
}
