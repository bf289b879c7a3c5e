//! The written form of what we asked and what was answered: one line an exchange, so that a problem has a line number.
//!
//! Law: a tape holds no URL, no header and no key; and a line that was changed after it was recorded is noticed,
//! because each line ends with a sum over itself and the sum before it. Written by [`crate::record`], read by
//! [`crate::replay`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::http::{Fault, Reply};

/// The version of this format. A reader refuses others.
pub const FORMAT: u32 = 1;

/// The file of lines within a scenario's folder.
pub const EXCHANGES: &str = "exchanges.jsonl";

/// The folder of bodies that are too large to stand in a line, each named by its SHA-256.
pub const BODIES: &str = "bodies";

/// What a tape may take on disk, and in memory when it is read: some hours of a busy network, and no more than a
/// small machine bears.
pub const TAPE_BYTES_MAX: u64 = 512 << 20;

/// Longer bodies stand in files of their own, so that the lines can be looked at.
pub(crate) const INLINE_MAX: usize = 32 << 10;

/// Characters of a line's sum: enough to notice any accident, and no protection from a forger.
const SUM_CHARACTERS: usize = 8;

/// Why a tape cannot be used. Named by file and line.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    #[error("{file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file}:{line}: {what}")]
    Line { file: String, line: usize, what: String },
    #[error("{file}: {what}")]
    File { file: String, what: String },
}

/// What came of one request.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Reply(Reply),
    Fault(Fault),
    /// Nobody waited for its end.
    Abandoned,
}

/// One request and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) endpoint: String,
    /// The question in the form of [`asked`].
    pub(crate) ask: String,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// A whole tape.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    pub(crate) exchanges: Vec<Exchange>,
    /// When the follower looked at the chain, in milliseconds since the beginning.
    pub(crate) looks: Vec<u64>,
    /// Lines that are not as they were recorded.
    pub(crate) altered: Vec<usize>,
    /// Whether the recording was ended in order.
    pub(crate) ended: bool,
}

/// What was asked, without what only ties a reply to its question: `{"method", "params"}`, or a list of them. Other
/// requests are told by their text.
pub(crate) fn asked(body: &[u8]) -> Value {
    fn bare(mut call: Value) -> Value {
        if let Some(call) = call.as_object_mut() {
            call.remove("id");
            call.remove("jsonrpc");
        }
        call
    }
    match serde_json::from_slice(body) {
        Ok(Value::Array(calls)) => Value::Array(calls.into_iter().map(bare).collect()),
        Ok(call) => bare(call),
        Err(_) => Value::String(String::from_utf8_lossy(body).into_owned()),
    }
}

/// The end of a line: its sum, which binds it to the line before.
pub(crate) fn sealed(line: &str, before: &str) -> (String, String) {
    let sum = sum_of(line, before);
    let open = line.strip_suffix('}').unwrap_or(line);
    (format!("{open},\"sum\":\"{sum}\"}}"), sum)
}

fn sum_of(line: &str, before: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(line.as_bytes());
    let mut sum = hex(&hash.finalize());
    sum.truncate(SUM_CHARACTERS);
    sum
}

/// Splits a line into what was sealed and its sum.
fn unsealed(line: &str) -> Option<(String, &str)> {
    let (open, rest) = line.rsplit_once(",\"sum\":\"")?;
    let sum = rest.strip_suffix("\"}").filter(|sum| sum.len() == SUM_CHARACTERS)?;
    Some((format!("{open}}}"), sum))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit) {
        digits.chunks(2).map(pair).collect()
    } else {
        None
    }
}

/// A line as it is written. Which members are there tells what it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    tape: Option<u32>,
    look: Option<u64>,
    end: Option<u64>,
    at: Option<u64>,
    endpoint: Option<String>,
    ask: Option<Value>,
    took: Option<u64>,
    status: Option<u16>,
    retry_after: Option<u64>,
    #[serde(borrow)]
    json: Option<&'a RawValue>,
    text: Option<String>,
    hex: Option<String>,
    file: Option<String>,
    same: Option<usize>,
    fault: Option<String>,
    detail: Option<String>,
    #[serde(rename = "sum")]
    _sum: Option<String>,
}

