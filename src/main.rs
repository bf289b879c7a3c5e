//! The command line of amn-scanner.

use std::process::ExitCode;

use amn_scanner::config::{Config, environment_variables};
use amn_scanner::{daemon, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let path = std::env::args().nth(3).map(std::path::PathBuf::from);
    let config = match Config::load(path.as_deref(), environment_variables()) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    let handle = match telemetry::start(&config.log) {
        Ok(h) => h,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(2);
        }
    };
    match daemon::run(config, handle).await {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}
