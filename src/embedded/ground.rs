//! The ground a private Postgres stands on: its folders, its user, its locks.
//!
//! Postgres refuses to run as root. A daemon that is root gives the cluster to `postgres`, or to `nobody`. That user
//! must be able to walk to it; below `/root` it cannot, and then the cluster lies in [`REACHABLE`] instead.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tracing::info;

use super::{EmbeddedError, PORT, broken};

/// Where clusters lie whose own folder no unprivileged user can reach.
const REACHABLE: &str = "/var/lib/amn-scanner";
/// What a socket's address holds on Linux (108 with its end); macOS holds 103.
const SOCKET_PATH_BYTES_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// Whom the server runs as, where that is not ourselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Debug)]
pub(super) struct Ground {
    pub root: PathBuf,
    pub data: PathBuf,
    pub socket_dir: PathBuf,
    pub user: Option<User>,
}

impl Ground {
    /// Makes the folders, and finds out who may own them.
    pub fn prepare(data_dir: &Path) -> Result<Self, EmbeddedError> {
        let asked = std::path::absolute(data_dir).map_err(|error| broken("cannot name", data_dir, &error))?;
        let user = if rustix::process::geteuid().is_root() { Some(unprivileged()?) } else { None };
        let mut root = asked.clone();
        fs::create_dir_all(&root).map_err(|error| broken("cannot make", &root, &error))?;
        if let Some(user) = &user
            && let Some(closed) = closed_to(user, &root)
        {
            root = Path::new(REACHABLE).join(print_of(&asked));
            info!(
                "the private Postgres lies in {}: its user {} may not walk through {}",
                root.display(),
                user.name,
                closed.display()
            );
            fs::create_dir_all(&root).map_err(|error| broken("cannot make", &root, &error))?;
            if let Some(closed) = closed_to(user, &root) {
                return Err(EmbeddedError::Ground(format!(
                    "the user {} that Postgres runs as may not walk through {}: allow it (chmod o+x), or set \
                     database.data_dir to a folder it can reach",
                    user.name,
                    closed.display()
                )));
            }
        }
        let data = root.join("data");
        let mut ground = Self { socket_dir: data.clone(), root, data, user };
        if ground.socket_file().as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            ground.socket_dir = std::env::temp_dir().join(format!("amn-{}", print_of(&ground.root)));
            if ground.socket_file().as_os_str().len() > SOCKET_PATH_BYTES_MAX {
                ground.socket_dir = PathBuf::from(format!("/tmp/amn-{}", print_of(&ground.root)));
            }
            ground.make_private_or_check(&ground.socket_dir)?;
        }
        Ok(ground)
    }

    pub fn socket_lock(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{PORT}.lock"))
    }

    pub fn socket_file(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{PORT}"))
    }

    pub fn users_file(&self) -> PathBuf {
        self.root.join("users")
    }

    /// The version that made the cluster, where there is one.
    pub fn made_by(&self) -> Result<Option<u32>, EmbeddedError> {
        let file = self.data.join("PG_VERSION");
        match fs::read_to_string(&file) {
            Ok(text) => text
                .trim()
                .parse()
                .map(Some)
                .map_err(|_| EmbeddedError::Ground(format!("{} does not hold a Postgres version", file.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.data.exists() => Ok(None),
            Err(error) => Err(broken("this is no Postgres cluster: cannot read", &file, &error)),
        }
    }

    /// Held by whoever makes, starts or stops the server.
    pub fn lock_starting(&self, within: Duration) -> Result<File, EmbeddedError> {
        let path = self.root.join("starting");
        let file = open_lock(&path)?;
        let began = Instant::now();
        // Ends: when the lock is ours, when it cannot be had, or when its owner takes too long.
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if began.elapsed() < within => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => return Err(EmbeddedError::Busy(self.root.display().to_string())),
                Err(TryLockError::Error(error)) => return Err(broken("cannot lock", &path, &error)),
            }
        }
    }

    /// Our share in the server. Taken while `starting` is ours, so nobody can be asking whether he is the last.
    pub fn lock_users(&self) -> Result<File, EmbeddedError> {
        let path = self.users_file();
        let file = open_lock(&path)?;
        file.lock_shared().map_err(|error| broken("cannot lock", &path, &error))?;
        Ok(file)
    }

    /// Makes a folder that only the server's user may enter.
    pub fn make_private(&self, path: &Path) -> Result<(), EmbeddedError> {
        fs::DirBuilder::new().mode(0o700).create(path).map_err(|error| broken("cannot make", path, &error))?;
        self.give(path)
    }

    /// The same for a folder in a place open to all: somebody else may have made it to listen in our stead.
    fn make_private_or_check(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Ok(found) = fs::symlink_metadata(path) else { return self.make_private(path) };
        let owner = self.user.as_ref().map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid);
        if found.is_dir() && found.uid() == owner && found.permissions().mode() & 0o777 == 0o700 {
            return Ok(());
        }
        Err(EmbeddedError::Ground(format!("{} is not ours, or open to others: remove it", path.display())))
    }

    /// Gives a path to the server's user.
    pub fn give(&self, path: &Path) -> Result<(), EmbeddedError> {
        let Some(user) = &self.user else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .map_err(|error| broken("cannot give to the server's user:", path, &error))
    }

    /// The server's log, begun anew where it has grown too long.
    pub fn server_log(&self, bytes_max: u64) -> Result<PathBuf, EmbeddedError> {
        let path = self.root.join("server.log");
        let is_long = fs::metadata(&path).is_ok_and(|found| found.len() > bytes_max);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| broken("cannot write", &path, &error))?;
        if is_long {
            file.set_len(0).map_err(|error| broken("cannot shorten", &path, &error))?;
        }
        self.give(&path)?;
        Ok(path)
    }

    pub fn server_log_end(&self, characters_max: usize) -> String {
        File::open(self.root.join("server.log"))
            .map_or_else(|_| String::new(), |mut file| end_of(&mut file, characters_max))
    }
}

