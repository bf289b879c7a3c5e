//! How an endpoint is to be used, as the operator configured it.

use std::num::NonZeroU32;
use std::time::Duration;

use amn_core::block::Operator;

use crate::secret::Secret;

/// Requests at once to one endpoint: public nodes drop clients that open many more.
const CONCURRENCY: usize = 16;
/// A node that needs longer for one page is of no use at a tip of 200 ms blocks; heavy ranges are halved instead.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The receipts of the fullest blocks take some 10 MB; a page of 10,000 logs 7 MB. Four times that.
const BODY_MAX: usize = 40 << 20;

/// One endpoint of a network.
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    pub name: String,
    /// `http` or `https`; may carry a key.
    pub url: Secret,
    /// `ws` or `wss`, for the doorbell.
    pub ws: Option<Secret>,
    pub operator: Operator,
    /// Requests per second that we allow ourselves; `None` is without a limit of ours.
    pub max_rps: Option<NonZeroU32>,
    /// How many of them may come at once; `None` is one second's worth.
    pub burst: Option<NonZeroU32>,
    pub concurrency: usize,
    /// For one request, from connecting to the last byte of the body.
    pub timeout: Duration,
    /// In bytes, after inflating.
    pub body_max: usize,
    pub headers: Vec<(String, Secret)>,
}

impl EndpointConfig {
    pub fn new(name: impl Into<String>, url: impl Into<Secret>, operator: Operator) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            ws: None,
            operator,
            max_rps: None,
            burst: None,
            concurrency: CONCURRENCY,
            timeout: TIMEOUT,
            body_max: BODY_MAX,
            headers: Vec::new(),
        }
    }
}
