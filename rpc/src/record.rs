//! Writes down every exchange with the nodes of one network, as it happens.
//!
//! Law: recording never stops what it records. A full disk or a full tape ends the tape, loudly, and the daemon goes on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::http::{Fault, Reply};
use crate::shown::Redactor;
use crate::tape::{self, ABANDONED, BODIES, BROKEN, EXCHANGES, FORMAT, INLINE_MAX, TIMED_OUT, TOO_LARGE, UNDECODABLE};

/// Replies whose repetition is noticed: 32 bytes each, a few megabytes in all.
const KNOWN_MAX: usize = 100_000;

/// Left for the line that ends the tape.
const END_BYTES: u64 = 100;

/// Tells how many milliseconds have passed since the recording began.
type Elapsed = Box<dyn Fn() -> u64 + Send + Sync>;

/// A tape being written.
pub struct Recorder {
    elapsed: Elapsed,
    writing: Mutex<Writing>,
}

/// What became of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    pub exchanges: u64,
    pub looks: u64,
    pub bytes: u64,
    /// Whether it ended early: it was full, or the disk was.
    pub cut: bool,
}

struct Writing {
    folder: PathBuf,
    out: BufWriter<File>,
    bytes_max: u64,
    lines: u64,
    sum: String,
    /// Where a reply stands, by its SHA-256.
    known: HashMap<[u8; 32], u64>,
    done: Recorded,
    over: bool,
}

impl Recorder {
    /// Begins a tape in this folder, which must not hold one. `elapsed` says how many milliseconds have passed since
    /// the beginning; it never goes back.
    pub fn begin(
        folder: &Path,
        bytes_max: u64,
        elapsed: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> io::Result<Arc<Self>> {
        fs::create_dir_all(folder)?;
        let out = OpenOptions::new().write(true).create_new(true).open(folder.join(EXCHANGES))?;
        let mut writing = Writing {
            folder: folder.to_owned(),
            out: BufWriter::new(out),
            bytes_max,
            lines: 0,
            sum: String::new(),
            known: HashMap::new(),
            done: Recorded { exchanges: 0, looks: 0, bytes: 0, cut: false },
            over: false,
        };
        writing.line(&format!("{{\"tape\":{FORMAT}}}"))?;
        writing.out.flush()?;
        Ok(Arc::new(Self { elapsed: Box::new(elapsed), writing: Mutex::new(writing) }))
    }

    /// The follower looks at the chain now: what is asked from here on belongs to this look.
    pub fn look(&self) {
        let at = (self.elapsed)();
        self.write(|writing| {
            writing.line(&format!("{{\"look\":{at}}}"))?;
            writing.done.looks += 1;
            // What was seen before this look is safe when the process is killed.
            writing.out.flush()
        });
    }

    /// One request. `outcome`: what came of it; `None` where nobody waited for its end.
    pub(crate) fn exchange(
        &self,
        endpoint: &str,
        ask: &Value,
        took: Duration,
        outcome: Option<&Result<Reply, Fault>>,
        redactor: &Redactor,
    ) {
        let at = (self.elapsed)();
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.write(|writing| {
            let about = json!({ "at": at, "endpoint": endpoint, "ask": ask, "took": took }).to_string();
            let about = String::from_utf8_lossy(&redactor.scrub(about.as_bytes())).into_owned();
            let about = about.strip_suffix('}').unwrap_or(&about);
            let said = match outcome {
                Some(outcome) => writing.said(outcome, redactor)?,
                None => format!("\"fault\":\"{ABANDONED}\""),
            };
            writing.line(&format!("{about},{said}}}"))?;
            writing.done.exchanges += 1;
            Ok(())
        });
    }

    /// Ends the tape.
    pub fn finish(&self) -> io::Result<Recorded> {
        let mut writing = self.writing();
        if !writing.over {
            writing.over = true;
            writing.end()?;
        }
        Ok(writing.done)
    }

    /// What was recorded so far.
    pub fn recorded(&self) -> Recorded {
        self.writing().done
    }

    fn write(&self, write: impl FnOnce(&mut Writing) -> io::Result<()>) {
        let mut writing = self.writing();
        if writing.over {
            return;
        }
        if let Err(error) = write(&mut writing) {
            writing.over = true;
            writing.done.cut = true;
            let folder = writing.folder.display().to_string();
            tracing::error!(%folder, %error, "the recording in {folder} ends here, and nothing else does: {error}");
            // What is there can be replayed up to here; where even this fails, the tape has no end and says so.
            let _ = writing.end();
        }
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("recorded", &self.recorded()).finish_non_exhaustive()
    }
}

impl Writing {
    fn line(&mut self, line: &str) -> io::Result<()> {
        let (line, sum) = tape::sealed(line, &self.sum);
        self.room(line.len())?;
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")?;
        self.sum = sum;
        self.lines += 1;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        // The room for this line is always left.
        let (line, _) = tape::sealed(&format!("{{\"end\":{}}}", self.lines), &self.sum);
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    fn room(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1);
        let after = self.done.bytes.saturating_add(bytes);
        if after.saturating_add(END_BYTES) > self.bytes_max {
            let what = format!("it has reached its bound of {} bytes", self.bytes_max);
            return Err(io::Error::new(io::ErrorKind::StorageFull, what));
        }
        self.done.bytes = after;
        Ok(())
    }