fn open_lock(path: &Path) -> Result<File, EmbeddedError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    file.map_err(|error| broken("cannot open", path, &error))
}

/// A short name for a path, the same at every start.
fn print_of(path: &Path) -> String {
    hex::encode(&Sha256::digest(path.as_os_str().as_encoded_bytes())[..6])
}

/// Whom to run the server as when we are root.
fn unprivileged() -> Result<User, EmbeddedError> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    ["postgres", "nobody"].iter().find_map(|name| user_of(&passwd, name)).ok_or_else(|| {
        EmbeddedError::Ground(
            "Postgres does not run as root, and this machine has neither a user postgres nor nobody".to_owned(),
        )
    })
}

fn user_of(passwd: &str, name: &str) -> Option<User> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (uid != 0).then(|| User { name: name.to_owned(), uid, gid })
}

/// The first folder on the way that the user may not walk through.
fn closed_to(user: &User, path: &Path) -> Option<PathBuf> {
    let mut way: Vec<_> = path.ancestors().collect();
    way.reverse();
    let is_closed = |dir: &&Path| {
        fs::metadata(dir).map_or(true, |found| {
            let mode = found.permissions().mode();
            let bit = if found.uid() == user.uid {
                0o100
            } else if found.gid() == user.gid {
                0o010
            } else {
                0o001
            };
            mode & bit == 0
        })
    };
    way.into_iter().find(is_closed).map(Path::to_owned)
}

/// Whether the process is a Postgres that stands in this cluster: after a restart of the machine its number may be
/// anybody's.
pub(super) fn is_postgres_of(pid: u32, data: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    if !Path::new("/proc/self").exists() {
        // No /proc (macOS): a process of that number must do.
        let alive = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        return alive.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
    }
    let is_dead = fs::read_to_string(process.join("stat")).is_ok_and(|stat| {
        // The state stands behind the name, which may hold anything, in brackets.
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
    });
    // The server works in its cluster; where another user's process hides its folder, its name must do.
    let named = fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == "postgres");
    let stands_here = fs::read_link(process.join("cwd")).map_or(named, |cwd| cwd == *data);
    named && stands_here && !is_dead
}

/// A nameless file for what a program prints: one handle to read it, one to hand over.
pub(super) fn scratch() -> io::Result<(File, File)> {
    let number = std::process::id();
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for attempt in 0..1_000 {
        let path = std::env::temp_dir().join(format!("amn-output-{number}-{attempt}"));
        match OpenOptions::new().read(true).append(true).create_new(true).open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                let twin = file.try_clone()?;
                return Ok((file, twin));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The last characters of a file, on one line.
pub(super) fn end_of(file: &mut File, characters_max: usize) -> String {
    let mut bytes = Vec::new();
    let length = file.seek(SeekFrom::End(0)).unwrap_or(0);
    let start = length.saturating_sub(characters_max as u64);
    if file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes)).is_err() {
        return "its output cannot be read".to_owned();
    }
    String::from_utf8_lossy(&bytes)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_user_is_postgres_and_never_root() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/x\npostgres:x:101:104::/v:/b\nfake:x:0:0::/:/\n";
        assert_eq!(user_of(passwd, "postgres").map(|user| (user.uid, user.gid)), Some((101, 104)));
        assert_eq!(user_of(passwd, "fake"), None);
        assert_eq!(user_of(passwd, "post"), None);
    }

    #[test]
    fn the_first_closed_folder_on_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let inner = dir.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let stranger = User { name: "stranger".to_owned(), uid: 4_294_000_000, gid: 4_294_000_000 };
        assert_eq!(closed_to(&stranger, &inner).as_deref(), Some(dir.path()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(closed_to(&stranger, &inner), None);
    }

    #[test]
    fn a_number_of_another_process_is_not_our_server() {
        assert!(!is_postgres_of(std::process::id(), Path::new("/")));
    }
}
