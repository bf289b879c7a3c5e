//! What a node says of its history: the shapes and the tempers of stellar-rpc, with its faults.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::fault::{Dialect, Fault};
use super::forge::Forged;
use super::history::{History, Made};
use super::lookup;
use crate::ledger::PROTOCOL_MAX;

/// Ledgers of one page, at most and where nothing is asked.
const LIMIT_MAX: u64 = 200;
const LIMIT_DEFAULT: u64 = 50;

const INVALID_REQUEST: i64 = -32_600;
const NO_METHOD: i64 = -32_601;
const INVALID_PARAMS: i64 = -32_602;
const INTERNAL: i64 = -32_603;
/// What older versions said of everything.
const INTERNAL_OF_OLD: i64 = -32_003;
/// What its JSON-RPC library makes of an error that has no code.
const SYSTEM: i64 = -32_098;

/// What a node says to one call.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The JSON of `result`.
    Result(String),
    Error(i64, String),
    /// No JSON-RPC at all: an HTTP status and a body.
    Status(u16, String),
    /// Nothing, ever.
    Silence,
}

/// A history as one node sees it while it answers one question.
pub(super) struct View<'a> {
    pub history: &'a History,
    pub faults: &'a [Fault],
}

/// A ledger in a page.
struct Shown {
    hash: String,
    sequence: u64,
    close_time: u64,
    header: String,
    meta: String,
}