/// The words for what can go wrong on the way.
pub(crate) const TIMED_OUT: &str = "timed_out";
pub(crate) const BROKEN: &str = "broken";
pub(crate) const UNDECODABLE: &str = "undecodable";
pub(crate) const TOO_LARGE: &str = "too_large";
pub(crate) const ABANDONED: &str = "abandoned";

/// Reads the tape in this folder.
pub(crate) fn read(folder: &Path) -> Result<Tape, TapeError> {
    let path = folder.join(EXCHANGES);
    let file = path.display().to_string();
    let text = bounded(&path, TAPE_BYTES_MAX).map_err(|source| TapeError::Read { file: file.clone(), source })?;
    let text = String::from_utf8(text).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        TapeError::Line { file: file.clone(), line, what: "is not UTF-8".to_owned() }
    })?;
    let mut reader = Reader { folder, file, left: TAPE_BYTES_MAX, tape: Tape::default(), places: Vec::new() };
    let mut before = String::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        before = reader.line(number, line, &before)?;
    }
    if reader.places.is_empty() {
        return Err(TapeError::File {
            file: reader.file,
            what: "is empty; a tape begins with {\"tape\":1}".to_owned(),
        });
    }
    Ok(reader.tape)
}

struct Reader<'a> {
    folder: &'a Path,
    file: String,
    /// Bytes of bodies that may still be read.
    left: u64,
    tape: Tape,
    /// Which exchange stands in which line.
    places: Vec<Option<usize>>,
}

impl Reader<'_> {
    /// Takes in one line; its sum.
    fn line(&mut self, number: usize, line: &str, before: &str) -> Result<String, TapeError> {
        let wrong = |file: &str, what: String| TapeError::Line { file: file.to_owned(), line: number, what };
        let read: Line<'_> =
            serde_json::from_str(line).map_err(|error| wrong(&self.file, format!("is no line of a tape: {error}")))?;
        let sum = match unsealed(line) {
            Some((sealed, sum)) => {
                if sum_of(&sealed, before) != sum {
                    self.tape.altered.push(number);
                }
                sum.to_owned()
            }
            None => {
                self.tape.altered.push(number);
                String::new()
            }
        };
        let mut place = None;
        match read {
            Line { tape: Some(FORMAT), .. } if number == 1 => {}
            Line { tape: Some(other), .. } if number == 1 => {
                let what = format!("is of format {other}; this binary reads format {FORMAT}");
                return Err(wrong(&self.file, what));
            }
            _ if number == 1 => return Err(wrong(&self.file, "a tape begins with {\"tape\":1}".to_owned())),
            Line { look: Some(at), .. } => {
                if self.tape.looks.last().is_some_and(|last| *last > at) {
                    return Err(wrong(&self.file, format!("look: {at} is before the look before it")));
                }
                self.tape.looks.push(at);
            }
            Line { end: Some(_), .. } => self.tape.ended = true,
            exchange => {
                let exchange = self.exchange(&exchange).map_err(|what| wrong(&self.file, what))?;
                place = Some(self.tape.exchanges.len());
                self.tape.exchanges.push(exchange);
            }
        }
        self.places.push(place);
        Ok(sum)
    }

    fn exchange(&mut self, line: &Line<'_>) -> Result<Exchange, String> {
        let must = |what: &str| format!("{what}: must be given; found nothing");
        line.at.ok_or_else(|| must("at"))?;
        let endpoint = line.endpoint.clone().ok_or_else(|| must("endpoint"))?;
        let ask = line.ask.as_ref().ok_or_else(|| must("ask"))?.to_string();
        let took = Duration::from_millis(line.took.ok_or_else(|| must("took"))?);
        let outcome = match (&line.fault, line.same) {
            (Some(fault), _) if fault == ABANDONED => Outcome::Abandoned,
            (Some(fault), _) => Outcome::Fault(read_fault(fault, line.detail.clone().unwrap_or_default())?),
            (None, Some(same)) => {
                let there = same.checked_sub(1).and_then(|index| self.places.get(index)).copied().flatten();
                let there = there.and_then(|place| self.tape.exchanges.get(place));
                there.ok_or_else(|| format!("same: line {same} before this one holds no exchange"))?.outcome.clone()
            }
            (None, None) => {
                let status = line.status.ok_or_else(|| must("status"))?;
                let retry_after = line.retry_after.map(Duration::from_secs);
                Outcome::Reply(Reply { status, retry_after, body: self.body(line)? })
            }
        };
        Ok(Exchange { endpoint, ask, took, outcome })
    }

    fn body(&mut self, line: &Line<'_>) -> Result<Bytes, String> {
        if let Some(json) = line.json {
            return Ok(Bytes::copy_from_slice(json.get().as_bytes()));
        }
        if let Some(text) = &line.text {
            return Ok(Bytes::from(text.clone()));
        }
        if let Some(digits) = &line.hex {
            return unhex(digits).map(Bytes::from).ok_or_else(|| "hex: must be pairs of hexadecimal digits".to_owned());
        }
        let Some(name) = &line.file else {
            return Err("must hold a body (json, text, hex or file), same, or fault; found none".to_owned());
        };
        // A name that is a hash leads nowhere else.
        if name.len() != 64 || !name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return Err("file: must be a SHA-256 of 64 lowercase hexadecimal digits".to_owned());
        }
        let path = self.folder.join(BODIES).join(name);
        let body = bounded(&path, self.left).map_err(|error| format!("file {BODIES}/{name}: {error}"))?;
        self.left = self.left.saturating_sub(u64::try_from(body.len()).unwrap_or(u64::MAX));
        if hex(&Sha256::digest(&body)) != *name {
            return Err(format!("file {BODIES}/{name}: holds other bytes than its name says"));
        }
        Ok(Bytes::from(body))
    }
}

