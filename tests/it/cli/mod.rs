//! The command line as an operator has it: the real binary, on the database of a running daemon.

mod bad_input;
mod commands;
mod explain;
mod recorded;

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The JSON it printed.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        serde_json::from_str(&self.out).unwrap()
    }

    /// Asserts that it did what it was told; what it printed.
    pub fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// Runs the binary with this configuration. Not blocking: the nodes it asks may live in this runtime.
pub async fn amn(config: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amn-scanner"));
    command.args(arguments).arg("--config").arg(config);
    run(command).await
}

pub async fn run(mut command: Command) -> Said {
    command.env("USER", "tester").env_remove("SUDO_USER").stdin(Stdio::null()).kill_on_drop(true);
    let done = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
}
