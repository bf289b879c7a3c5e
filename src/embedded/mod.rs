//! The daemon's own Postgres, for whoever names no `database.url`: made, started, shared and stopped here.
//!
//! Theory of operation. The folder we are given holds `data` (the cluster), `server.log`, and two lock files.
//! - `starting`: held alone by whoever makes, starts or stops the server, so that two daemons never do it at once.
//! - `users`: held shared by every daemon for as long as it lives. The system lets go of it when a daemon dies,
//!   even by kill -9, so "am I the last?" is the question whether it can be held alone.
//!
//! The server is started detached: it outlives a daemon that is killed, and the next one uses it as it stands. Only
//! [`Embedded::stop`] of the last daemon stops it. It listens on no network: its one socket lies in a folder that only
//! its own user (and root) may enter, and that is what guards it, instead of a password.

mod binaries;
mod ground;

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tracing::{info, warn};

use binaries::Binaries;
use ground::Ground;

/// The role and the database, both ours alone.
const NAME: &str = "amn";
/// Names the socket's file; nothing listens on it.
const PORT: u16 = 5432;
/// Making a cluster takes seconds, recovering a large one from its log perhaps minutes.
const READY_WITHIN: Duration = Duration::from_mins(3);
/// How long orphans of a killed server may take to let go of its memory.
const ORPHANS_END_WITHIN: Duration = Duration::from_secs(15);
/// A glance at a log, not an archive.
const SERVER_LOG_BYTES_MAX: u64 = 10 << 20;
/// What of a failed step's output goes into an error: its end says why.
const OUTPUT_CHARACTERS_MAX: usize = 600;

/// Named by what a person must do next.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Install them, or name a database.
    #[error(
        "no Postgres server binaries (14 or newer) on this machine: {0}; or set database.url to a Postgres that runs elsewhere"
    )]
    NotInstalled(String),
    /// Install the version that made the data, or move the data by pg_upgrade.
    #[error(
        "the data in {data} were made by Postgres {made_by}, and this machine has {have}: install version {made_by}, or move the data with pg_upgrade"
    )]
    Version { data: String, made_by: u32, have: String },
    /// Choose another folder, or open this one.
    #[error("{0}")]
    Ground(String),
    /// Look at what it says.
    #[error("{step} failed: {output}")]
    Failed { step: &'static str, output: String },
    /// Wait for the other daemon, or look why it hangs.
    #[error("another daemon has been starting or stopping the Postgres in {0} for too long")]
    Busy(String),
}

fn broken(what: &str, path: &Path, error: &io::Error) -> EmbeddedError {
    EmbeddedError::Ground(format!("{what} {}: {error}", path.display()))
}

/// A private Postgres that runs, and our share in it. Dropping it leaves the server running.
#[derive(Debug)]
pub struct Embedded {
    ground: Ground,
    binaries: Binaries,
    /// Held shared while we live.
    users: File,
}

impl Embedded {
    /// Makes the cluster where there is none, starts the server where none runs, and waits until it answers.
    pub async fn start(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let data_dir = data_dir.to_owned();
        let (embedded, starting) = blocking(move || Self::start_server(&data_dir)).await?;
        embedded.wait_until_ready().await?;
        drop(starting); // Only now may others start or stop.
        Ok(embedded)
    }

