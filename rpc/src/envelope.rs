//! Finds `id`, `result` and `error` in a body without reading what is inside them.
//!
//! One pass: strings are leapt over, brackets must pair, and nesting is bounded here because the reader behind it
//! skips unknown values by recursion without a limit: a body of `[[[[…` would otherwise end the process.

use std::ops::Range;

use bytes::Bytes;

/// The typed reader stops at 255 levels, so deeper bodies could not be read anyway. Block, receipt and log pages need 6.
const DEPTH_MAX: usize = 255;

/// Why a body is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    TooDeep,
    Broken(&'static str),
}

impl Fault {
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::TooDeep => "nested too deep",
            Self::Broken(what) => what,
        }
    }
}

/// One reply, its members as slices of the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) id: Option<Bytes>,
    pub(crate) result: Option<Bytes>,
    /// An `error` of `null` counts as absent: some nodes send both members always.
    pub(crate) error: Option<Bytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Envelope {
    One(Reply),
    Many(Vec<Reply>),
}

/// Opens a body. A list of more than `replies_max` is refused.
pub(crate) fn open(body: &Bytes, replies_max: usize) -> Result<Envelope, Fault> {
    let mut walk = Walk { body, at: 0 };
    let envelope = match walk.next_token()? {
        b'{' => Envelope::One(walk.reply()?),
        b'[' => Envelope::Many(walk.replies(replies_max)?),
        _ => return Err(Fault::Broken("neither an object nor a list")),
    };
    match walk.next_token() {
        Err(_) => Ok(envelope),
        Ok(_) => Err(Fault::Broken("something follows the reply")),
    }
}

/// Whether a body is one JSON value, whole and of bounded depth; and whether that value is an object.
pub(crate) fn bounded(body: &Bytes) -> Result<bool, Fault> {
    let mut walk = Walk { body, at: 0 };
    let object = walk.next_token()? == b'{';
    // A bare number or word at the very end has nothing behind it to end at; no API answers with one.
    walk.value()?;
    match walk.next_token() {
        Err(_) => Ok(object),
        Ok(_) => Err(Fault::Broken("something follows the answer")),
    }
}

struct Walk<'a> {
    body: &'a Bytes,
    at: usize,
}