fn read_fault(word: &str, detail: String) -> Result<Fault, String> {
    Ok(match word {
        TIMED_OUT => Fault::Transport { timed_out: true, detail },
        BROKEN => Fault::Transport { timed_out: false, detail },
        UNDECODABLE => Fault::Undecodable(detail),
        TOO_LARGE => Fault::TooLarge,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(format!(
                "fault: must be {TIMED_OUT}, {BROKEN}, {UNDECODABLE}, {TOO_LARGE} or {ABANDONED}; found {other:?}"
            ));
        }
    })
}

/// Writes the sums of a tape anew: whoever changed a line on purpose says so with this.
pub fn reseal(folder: &Path) -> Result<(), TapeError> {
    let path = folder.join(EXCHANGES);
    let file = path.display().to_string();
    read(folder)?;
    let failed = |source: io::Error| TapeError::Read { file: file.clone(), source };
    let text = fs::read_to_string(&path).map_err(failed)?;
    let (mut out, mut before, mut ended) = (String::with_capacity(text.len()), String::new(), false);
    for line in text.lines() {
        let bare = unsealed(line).map_or_else(|| line.to_owned(), |(bare, _)| bare);
        ended = bare.starts_with("{\"end\"");
        let (line, sum) = sealed(&bare, &before);
        (out, before) = (out + &line + "\n", sum);
    }
    if !ended {
        out += &sealed(&format!("{{\"end\":{}}}", text.lines().count()), &before).0;
        out.push('\n');
    }
    if out == text {
        return Ok(());
    }
    // Whole or not at all.
    let beside = folder.join(format!("{EXCHANGES}.new"));
    fs::write(&beside, out).and_then(|()| fs::rename(&beside, &path)).map_err(failed)
}

/// A plain file of at most so many bytes.
pub(crate) fn bounded(path: &PathBuf, most: u64) -> io::Result<Vec<u8>> {
    use io::Read as _;
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no plain file"));
    }
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {most} bytes"));
    if metadata.len() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most { Err(too_large()) } else { Ok(bytes) }
}
