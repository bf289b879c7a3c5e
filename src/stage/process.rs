//! The daemon in a process of its own, and a client of its API: what an escrow backend has.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::StageError;

/// Migrating and opening the embedded Postgres takes seconds on a slow disk; a minute is a failure.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A daemon process. Killed when it is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    api: Api,
}

/// A client of the API.
#[derive(Debug, Clone)]
pub struct Api {
    pub base: String,
    key: String,
    client: reqwest::Client,
}

impl Daemon {
    /// Starts `binary run --config CONFIG`; the log goes to `log`. Returns when it answers.
    pub async fn start(binary: &Path, config: &Path, log: &Path, api: Api) -> Result<Self, StageError> {
        let child = spawn(binary, config, log)?;
        let mut daemon = Self { child, binary: binary.into(), config: config.into(), log: log.into(), api };
        daemon.answers().await?;
        Ok(daemon)
    }

    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// `kill -9`, as a crash would.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Asks it to stop, and waits; its exit code.
    pub async fn stop(&mut self) -> Result<Option<i32>, StageError> {
        if let Some(pid) =
            self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)
                .map_err(|error| StageError::because("stopping the daemon", error))?;
        }
        let status = self.child.wait().await.map_err(|error| StageError::because("stopping the daemon", error))?;
        Ok(status.code())
    }

    /// What `explain` says of a transaction, an address or an id: the command, run as a person would.
    pub async fn explain(&self, subject: &str) -> Result<Value, StageError> {
        let mut command = command(&self.binary);
        command.arg("--config").arg(&self.config).args(["--json", "explain", subject]).stdin(Stdio::null());
        let answer = command.output().await.map_err(|error| StageError::because("explain does not start", error))?;
        let said = String::from_utf8_lossy(&answer.stdout);
        serde_json::from_str(&said).map_err(|error| {
            let also = String::from_utf8_lossy(&answer.stderr);
            StageError(format!("explain {subject}: {}: {error}: {said}{also}", answer.status))
        })
    }

    /// Whether the process is gone.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Starts it again with the same configuration.
    pub async fn restart(&mut self) -> Result<(), StageError> {
        self.child = spawn(&self.binary, &self.config, &self.log)?;
        self.answers().await
    }

    async fn answers(&mut self) -> Result<(), StageError> {
        let ready = async {
            loop {
                if let Ok(Some(status)) = self.child.try_wait() {
                    let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                    let end: Vec<&str> = log.lines().rev().take(8).collect();
                    let end: Vec<&str> = end.into_iter().rev().collect();
                    return Err(StageError(format!("the daemon ended with {status}:\n{}", end.join("\n"))));
                }
                if self.api.get("/healthz").await.is_ok() {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_WITHIN, ready).await.map_err(|_| {
            StageError(format!("the daemon does not answer within {READY_WITHIN:?}; see {}", self.log.display()))
        })?
    }
}

fn spawn(binary: &Path, config: &Path, log: &Path) -> Result<Child, StageError> {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
    let file = file.map_err(|error| StageError::because(&log.display().to_string(), error))?;
    let again = file.try_clone().map_err(|error| StageError::because("the log", error))?;
    command(binary)
        .args(["run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::from(file))
        .stderr(Stdio::from(again))
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| StageError::because("the daemon does not start", error))
}

/// The binary, which is told nothing but its arguments.
fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    // What this machine sets for a daemon of its own is not meant for the play's.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AMN_")) {
        command.env_remove(name);
    }
    command
}

impl Api {
    /// A client for `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: impl Into<String>, key: impl Into<String>) -> Result<Self, StageError> {
        let client = super::client()?;
        Ok(Self { base: base.into(), key: key.into(), client })
    }

    pub async fn get(&self, path: &str) -> Result<Value, StageError> {
        self.ask(self.client.get(format!("{}{path}", self.base)), path).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, StageError> {
        let request = self.client.post(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.ask(request.body(body.to_string()), path).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value, StageError> {
        let request = self.client.put(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.ask(request.body(body.to_string()), path).await
    }

    /// Asks for something that needs no body.
    pub async fn ask_for(&self, path: &str) -> Result<Value, StageError> {
        self.ask(self.client.post(format!("{}{path}", self.base)), path).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder, path: &str) -> Result<Value, StageError> {
        let answer = request.bearer_auth(&self.key).send().await;
        let answer = answer.map_err(|error| StageError::because(path, error.without_url()))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| StageError::because(path, error.without_url()))?;
        if !status.is_success() {
            return Err(StageError(format!("{path}: {status}: {text}")));
        }
        if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))) }
    }

    /// An endpoint for a tenant's events; its secret.
    pub async fn endpoint(&self, tenant: Option<&str>, url: &str) -> Result<String, StageError> {
        let made = self.post("/v1/webhook-endpoints", json!({"tenant": tenant, "url": url})).await?;
        made["secret"].as_str().map(str::to_owned).ok_or_else(|| StageError(format!("no secret in {made}")))
    }
}