impl Walk<'_> {
    /// The next byte that is not white space, not consumed.
    fn next_token(&mut self) -> Result<u8, Fault> {
        while let Some(&byte) = self.body.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        Err(CUT)
    }

    fn expect(&mut self, byte: u8, why: &'static str) -> Result<(), Fault> {
        if self.next_token()? != byte {
            return Err(Fault::Broken(why));
        }
        self.at += 1;
        Ok(())
    }

    fn replies(&mut self, replies_max: usize) -> Result<Vec<Reply>, Fault> {
        self.expect(b'[', "not a list")?;
        let mut replies = Vec::new();
        if self.next_token()? == b']' {
            self.at += 1;
            return Ok(replies);
        }
        loop {
            if replies.len() == replies_max {
                return Err(Fault::Broken("more replies than questions"));
            }
            replies.push(self.reply()?);
            if self.closes(b']')? {
                return Ok(replies);
            }
        }
    }

    fn reply(&mut self) -> Result<Reply, Fault> {
        self.expect(b'{', "a reply is not an object")?;
        let mut reply = Reply::default();
        if self.next_token()? == b'}' {
            self.at += 1;
            return Ok(reply);
        }
        loop {
            if self.next_token()? != b'"' {
                return Err(Fault::Broken("a member without a name"));
            }
            let name = self.value()?;
            self.expect(b':', "a member without a value")?;
            let value = self.value()?;
            let place = match &self.body[name] {
                br#""id""# => Some(&mut reply.id),
                br#""result""# => Some(&mut reply.result),
                br#""error""# => Some(&mut reply.error),
                _ => None,
            };
            if let Some(place) = place
                && place.replace(self.body.slice(value)).is_some()
            {
                // Which of both a reader takes is its own affair, so neither can be believed.
                return Err(Fault::Broken("a member is there twice"));
            }
            if self.closes(b'}')? {
                reply.error = reply.error.filter(|error| error.as_ref() != b"null");
                return Ok(reply);
            }
        }
    }

    /// Consumes a comma (false) or the closing bracket (true).
    fn closes(&mut self, closing: u8) -> Result<bool, Fault> {
        let byte = self.next_token()?;
        if byte != closing && byte != b',' {
            return Err(Fault::Broken("neither a comma nor an end"));
        }
        self.at += 1;
        Ok(byte == closing)
    }

    /// Leaps over one value.
    fn value(&mut self) -> Result<Range<usize>, Fault> {
        let first = self.next_token()?;
        let start = self.at;
        match first {
            b'"' => self.string()?,
            b'{' | b'[' => self.nested()?,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let rest = &self.body[start..];
                self.at += rest.iter().position(|b| b",]} \n\r\t".contains(b)).ok_or(CUT)?;
            }
            _ => return Err(Fault::Broken("not a value")),
        }
        Ok(start..self.at)
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            let rest = self.body.get(self.at..).ok_or(CUT)?;
            let found = memchr::memchr2(b'"', b'\\', rest).ok_or(CUT)?;
            self.at += found + 1;
            if rest[found] == b'"' {
                return Ok(());
            }
            // Whatever follows a backslash, it does not end the string.
            self.at += 1;
        }
    }

    fn nested(&mut self) -> Result<(), Fault> {
        let mut open = Brackets::default();
        loop {
            let Some(&byte) = self.body.get(self.at) else { return Err(CUT) };
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open.push(byte == b'{')?,
                b'}' | b']' => {
                    if open.pop() != Some(byte == b'}') {
                        return Err(Fault::Broken("brackets do not pair"));
                    }
                    if open.depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
    }
}

const CUT: Fault = Fault::Broken("the body is cut off");

/// The open brackets, one bit each: set where it is an object.
#[derive(Default)]
struct Brackets {
    kinds: [u64; DEPTH_MAX / 64 + 1],
    depth: usize,
}

impl Brackets {
    fn push(&mut self, object: bool) -> Result<(), Fault> {
        if self.depth == DEPTH_MAX {
            return Err(Fault::TooDeep);
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        if object {
            self.kinds[word] |= bit;
        } else {
            self.kinds[word] &= !bit;
        }
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<bool> {
        self.depth = self.depth.checked_sub(1)?;
        Some(self.kinds[self.depth / 64] & (1 << (self.depth % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_text(text: &str) -> Result<Envelope, Fault> {
        open(&Bytes::copy_from_slice(text.as_bytes()), 10)
    }

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn members_are_found_in_any_order_with_strangers_between() {
        let text = r#" { "result" : {"a":["}\"]", {"id":9}]} , "x":[1,{}], "error":null,"jsonrpc":"2.0","id":7} "#;
        let found = Reply { id: Some(bytes("7")), result: Some(bytes(r#"{"a":["}\"]", {"id":9}]}"#)), error: None };
        assert_eq!(open_text(text), Ok(Envelope::One(found)));
    }

    #[test]
    fn a_list_is_opened_reply_by_reply() {
        let Ok(Envelope::Many(replies)) = open_text(r#"[{"id":1,"result":"a"},{"id":2,"error":{"code":1}}]"#) else {
            panic!("not a list");
        };
        assert_eq!(replies[0].result, Some(bytes(r#""a""#)));
        assert_eq!(replies[1].error, Some(bytes(r#"{"code":1}"#)));
        assert_eq!(open_text("[]"), Ok(Envelope::Many(Vec::new())));
    }

    #[test]
    fn every_cut_of_a_reply_is_noticed() {
        let whole = r#"{"jsonrpc":"2.0","id":1,"result":[{"a":"b\"c"},null,-1]}"#;
        assert!(open_text(whole).is_ok());
        for end in 0..whole.len() {
            assert!(matches!(open_text(&whole[..end]), Err(Fault::Broken(_))), "cut at {end}");
        }
    }

    #[test]
    fn a_broken_body_is_refused() {
        for body in [
            r#"{"id":1,"result":[}]}"#,
            r#"{"id":1,"result":1} {"id":1,"result":2}"#,
            r#"{"id":1,"result":1,"result":2}"#,
            r#"{"id":1 "result":1}"#,
            "{id:1}",
            r#""text""#,
            "[1]",
            r#"{"id":1,"result":<html>}"#,
            "<html>502</html>",
        ] {
            assert!(matches!(open_text(body), Err(Fault::Broken(_))), "{body}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| format!(r#"{{"id":1,"result":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(open_text(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(open_text(&nested(DEPTH_MAX + 1)), Err(Fault::TooDeep));
        assert_eq!(open_text(&format!(r#"{{"result":{}"#, "[".repeat(5_000_000))), Err(Fault::TooDeep));
    }

    #[test]
    fn a_list_longer_than_the_question_is_refused() {
        let long = format!("[{}]", [r#"{"id":1}"#; 11].join(","));
        assert_eq!(open_text(&long), Err(Fault::Broken("more replies than questions")));
    }
}
