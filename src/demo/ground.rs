//! What the demo stands on: its folder, its lock, an empty database, and the configuration of the daemon.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::embedded::Embedded;
use crate::stage::StageError;
use crate::stage::anvil::Anvil;
use crate::stage::stellar::{self, Ledgers};
use crate::stage::ton::{self, Face, Shards};

/// The demo's own folder. Held alone while a demo runs: two would pull the database from under each other.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _alone: File,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self, StageError> {
        let path = std::path::absolute(path).map_err(|e| StageError::because("the demo's folder", e))?;
        fs::create_dir_all(&path).map_err(|e| StageError::because(&path.display().to_string(), e))?;
        let lock = path.join("lock");
        let alone = File::create(&lock).map_err(|e| StageError::because(&lock.display().to_string(), e))?;
        match alone.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StageError(format!("another demo runs in {}; wait for it, or end it", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(StageError::because(&lock.display().to_string(), error)),
        }
        // The log of this run, not of all.
        let _ = fs::remove_file(path.join("daemon.log"));
        Ok(Self { path, _alone: alone })
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("postgres")
    }

    pub fn config(&self) -> PathBuf {
        self.path.join("amn-scanner.toml")
    }

    /// The file of an invented network.
    pub fn network(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.toml"))
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("daemon.log")
    }

    fn daemon_id(&self) -> PathBuf {
        self.path.join("daemon.pid")
    }

    /// Remembers the daemon, so that the next demo can end it if this one is killed before it could.
    pub fn remember(&self, daemon: Option<u32>) {
        let _ = match daemon {
            Some(id) => fs::write(self.daemon_id(), id.to_string()),
            None => fs::remove_file(self.daemon_id()),
        };
    }

    /// Ends the daemon of a demo that was killed: it would follow a chain that is gone, and hold its lease.
    pub fn end_orphan(&self) {
        let Ok(text) = fs::read_to_string(self.daemon_id()) else { return };
        let named = fs::read(format!("/proc/{}/cmdline", text.trim())).unwrap_or_default();
        let config = self.config().into_os_string().into_encoded_bytes();
        // The number may be somebody else's by now: only a process with our configuration is ours.
        let ours = named.windows(config.len()).any(|part| part == config);
        if let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw).filter(|_| ours) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        self.remember(None);
    }

    /// Writes the daemon's configuration; only its owner reads it, for it holds a key.
    pub fn configure(&self, text: &str) -> Result<(), StageError> {
        write(&self.config(), text)
    }

    /// Writes the file of an invented network, which the configuration names.
    pub fn describe(&self, name: &str, text: &str) -> Result<(), StageError> {
        write(&self.network(name), text)
    }
}

fn write(path: &Path, text: &str) -> Result<(), StageError> {
    let written = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| StageError::because(&path.display().to_string(), error))
}

/// Takes away what the last demo left. The cluster stays: making it is the slow part.
pub async fn empty(database: &Embedded) -> Result<(), StageError> {
    let failed = |error: sqlx::Error| StageError::because("emptying the demo's database", error);
    let mut db =
        sqlx::PgConnection::connect_with(&database.options().disable_statement_logging()).await.map_err(failed)?;
    for statement in ["drop schema if exists amn cascade", "drop table if exists public._sqlx_migrations"] {
        sqlx::query(statement).execute(&mut db).await.map_err(failed)?;
    }
    db.close().await.map_err(failed)
}

/// What the daemon is told: one chain, two nodes of two operators, three confirmations, everything proven; and the two
/// invented networks.
pub fn config(
    folder: &Folder,
    port: u16,
    key: &str,
    chain: &Anvil,
    usdc: Address,
    ledgers: &Ledgers,
    shards: &Shards,
) -> String {
    let (url, ws) = (chain.url(), chain.ws_url());
    // TOML reads these paths as they are, between apostrophes.
    let database = folder.database().display().to_string();
    format!(
        r#"# Written by the demo at each start.
environment = "development"

[server]
listen = "127.0.0.1:{port}"

[database]
data_dir = '{database}'

[log]
filter = "info,sqlx=warn,amn_scanner=debug"

[webhooks]
allow_insecure_webhooks = true
# The backend lives next door; what a crash cuts off is tried again after six times this.
timeout_ms = 1000

[auth]
operator_key = "{key}"

[networks.devnet]
poll_ms = 200
quiet_poll_ms = 0
require = {{ confirmations = {CONFIRMATIONS}, inclusion = "proven", operators = 2 }}

[[networks.devnet.tokens]]
address = "{usdc}"
symbol = "USDC"
decimals = 6
min_amount = "1"

# One anvil plays both operators here; in earnest these are two companies.
[[networks.devnet.endpoints]]
name = "north"
url = "{url}"
ws = "{ws}"
operator = "north"

[[networks.devnet.endpoints]]
name = "south"
url = "{url}"
ws = "{ws}"
operator = "south"

{stellar}
{ton}"#,
        stellar = stellar(folder, ledgers),
        ton = ton(folder, shards),
    )
}

fn stellar(folder: &Folder, ledgers: &Ledgers) -> String {
    let (name, file, [east, west]) = (stellar::NAME, folder.network(stellar::NAME), ledgers.urls());
    format!(
        r#"# Another family. A closed ledger is final; whether it is the network's is shown by two operators that have it, and
# by validators of two organisations that built on it.
[networks.{name}]
file = '{file}'
poll_ms = 200
quiet_poll_ms = 0
require = {{ inclusion = "proven", operators = 2, attestations = {ATTESTATIONS} }}

[[networks.{name}.endpoints]]
name = "east"
url = "{east}"
operator = "east"

[[networks.{name}.endpoints]]
name = "west"
url = "{west}"
operator = "west"
"#,
        file = file.display(),
    )
}

fn ton(folder: &Folder, shards: &Shards) -> String {
    let (name, file) = (ton::NAME, folder.network(ton::NAME));
    let mut text = format!(
        r#"# And a third. What the masterchain holds is final; a payment is proven by the chain of its account, and two
# operators must have it.
[networks.{name}]
file = '{file}'
poll_ms = 200
quiet_poll_ms = 0
require = {{ confirmations = {TON_CONFIRMATIONS}, inclusion = "proven", operators = 2 }}
"#,
        file = file.display(),
    );
    for Face { name: endpoint, kind, operator, url } in shards.faces() {
        let _ = write!(
            text,
            r#"
[[networks.{name}.endpoints]]
name = "{endpoint}"
kind = "{kind}"
url = "{url}"
operator = "{operator}"
"#
        );
    }
    text
}

/// What the demo asks for before it believes.
pub const CONFIRMATIONS: u64 = 3;

/// What it asks for on Stellar: organisations whose validators have built on the ledger.
pub const ATTESTATIONS: u64 = 2;

/// What it asks for on TON: masterchain blocks, that of the payment the first of them.
pub const TON_CONFIRMATIONS: u64 = 2;
