//! Files of a local folder, read as a server would hand them over: within bounds, and none from outside of the folder.
//!
//! So that a copy of a store on our own disk goes the same road as the store itself: limits, breaker, tape.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::http::{Fault, Reply};

/// The scheme by which a folder is named.
pub(crate) const SCHEME: &str = "file";

/// The folder that an address names; `None` where it is not one of this machine.
pub(crate) fn path_of(url: &Url) -> Option<PathBuf> {
    let path = url.to_file_path().ok()?;
    (url.query().is_none() && url.fragment().is_none() && path.is_absolute()).then_some(path)
}

/// Reads one file. A folder of another machine may never answer: nobody waits longer than for a node.
pub(crate) async fn read(root: &Url, file: &Url, body_max: usize, patience: Duration) -> Result<Reply, Fault> {
    let (Some(root), Some(file)) = (path_of(root), path_of(file)) else { return Err(broken("no such place")) };
    let reading = spawn_blocking(move || read_within(&root, &file, body_max));
    match timeout(patience, reading).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(stopped)) => Err(broken(&stopped.to_string())),
        Err(_) => Err(Fault::Transport { timed_out: true, detail: "the folder does not answer".to_owned() }),
    }
}

fn read_within(root: &Path, file: &Path, body_max: usize) -> Result<Reply, Fault> {
    let found = match real_place(root, file) {
        Ok(found) => found,
        // As a server says it, so that the caller needs to know one way only.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(reply(404, Bytes::new())),
        Err(error) => return Err(broken(&error.to_string())),
    };
    let failed = |error: io::Error| broken(&error.to_string());
    let opened = File::open(found).map_err(failed)?;
    let length = opened.metadata().map_err(failed)?.len();
    let length = usize::try_from(length).ok().filter(|&length| length <= body_max).ok_or(Fault::TooLarge)?;
    let mut body = Vec::with_capacity(length);
    // It may grow while it is read.
    let most = u64::try_from(body_max).unwrap_or(u64::MAX).saturating_add(1);
    opened.take(most).read_to_end(&mut body).map_err(failed)?;
    if body.len() > body_max { Err(Fault::TooLarge) } else { Ok(reply(200, Bytes::from(body))) }
}

/// Where the file really is, all links followed: inside of the folder, and a plain file. A pipe would never end.
fn real_place(root: &Path, file: &Path) -> io::Result<PathBuf> {
    let root = root.canonicalize()?;
    let found = file.canonicalize()?;
    if !found.starts_with(&root) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it leads outside of the folder"));
    }
    if !found.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    Ok(found)
}

const fn reply(status: u16, body: Bytes) -> Reply {
    Reply { status, retry_after: None, body }
}

fn broken(what: &str) -> Fault {
    Fault::Transport { timed_out: false, detail: what.to_owned() }
}