impl View<'_> {
    pub fn answer(&self, method: &str, params: &Value) -> Reply {
        for fault in self.faults {
            match fault {
                Fault::Error(code, message) => return Reply::Error(*code, (*message).to_owned()),
                Fault::MethodQueue => {
                    return Reply::Error(
                        SYSTEM,
                        format!("rpc queue for {method} surpassed queue limit of 1000 requests"),
                    );
                }
                _ => {}
            }
        }
        let none = Map::new();
        let params = match params {
            Value::Object(params) => params,
            Value::Null => &none,
            _ => return Reply::Error(INVALID_PARAMS, "invalid parameters".to_owned()),
        };
        let answer = match method {
            "getHealth" => self.health(),
            "getNetwork" => self.network(),
            "getVersionInfo" => self.version(),
            "getLatestLedger" => self.latest_ledger(),
            "getLedgers" => self.ledgers(params),
            "getTransaction" => self.transaction(params),
            _ => Err((NO_METHOD, "method not found".to_owned())),
        };
        answer.map_or_else(|(code, message)| Reply::Error(code, message), Reply::Result)
    }

    /// Its newest ledger, as far as it has come.
    fn latest(&self) -> Option<&Made> {
        let mut tip = self.history.tip()?.at.height.0;
        for fault in self.faults {
            tip = match fault {
                Fault::Stalled(at) => tip.min(u64::from(*at)),
                Fault::Behind(by) => tip.saturating_sub(u64::from(*by)),
                _ => tip,
            };
        }
        let upto = u32::try_from(tip).unwrap_or(u32::MAX);
        self.history.ledgers.range(..=upto).next_back().map(|(_, made)| made)
    }

    fn oldest(&self) -> Option<&Made> {
        let from = self.faults.iter().fold(0, |from, fault| match fault {
            Fault::Forgot(below) => from.max(*below),
            _ => from,
        });
        self.history.ledgers.range(from..).next().map(|(_, made)| made)
    }

    /// The first and the last ledger it has.
    fn range(&self) -> Result<(&Made, &Made), (i64, String)> {
        let starting = self.faults.iter().any(|fault| matches!(fault, Fault::Starting));
        match (self.oldest(), self.latest()) {
            (Some(oldest), Some(latest)) if !starting && oldest.at.height <= latest.at.height => Ok((oldest, latest)),
            _ => Err((INTERNAL, "data stores are not initialized: DB is empty".to_owned())),
        }
    }

    /// What it says its first and last ledger are.
    fn said(&self) -> Result<(Value, Value), (i64, String)> {
        let (oldest, latest) = self.range()?;
        let (mut first, mut last) = (oldest.at.height.0, latest.at.height.0);
        for fault in self.faults {
            match fault {
                Fault::OldestSaid(at) => first = u64::from(*at),
                Fault::Ahead(by) => last += u64::from(*by),
                _ => {}
            }
        }
        Ok((first.into(), last.into()))
    }

    fn health(&self) -> Result<String, (i64, String)> {
        let (oldest, latest) = self.range()?;
        if self.faults.iter().any(|fault| matches!(fault, Fault::Unhealthy)) {
            let message = "latency (1m12s) since last known ledger closed is too high (>30s)";
            return Err((INTERNAL, message.to_owned()));
        }
        let (first, last) = self.said()?;
        let health = json!({
            "status": "healthy",
            "latestLedger": last,
            "latestLedgerCloseTime": latest.close_time.to_string(),
            "oldestLedger": first,
            "oldestLedgerCloseTime": oldest.close_time.to_string(),
            "ledgerRetentionWindow": self.history.retention_window,
        });
        Ok(health.to_string())
    }

    fn protocol(&self) -> u32 {
        let said = self.faults.iter().find_map(|fault| match fault {
            Fault::Protocol(said) => Some(*said),
            _ => None,
        });
        said.or_else(|| self.latest().map(|made| made.protocol)).unwrap_or(self.history.chain.protocol)
    }

    #[expect(clippy::unnecessary_wraps, reason = "one shape for every method")]
    fn network(&self) -> Result<String, (i64, String)> {
        let other = self.faults.iter().find_map(|fault| match fault {
            Fault::Passphrase(other) => Some(other),
            _ => None,
        });
        let passphrase = other.unwrap_or(&self.history.passphrase);
        Ok(json!({ "passphrase": passphrase, "protocolVersion": self.protocol() }).to_string())
    }

    #[expect(clippy::unnecessary_wraps, reason = "one shape for every method")]
    fn version(&self) -> Result<String, (i64, String)> {
        let version = json!({
            "version": "30.0.0-testkit",
            "commitHash": "0000000000000000000000000000000000000000",
            "buildTimestamp": "2026-10-21T00:00:00",
            "captiveCoreVersion": "stellar-core 30.0.0 (testkit)",
            "protocolVersion": self.protocol(),
        });
        Ok(version.to_string())
    }

    fn latest_ledger(&self) -> Result<String, (i64, String)> {
        let (_, latest) = self.range()?;
        let shown = self.show(latest);
        // The header alone, without the hash that pages have before it.
        let header = STANDARD.decode(&shown.header).unwrap_or_default();
        let latest = json!({
            "id": shown.hash,
            "protocolVersion": latest.protocol,
            "sequence": shown.sequence,
            "closeTime": shown.close_time.to_string(),
            "headerXdr": STANDARD.encode(header.get(32..header.len().saturating_sub(4)).unwrap_or_default()),
            "metadataXdr": shown.meta,
        });
        Ok(latest.to_string())
    }

    fn ledgers(&self, params: &Map<String, Value>) -> Result<String, (i64, String)> {
        let (oldest, latest) = self.range()?;
        let asked = Asked::read(params)?;
        if let Some(limit) = asked.limit.filter(|limit| *limit > LIMIT_MAX) {
            return Err((INVALID_REQUEST, format!("limit must not exceed {LIMIT_MAX}, not {limit}")));
        }
        let (first, last) = (oldest.at.height.0, latest.at.height.0);
        if asked.from < first || asked.from > last {
            return self.out_of_range(&asked, first, last);
        }
        let limit = asked.limit.filter(|limit| *limit > 0).unwrap_or(LIMIT_DEFAULT);
        let mut shown = self.page(asked.from, last.min(asked.from + limit - 1));
        for fault in self.faults {
            match fault {
                Fault::PagesOf(most) => shown.truncate(*most),
                Fault::EmptyPages => shown.clear(),
                _ => {}
            }
        }
        self.print(&shown, asked.from)
    }

    fn page(&self, from: u64, upto: u64) -> Vec<Shown> {
        let bound = |height| u32::try_from(height).unwrap_or(u32::MAX);
        let missing =
            |sequence: u32| self.faults.iter().any(|fault| matches!(fault, Fault::Missing(at) if *at == sequence));
        let there = self.history.ledgers.range(bound(from)..=bound(upto)).filter(|(at, _)| !missing(**at));
        there.map(|(_, made)| self.show(made)).collect()
    }

    /// A ledger as this node shows it.
    fn show(&self, made: &Made) -> Shown {
        let sequence = u32::try_from(made.at.height.0).unwrap_or(u32::MAX);
        let below = sequence.checked_sub(1).and_then(|below| self.history.ledgers.get(&below)).unwrap_or(made);
        let mut shown = Shown::of(made);
        for fault in self.faults {
            match fault {
                Fault::Instead(at, bytes) if *at == sequence => shown.put(bytes),
                Fault::Tampered(at, tamper) if *at == sequence => {
                    if let Some(bytes) = tamper.apply(&made.bytes(), self.history.chain.network_id) {
                        shown.put(&bytes);
                    }
                }
                Fault::Newer(at) if *at == sequence => {
                    if let Some(mut forged) = Forged::read(&made.bytes()) {
                        forged.header().ledger_version = PROTOCOL_MAX + 1;
                        forged.rehash();
                        shown.put(&forged.bytes());
                    }
                }
                Fault::Stale(at) if *at == sequence => shown = Shown::of(below),
                Fault::HashOfOther(at) if *at == sequence => shown.hash = Shown::of(below).hash,
                Fault::SequenceOfOther(at) if *at == sequence => shown.sequence += 1,
                Fault::HeaderOfOther(at) if *at == sequence => shown.header = below.header.to_string(),
                Fault::OtherTime(at) if *at == sequence => shown.close_time += 3_600,
                Fault::Undecodable(at) if *at == sequence => shown.meta = STANDARD.encode(b"no ledger at all"),
                Fault::NotBase64(at) if *at == sequence => "~no base64~".clone_into(&mut shown.meta),
                Fault::Endless(at) if *at == sequence => {
                    // A ledger of today's form, and then lengths that nobody has.
                    let mut bytes = made.bytes();
                    let from = bytes.len().min(400);
                    bytes[from..].fill(0xff);
                    shown.meta = STANDARD.encode(bytes);
                }
                _ => {}
            }
        }
        shown
    }

    fn print(&self, shown: &[Shown], from: u64) -> Result<String, (i64, String)> {
        let (oldest, latest) = self.range()?;
        let (first, last) = self.said()?;
        // By hand: a page is megabytes of base64, in which nothing needs escaping.
        let ledgers: Vec<String> = shown.iter().map(Shown::print).collect();
        let cursor = shown.last().map_or(from.saturating_sub(1), |last| last.sequence);
        Ok(format!(
            "{{\"ledgers\":[{}],\"latestLedger\":{last},\"latestLedgerCloseTime\":{},\"oldestLedger\":{first},\
             \"oldestLedgerCloseTime\":{},\"cursor\":\"{cursor}\"}}",
            ledgers.join(","),
            latest.close_time,
            oldest.close_time
        ))
    }

    fn out_of_range(&self, asked: &Asked, first: u64, last: u64) -> Result<String, (i64, String)> {
        let dialect = self.faults.iter().find_map(|fault| match fault {
            Fault::OutOfRange(dialect) => Some(*dialect),
            _ => None,
        });
        let dialect = dialect.unwrap_or(match asked.cursor {
            Some(_) => Dialect::InvalidParams,
            None => Dialect::InvalidRequest,
        });
        let what = match &asked.cursor {
            Some(cursor) => format!("cursor ('{cursor}')"),
            None => format!("start ledger ({})", asked.from),
        };
        let bounds = format!(
            "{what} must be between the oldest ledger: {first} and the latest ledger: {last} for this rpc instance"
        );
        match dialect {
            Dialect::InvalidRequest => Err((INVALID_REQUEST, bounds)),
            Dialect::InvalidParams => Err((INVALID_PARAMS, bounds)),
            Dialect::NoMetadata => {
                Err((INVALID_PARAMS, format!("database does not contain metadata for ledger: {}", asked.from)))
            }
            Dialect::Internal => Err((INTERNAL_OF_OLD, bounds)),
            Dialect::EmptyPage => self.print(&[], asked.from),
        }
    }

    fn transaction(&self, params: &Map<String, Value>) -> Result<String, (i64, String)> {
        let (oldest, latest) = self.range()?;
        let hash = params.get("hash").and_then(Value::as_str).unwrap_or_default();
        if hash.len() != 64 {
            return Err((INVALID_PARAMS, format!("unexpected hash length ({})", hash.len())));
        }
        if !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err((INVALID_PARAMS, "incorrect hash: encoding/hex: invalid byte".to_owned()));
        }
        let (first, last) = self.said()?;
        let mut answer = json!({
            "latestLedger": last,
            "latestLedgerCloseTime": latest.close_time.to_string(),
            "oldestLedger": first,
            "oldestLedgerCloseTime": oldest.close_time.to_string(),
            "status": "NOT_FOUND",
            "txHash": hash,
            "applicationOrder": 0,
            "feeBump": false,
            "events": {},
            "ledger": 0,
            "createdAt": "0",
        });
        let bound = |made: &Made| u32::try_from(made.at.height.0).unwrap_or(u32::MAX);
        let within = self.history.ledgers.range(bound(oldest)..=bound(latest));
        let found = within.rev().find_map(|(_, made)| {
            let bytes = STANDARD.decode(self.show(made).meta).ok()?;
            Some((made, lookup::transaction(&bytes, self.history.chain.network_id, &hash.to_ascii_lowercase())?))
        });
        if let (Some((made, found)), Some(fields)) = (found, answer.as_object_mut()) {
            fields.insert("ledger".to_owned(), made.at.height.0.into());
            fields.insert("createdAt".to_owned(), made.close_time.to_string().into());
            fields.extend(found);
        }
        Ok(answer.to_string())
    }
}