    /// What came back, as members of a line. The same reply is written once.
    fn said(&mut self, outcome: &Result<Reply, Fault>, redactor: &Redactor) -> io::Result<String> {
        let reply = match outcome {
            Ok(reply) => reply,
            Err(fault) => return Ok(fault_members(fault, redactor)),
        };
        let body = redactor.scrub(&reply.body);
        let retry_after =
            reply.retry_after.map_or(String::new(), |wait| format!("\"retry_after\":{},", wait.as_secs()));
        let head = format!("\"status\":{},{retry_after}", reply.status);
        let mut hash = Sha256::new();
        hash.update(head.as_bytes());
        hash.update(&body);
        let name: [u8; 32] = hash.finalize().into();
        if let Some(line) = self.known.get(&name) {
            return Ok(format!("\"same\":{line}"));
        }
        if self.known.len() < KNOWN_MAX {
            // The line that this becomes.
            self.known.insert(name, self.lines + 1);
        }
        Ok(format!("{head}{}", self.body_member(&body)?))
    }

    fn body_member(&mut self, body: &[u8]) -> io::Result<String> {
        if body.len() > INLINE_MAX {
            let name = tape::hex(&Sha256::digest(body));
            let folder = self.folder.join(BODIES);
            fs::create_dir_all(&folder)?;
            let path = folder.join(&name);
            if !path.exists() {
                self.room(body.len())?;
                fs::write(path, body)?;
            }
            return Ok(format!("\"file\":\"{name}\""));
        }
        let Ok(text) = std::str::from_utf8(body) else { return Ok(format!("\"hex\":\"{}\"", tape::hex(body))) };
        // As it came, where that is JSON on one line; a lone `null` would read as no body at all.
        let plain = !text.contains(['\n', '\r']) && text != "null" && text.trim() == text;
        if plain && serde_json::from_str::<Value>(text).is_ok() {
            return Ok(format!("\"json\":{text}"));
        }
        Ok(format!("\"text\":{}", Value::from(text)))
    }
}

fn fault_members(fault: &Fault, redactor: &Redactor) -> String {
    let (word, detail) = match fault {
        Fault::TooLarge => (TOO_LARGE, ""),
        Fault::Undecodable(detail) => (UNDECODABLE, detail.as_str()),
        Fault::Transport { timed_out: true, detail } => (TIMED_OUT, detail.as_str()),
        Fault::Transport { timed_out: false, detail } => (BROKEN, detail.as_str()),
    };
    if detail.is_empty() {
        return format!("\"fault\":\"{word}\"");
    }
    format!("\"fault\":\"{word}\",\"detail\":{}", Value::from(redactor.clean(detail)))
}