    /// How to connect: by the socket, without a password.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.ground.socket_dir)
            .port(PORT)
            .username(NAME)
            .database(NAME)
            .application_name("amn-scanner")
    }

    /// The same as a URL, for tools. It holds no secret.
    #[must_use]
    pub fn url(&self) -> String {
        let dir = self.ground.socket_dir.display().to_string();
        let dir: String = url::form_urlencoded::byte_serialize(dir.as_bytes()).collect();
        format!("postgres://{NAME}@localhost:{PORT}/{NAME}?host={dir}")
    }

    /// Where the cluster lies.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.ground.data
    }

    /// Lets go of the server, and stops it where nobody else uses it. Says whether it did.
    pub async fn stop(self) -> Result<bool, EmbeddedError> {
        blocking(move || {
            let _starting = self.ground.lock_starting(READY_WITHIN)?;
            self.users.unlock().map_err(|error| broken("cannot let go of", &self.ground.users_file(), &error))?;
            if let Err(error) = self.users.try_lock() {
                return match error {
                    TryLockError::WouldBlock => Ok(false), // Another daemon lives on it.
                    TryLockError::Error(error) => Err(broken("cannot lock", &self.ground.users_file(), &error)),
                };
            }
            // Fast: ends what is left of connections. Everything of ours was committed or is rolled back.
            let data = self.ground.data.display().to_string();
            self.server_step("stopping Postgres", "pg_ctl", &["stop", "-D", &data, "-m", "fast", "-w", "-t", "60"])?;
            Ok(true)
        })
        .await
    }

    /// Everything before the server answers. The lock on `starting` is handed out with it.
    fn start_server(data_dir: &Path) -> Result<(Self, File), EmbeddedError> {
        let ground = Ground::prepare(data_dir)?;
        let starting = ground.lock_starting(READY_WITHIN)?;
        let binaries = Binaries::find(ground.made_by()?, &ground.data)?;
        let users = ground.lock_users()?;
        let embedded = Self { ground, binaries, users };
        if !embedded.ground.data.exists() {
            embedded.make_cluster()?;
        }
        if !embedded.is_running()? {
            embedded.configure()?;
            embedded.start_detached()?;
        }
        Ok((embedded, starting))
    }

    /// Makes the cluster beside its place and moves it there when it is whole: a crash half-way leaves nothing that
    /// looks like one.
    fn make_cluster(&self) -> Result<(), EmbeddedError> {
        let unfinished = self.ground.root.join("data.unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|error| broken("cannot remove", &unfinished, &error))?;
        }
        self.ground.make_private(&unfinished)?;
        let path = unfinished.display().to_string();
        info!("making a private Postgres {} in {}", self.binaries.version, self.ground.root.display());
        // Nobody but the owner of the folder reaches the socket, so the socket asks nothing.
        let arguments = ["-D", &path, "-U", NAME, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8"];
        self.server_step("initdb", "initdb", &[&arguments[..], &["--locale=C", "--data-checksums"]].concat())?;
        let main = unfinished.join("postgresql.conf");
        let text = fs::read_to_string(&main).map_err(|error| broken("cannot read", &main, &error))?;
        fs::write(&main, format!("{text}\ninclude_if_exists = 'amn.conf'\n"))
            .map_err(|error| broken("cannot write", &main, &error))?;
        let mut single = self.command("postgres");
        single.args(["--single", "-D", &path, "postgres"]).stdin(Stdio::piped());
        run(single, "making the database", Some(&format!("create database {NAME};\n")))?;
        fs::rename(&unfinished, &self.ground.data).map_err(|error| broken("cannot move", &unfinished, &error))
    }

    /// Writes our settings anew at each start: they belong to this binary, not to the one that made the cluster.
    fn configure(&self) -> Result<(), EmbeddedError> {
        let file = self.ground.data.join("amn.conf");
        let socket_dir = self.ground.socket_dir.display().to_string().replace('\'', "''");
        fs::write(&file, format!("{SETTINGS}unix_socket_directories = '{socket_dir}'\nport = {PORT}\n"))
            .map_err(|error| broken("cannot write", &file, &error))?;
        self.ground.give(&file)
    }

    /// Whether a server of this cluster runs. A stale pid file, whose number now is somebody else's, is removed.
    fn is_running(&self) -> Result<bool, EmbeddedError> {
        let file = self.ground.data.join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&file) else { return Ok(false) };
        let pid = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
        if pid.is_some_and(|pid| ground::is_postgres_of(pid, &self.ground.data)) {
            return Ok(true);
        }
        warn!("removing {}: the server it names is gone", file.display());
        // The socket's lock names the same number. A dead server that nobody has buried yet (a zombie, as under a
        // container's first process that reaps nothing) counts as alive to the next, and would keep it out.
        for file in [file, self.ground.socket_lock(), self.ground.socket_file()] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(broken("cannot remove", &file, &error));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Starts the server in a session of its own, so that neither our end nor Ctrl-C is its end.
    fn start_detached(&self) -> Result<(), EmbeddedError> {
        let log = self.ground.server_log(SERVER_LOG_BYTES_MAX)?;
        let (data, log) = (self.ground.data.display().to_string(), log.display().to_string());
        let began = Instant::now();
        // Ends: on success, on any failure but orphans, and when orphans outlive their time.
        loop {
            let arguments = ["start", "-D", &data, "-l", &log, "-w", "-t", "120"];
            match self.server_step("starting Postgres", "pg_ctl", &arguments) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let end = self.ground.server_log_end(OUTPUT_CHARACTERS_MAX);
                    // Left by a server that was killed: they end by themselves within moments.
                    let orphans = end.contains("shared memory block") && began.elapsed() < ORPHANS_END_WITHIN;
                    if !orphans {
                        let EmbeddedError::Failed { step, output } = error else { return Err(error) };
                        return Err(EmbeddedError::Failed { step, output: format!("{output}; {log} ends: {end}") });
                    }
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
    }

    async fn wait_until_ready(&self) -> Result<(), EmbeddedError> {
        let options = self.options().disable_statement_logging();
        let began = Instant::now();
        loop {
            let answer = match PgConnection::connect_with(&options).await {
                Ok(connection) => connection.close().await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() > READY_WITHIN => {
                    return Err(EmbeddedError::Failed { step: "connecting to Postgres", output: error.to_string() });
                }
                // It recovers, or is about to listen.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn server_step(&self, step: &'static str, program: &str, arguments: &[&str]) -> Result<(), EmbeddedError> {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null());
        run(command, step, None)
    }

    /// A program of the server, run as the server's user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.dir.join(program));
        // Our own folder may be closed to the server's user, and its words must be those we look for.
        command.current_dir("/").env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST");
        if let Some(user) = &self.ground.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

/// Runs a program to its end; what it prints goes into the error.
fn run(mut command: Command, step: &'static str, input: Option<&str>) -> Result<(), EmbeddedError> {
    let failed = |output: String| EmbeddedError::Failed { step, output };
    // A file, not a pipe: the detached server inherits it, and a pipe would stay open for as long as it lives.
    let (mut output, sink) = ground::scratch().map_err(|error| failed(error.to_string()))?;
    let twin = sink.try_clone().map_err(|error| failed(error.to_string()))?;
    command.stdout(sink).stderr(twin);
    let mut child = command.spawn().map_err(|error| {
        let program = command.get_program().display();
        failed(match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("may not run {program} as the server's user ({error}): run the daemon as an ordinary user, or let it change users")
            }
            _ => format!("{program}: {error}"),
        })
    })?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        io::Write::write_all(&mut stdin, text.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    Err(failed(format!("{status}: {}", ground::end_of(&mut output, OUTPUT_CHARACTERS_MAX))))
}

/// Away from the runtime's own threads: these steps wait for processes and locks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, EmbeddedError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(EmbeddedError::Failed { step: "preparing Postgres", output: error.to_string() }),
    }
}

/// The server's settings, each with its reason.
const SETTINGS: &str = "\
# Written by amn-scanner at each start; changes here are lost.
listen_addresses = ''                       # The socket alone.
unix_socket_permissions = 0700              # Its folder says the same.
max_connections = 50                        # Two daemons of 20, and a person with psql.
shared_buffers = '128MB'                    # A guest on the machine; the system's own cache does the rest.
fsync = on                                  # Money: what is committed is on the disk,
synchronous_commit = on                     # before anybody is told.
full_page_writes = on
wal_level = minimal                         # Nobody replicates a private server,
max_wal_senders = 0                         # and half of the log is saved.
max_wal_size = '1GB'
checkpoint_timeout = '15min'                # Fewer whole pages in the log.
checkpoint_completion_target = 0.9
autovacuum_naptime = '10s'                  # Deliveries are updated all the time: small tables are
autovacuum_vacuum_scale_factor = 0.02       # swept often, and their indexes stay small.
autovacuum_analyze_scale_factor = 0.02
autovacuum_vacuum_cost_delay = '1ms'
idle_in_transaction_session_timeout = '60s' # Longer holds back every vacuum; none of ours waits on a stranger.
random_page_cost = 1.1                      # Disks without heads.
jit = off                                   # Short statements: compiling costs more than it saves.
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
log_line_prefix = '%m [%p] '
log_lock_waits = on
log_checkpoints = off
";

#[cfg(test)]
mod tests;
