//! How an endpoint is to be used, as the operator configured it.

use std::num::NonZeroU32;
use std::time::Duration;

use amn_core::block::Operator;

use crate::doorbell::Announcing;
use crate::secret::Secret;
use crate::time::Time;
use crate::transport::Road;

/// Requests at once to one endpoint: public nodes drop clients that open many more.
const CONCURRENCY: usize = 16;
/// A node that needs longer for one page is of no use at a tip of 200 ms blocks; heavy ranges are halved instead.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The receipts of the fullest blocks take some 10 MB; a page of 10,000 logs 7 MB. Four times that.
const BODY_MAX: usize = 40 << 20;

/// TCP and TLS. A node that cannot even take a connection in this time is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked how: the families know further words.
pub const JSON_RPC: &str = "json-rpc";

/// When an endpoint, or one method of it, is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures in a row open it; 0 counts as 1.
    pub failures: u32,
    /// So long it stays open before one question may find out whether it can be closed.
    pub open_for: Duration,
}

impl Default for BreakerSettings {
    /// Five, because gateways with several nodes behind them fail two or three times when one of those dies. Ten
    /// seconds, because the probe is one cheap question: a dead node costs six of them a minute.
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(10) }
    }
}

/// One endpoint of a network.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    pub name: String,
    /// How it is spoken to, as the family of its network knows it: `json-rpc` unless said otherwise.
    pub kind: String,
    /// Lower is asked first where all are well.
    pub order: u32,
    /// `http` or `https`; may carry a key.
    pub url: Secret,
    /// `ws` or `wss`, for the doorbell.
    pub ws: Option<Secret>,
    /// How it is asked to announce heads there.
    pub announcing: Announcing,
    pub operator: Operator,
    /// Requests per second that we allow ourselves; `None` is without a limit of ours.
    pub max_rps: Option<NonZeroU32>,
    /// How many of them may come at once; `None` is one second's worth.
    pub burst: Option<NonZeroU32>,
    pub concurrency: usize,
    /// For one request, from connecting to the last byte of the body.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// `http` or `https`, may carry a name and a password; `None` is straight to the node, whatever the environment says.
    pub proxy: Option<Secret>,
    pub breaker: BreakerSettings,
    /// In bytes, after inflating.
    pub body_max: usize,
    pub headers: Vec<(String, Secret)>,
}

impl EndpointConfig {
    pub fn new(name: impl Into<String>, url: impl Into<Secret>, operator: Operator) -> Self {
        Self {
            name: name.into(),
            kind: JSON_RPC.to_owned(),
            order: 0,
            url: url.into(),
            ws: None,
            announcing: Announcing::HEADS,
            operator,
            max_rps: None,
            burst: None,
            concurrency: CONCURRENCY,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            proxy: None,
            breaker: BreakerSettings::default(),
            body_max: BODY_MAX,
            headers: Vec::new(),
        }
    }
}

/// What holds for all endpoints of a network.
#[derive(Debug, Clone, Default)]
pub struct PoolSettings {
    pub time: Time,
    /// How often the network makes a block, if that is known. A head is not called old for the time in which nobody
    /// asked for it, and a doorbell is dead after some of these.
    pub block_time: Option<Duration>,
    /// How requests reach the nodes: over the network, unless a tape is recorded or played.
    pub road: Road,
}
