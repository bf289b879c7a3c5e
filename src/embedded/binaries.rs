//! Finds the Postgres server binaries of this machine: the newest, or the version that made the data.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

/// The oldest version we speak to.
const OLDEST: u32 = 14;

/// Where they are, and of what major version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Binaries {
    pub version: u32,
    pub dir: PathBuf,
}

impl Binaries {
    /// `made_by`: the version of the data, where there are any.
    pub fn find(made_by: Option<u32>, data: &Path) -> Result<Self, EmbeddedError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let candidates = std::env::split_paths(&path).chain(usual_places()).chain(told_by_pg_config());
        choose(candidates.filter_map(|dir| at(&dir)).collect(), made_by, data)
    }
}

fn choose(found: BTreeSet<Binaries>, made_by: Option<u32>, data: &Path) -> Result<Binaries, EmbeddedError> {
    let have = found.iter().map(|found| found.version.to_string()).collect::<Vec<_>>().join(", ");
    match made_by {
        None => found.into_iter().rfind(|found| found.version >= OLDEST),
        Some(version) if found.iter().any(|found| found.version >= OLDEST) => {
            let made = found.into_iter().rfind(|found| found.version == version);
            return made.ok_or_else(|| EmbeddedError::Version {
                data: data.display().to_string(),
                made_by: version,
                have,
            });
        }
        Some(_) => None,
    }
    .ok_or_else(|| EmbeddedError::NotInstalled(advice(&fs::read_to_string("/etc/os-release").unwrap_or_default())))
}

/// The binaries in a folder, if all that we need are there. Links are followed: Debian's wrappers in the path have
/// only some of them beside them.
fn at(dir: &Path) -> Option<Binaries> {
    let server = fs::canonicalize(dir.join("postgres")).ok()?;
    let dir = server.parent()?.to_owned();
    if !["initdb", "pg_ctl"].iter().all(|program| dir.join(program).is_file()) {
        return None;
    }
    let output = Command::new(&server).arg("--version").output().ok()?;
    Some(Binaries { version: major(&String::from_utf8_lossy(&output.stdout))?, dir })
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn major(text: &str) -> Option<u32> {
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Where packages put them, off the path: one folder per version.
fn usual_places() -> impl Iterator<Item = PathBuf> {
    let versioned = [
        ("/usr/lib/postgresql", "", "bin"),         // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),                  // the PostgreSQL project's own RPMs
        ("/usr/libexec", "postgresql", "."),        // Alpine
        ("/opt/homebrew/opt", "postgresql", "bin"), // macOS on ARM
        ("/usr/local/opt", "postgresql", "bin"),    // macOS on Intel
    ];
    let within = |(parent, prefix, bin): (&'static str, &'static str, &'static str)| {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        entries
            .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(move |entry| entry.path().join(bin))
    };
    versioned.into_iter().flat_map(within).chain([PathBuf::from("/usr/local/pgsql/bin")])
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (!text.trim().is_empty()).then(|| PathBuf::from(text.trim()))
}

/// What to install, on this kind of system.
fn advice(os_release: &str) -> String {
    let is_like = |names: &[&str]| {
        os_release
            .lines()
            .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
            .flat_map(|value| value.trim_matches('"').split(' '))
            .any(|id| names.contains(&id))
    };
    let command = if is_like(&["debian", "ubuntu"]) {
        "apt-get install postgresql"
    } else if is_like(&["fedora", "rhel", "centos"]) {
        "dnf install postgresql-server"
    } else if is_like(&["alpine"]) {
        "apk add postgresql"
    } else if is_like(&["arch"]) {
        "pacman -S postgresql"
    } else if is_like(&["suse", "opensuse"]) {
        "zypper install postgresql-server"
    } else if cfg!(target_os = "macos") {
        "brew install postgresql@17"
    } else {
        return "install the package postgresql (its server)".to_owned();
    };
    format!("install the package with `{command}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(versions: &[u32]) -> BTreeSet<Binaries> {
        versions.iter().map(|version| Binaries { version: *version, dir: PathBuf::from(version.to_string()) }).collect()
    }

    #[test]
    fn the_newest_is_taken_or_the_one_that_made_the_data() {
        let choose = |versions: &[u32], made_by| choose(found(versions), made_by, Path::new("/data"));
        assert_eq!(choose(&[13, 15, 17], None).unwrap().version, 17);
        assert_eq!(choose(&[13, 15, 17], Some(15)).unwrap().version, 15);
        let wrong = choose(&[15, 17], Some(16)).unwrap_err().to_string();
        assert!(wrong.contains("made by Postgres 16") && wrong.contains("has 15, 17"), "{wrong}");
        assert!(matches!(choose(&[], Some(16)), Err(EmbeddedError::NotInstalled(_))));
        assert!(matches!(choose(&[13], None), Err(EmbeddedError::NotInstalled(_))));
    }

    #[test]
    fn versions_are_read_as_packages_print_them() {
        assert_eq!(major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major("no\n"), None);
    }

    #[test]
    fn the_advice_names_the_package_of_the_system() {
        assert!(advice("ID=debian\n").contains("apt-get install postgresql"));
        assert!(advice("NAME=x\nID=mint\nID_LIKE=\"ubuntu debian\"\n").contains("apt-get install postgresql"));
        assert!(advice("ID=alpine\n").contains("apk add postgresql"));
    }
}
