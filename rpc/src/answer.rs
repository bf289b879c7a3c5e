//! The `result` of a call, kept as the bytes that came: read straight into the caller's types, strings borrowed.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::RpcError;
use crate::shown::shorten;

/// What a node answered. Owns its bytes; cloning shares them.
#[derive(Clone)]
pub struct Answer {
    /// A slice of the body, not a copy of it. Its nesting is bounded; nothing else of it is checked yet.
    result: Bytes,
}

impl Answer {
    pub(crate) fn new(result: Bytes) -> Self {
        Self { result }
    }

    /// Reads the result into a type of its own.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, RpcError> {
        self.parse_borrowed()
    }

    /// Reads the result into a type that borrows its strings from this answer. For parts that are to stay unread,
    /// use `sonic_rs::LazyValue`; the raw value of serde_json does not know this reader.
    pub fn parse_borrowed<'a, T: Deserialize<'a>>(&'a self) -> Result<T, RpcError> {
        // Not left to the reader, which checks only after it has handed out the strings.
        let text = std::str::from_utf8(&self.result).map_err(|_| RpcError::malformed("the result is not UTF-8"))?;
        sonic_rs::from_str(text).map_err(|error| {
            let text = error.to_string();
            RpcError::malformed(format!("the result does not read: {}", shorten(text.lines().next().unwrap_or(""))))
        })
    }

    /// The bytes of `result`, as the node sent them.
    pub fn raw(&self) -> &[u8] {
        &self.result
    }

    pub fn is_null(&self) -> bool {
        self.result.as_ref() == b"null"
    }
}

impl fmt::Debug for Answer {
    /// Never the content: it may be 40 MB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({} bytes)", self.result.len())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn answer(text: &'static [u8]) -> Answer {
        Answer::new(Bytes::from_static(text))
    }

    #[test]
    fn strings_are_borrowed_from_the_answer() {
        #[derive(Deserialize)]
        struct Log<'a> {
            address: &'a str,
        }
        let answer = answer(br#"[{"address":"0xdac1","removed":false}]"#);
        let logs: Vec<Log<'_>> = answer.parse_borrowed().unwrap();
        assert_eq!(logs[0].address, "0xdac1");
        assert!(answer.raw().as_ptr_range().contains(&logs[0].address.as_ptr()));
    }

    #[test]
    fn nothing_is_told_from_an_empty_list() {
        assert!(answer(b"null").is_null());
        assert!(!answer(b"[]").is_null());
        assert_eq!(answer(b"null").parse::<Option<String>>(), Ok(None));
    }

    #[test]
    fn a_result_of_another_shape_is_malformed() {
        for text in [&b"null"[..], b"12", b"{\"a\":1}", b"nul", b"[\"\xff\"]"] {
            assert!(matches!(answer(text).parse::<Vec<String>>(), Err(RpcError::Malformed(_))), "{text:?}");
        }
    }
}
