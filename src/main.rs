//! The command line of amn-scanner.

use std::process::ExitCode;

use amn_scanner::config::{Config, environment_variables};
use amn_scanner::{daemon, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("demo") {
        let keep = std::env::args().any(|argument| argument == "--keep");
        let played = async { amn_scanner::demo::run(amn_scanner::demo::Wishes::usual(keep)?).await };
        return match played.await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(1)
            }
        };
    }
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
