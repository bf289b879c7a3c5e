//! The road a request takes: to the node itself, to the node with a scribe beside it, or to a tape.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Fault, Reply};
use crate::record::Recorder;
use crate::replay::Player;
use crate::shown::Redactor;
use crate::tape;

/// Longer than anybody waits who does not wait for the end: witnesses get three seconds.
const ABANDONED_FOR: Duration = Duration::from_secs(5);

/// How the requests of a pool reach its nodes.
#[derive(Debug, Clone, Default)]
pub enum Road {
    /// Over the network.
    #[default]
    Live,
    /// Over the network, and every exchange is written down.
    Recorded(Arc<Recorder>),
    /// Not at all: a tape answers.
    Played(Arc<Player>),
}

/// One request without what must not be written down.
#[derive(Debug, Clone)]
pub(crate) enum Sent<'a> {
    /// A body of JSON-RPC: one call or several.
    Calls(&'a [u8]),
    /// `path` begins where the endpoint's own address ends.
    Rest { verb: &'static str, path: String, body: &'a [u8] },
}

impl Sent<'_> {
    fn asked(&self) -> Value {
        match self {
            Self::Calls(body) => tape::asked(body),
            Self::Rest { verb, path, body: [] } => json!({ *verb: path }),
            Self::Rest { verb, path, body } => json!({ *verb: path, "body": tape::asked(body) }),
        }
    }
}

impl Road {
    /// Whether no node is asked, so that no limit of theirs or ours is to be kept.
    pub(crate) const fn is_played(&self) -> bool {
        matches!(self, Self::Played(_))
    }

    /// Sends one request, and says how long it took where a tape has it. `live` is what sends it over the network.
    pub(crate) async fn exchange(
        &self,
        endpoint: &str,
        sent: Sent<'_>,
        redactor: &Redactor,
        live: impl Future<Output = Result<Reply, Fault>>,
    ) -> (Result<Reply, Fault>, Option<Duration>) {
        match self {
            Self::Live => (live.await, None),
            Self::Played(player) => {
                let (outcome, took) = player.answer(endpoint, &sent.asked());
                if let Some(outcome) = outcome {
                    return (outcome, Some(took));
                }
                // Whoever did not wait for it then does not now; whoever does has changed since.
                tokio::time::sleep(ABANDONED_FOR).await;
                let detail = "we had stopped waiting when this was recorded".to_owned();
                (Err(Fault::Transport { timed_out: true, detail }), Some(took))
            }
            Self::Recorded(recorder) => {
                let mut scribe =
                    Scribe { recorder, endpoint, ask: sent.asked(), began: Instant::now(), redactor, written: false };
                let outcome = live.await;
                let took = scribe.write(Some(&outcome));
                (outcome, Some(took))
            }
        }
    }
}

/// Writes an exchange down, also where nobody waited for its end.
struct Scribe<'a> {
    recorder: &'a Recorder,
    endpoint: &'a str,
    ask: Value,
    began: Instant,
    redactor: &'a Redactor,
    written: bool,
}

impl Scribe<'_> {
    /// In whole milliseconds, as the tape has it: a choice that depends on it must fall the same way when it is played.
    fn write(&mut self, outcome: Option<&Result<Reply, Fault>>) -> Duration {
        self.written = true;
        let took = Duration::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let ask = std::mem::replace(&mut self.ask, json!(null));
        self.recorder.exchange(self.endpoint, &ask, took, outcome, self.redactor);
        took
    }
}

impl Drop for Scribe<'_> {
    fn drop(&mut self) {
        if !self.written {
            self.write(None);
        }
    }
}
