//! What a node's refusal means, by table.

use std::time::Duration;

use bytes::Bytes;

use crate::error::RpcError;

pub(crate) fn error_object(_error: &Bytes, _status: u16, _retry_after: Option<Duration>) -> RpcError {
    RpcError::try_other("")
}

pub(crate) fn http_status(_status: u16, _retry_after: Option<Duration>, _body: &Bytes) -> Option<RpcError> {
    None
}