impl Shown {
    fn of(made: &Made) -> Self {
        Self {
            hash: made.at.hash.to_string().trim_start_matches("0x").to_owned(),
            sequence: made.at.height.0,
            close_time: made.close_time,
            header: made.header.to_string(),
            meta: made.meta.to_string(),
        }
    }

    /// Other bytes in its place. Where they are a ledger, the fields beside it tell of that.
    fn put(&mut self, bytes: &[u8]) {
        match Made::of(bytes) {
            Ok(made) => *self = Self::of(&made),
            Err(_) => self.meta = STANDARD.encode(bytes),
        }
    }

    fn print(&self) -> String {
        let Self { hash, sequence, close_time, header, meta } = self;
        format!(
            "{{\"hash\":\"{hash}\",\"sequence\":{sequence},\"ledgerCloseTime\":\"{close_time}\",\
             \"headerXdr\":\"{header}\",\"metadataXdr\":\"{meta}\"}}"
        )
    }
}

/// What a page is asked for.
struct Asked {
    from: u64,
    cursor: Option<String>,
    limit: Option<u64>,
}

impl Asked {
    fn read(params: &Map<String, Value>) -> Result<Self, (i64, String)> {
        let wrong = || (INVALID_PARAMS, "invalid parameters".to_owned());
        let number = |value: Option<&Value>| match value {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().filter(|n| u32::try_from(*n).is_ok()).map(Some).ok_or_else(wrong),
        };
        let none = Map::new();
        let pagination = match params.get("pagination") {
            None | Some(Value::Null) => &none,
            Some(Value::Object(pagination)) => pagination,
            Some(_) => return Err(wrong()),
        };
        let (start, limit) = (number(params.get("startLedger"))?.unwrap_or(0), number(pagination.get("limit"))?);
        let cursor = match pagination.get("cursor") {
            None | Some(Value::Null) => None,
            Some(Value::String(cursor)) => Some(cursor.clone()).filter(|cursor| !cursor.is_empty()),
            Some(_) => return Err(wrong()),
        };
        match params.get("xdrFormat").map(Value::as_str) {
            None | Some(Some("" | "base64")) => {}
            Some(_) => return Err((INVALID_PARAMS, "expected base64 for optional 'xdrFormat'".to_owned())),
        }
        let from = match &cursor {
            Some(cursor) if start != 0 => {
                let message = format!("startLedger ({start}) and cursor ({cursor}) cannot both be set");
                return Err((INVALID_REQUEST, message));
            }
            Some(cursor) => match cursor.parse::<u32>() {
                Ok(read) => u64::from(read) + 1,
                Err(error) => return Err((INVALID_PARAMS, format!("parsing {cursor:?}: {error}"))),
            },
            None => start,
        };
        Ok(Self { from, cursor, limit })
    }
}
