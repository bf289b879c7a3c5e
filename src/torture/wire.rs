//! From bytes to questions, and from replies to bytes, whole or broken.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Question, Reply};

/// What a client asked in one request.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    One(Question),
    Many(Vec<Question>),
}

/// Reads a JSON-RPC request; `None` where it is none.
pub(super) fn read(body: &[u8]) -> Option<Request> {
    match serde_json::from_slice(body).ok()? {
        Value::Array(list) => list.into_iter().map(question).collect::<Option<Vec<_>>>().map(Request::Many),
        one => question(one).map(Request::One),
    }
}

pub(super) fn question(mut value: Value) -> Option<Question> {
    let method = value["method"].as_str()?.to_owned();
    let fields = value.as_object_mut()?;
    let mut take = |name: &str| fields.remove(name).unwrap_or(Value::Null);
    Some(Question { id: take("id"), method, params: take("params") })
}

/// A reply as it goes over the line.
#[derive(Debug, PartialEq)]
pub(super) struct Spoken {
    pub(super) late: Duration,
    pub(super) what: What,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    Response {
        status: u16,
        headers: Vec<(String, String)>,
        body: Bytes,
        /// The connection ends after so many bytes of the body.
        cut: Option<usize>,
        /// One byte at a time.
        drip: Option<Duration>,
    },
    Hang,
    Close,
}

/// `bare`: results are written as they are, which is what batches and pushed messages are.
pub(super) fn speak(reply: Reply, id: &Value, bare: bool) -> Spoken {
    let now = |what| Spoken { late: Duration::ZERO, what };
    match reply {
        Reply::Result(result) if bare => now(response(result.to_string())),
        Reply::Http { status, headers, body } => now(What::Response { status, headers, body, cut: None, drip: None }),
        Reply::Hang => now(What::Hang),
        Reply::Close => now(What::Close),
        Reply::Late { by, then } => {
            let spoken = speak(*then, id, bare);
            Spoken { late: spoken.late + by, ..spoken }
        }
        Reply::Cut { after, of } => inside(speak(*of, id, bare), |_, cut, _| *cut = Some(after)),
        Reply::Drip { every, of } => inside(speak(*of, id, bare), |_, _, drip| *drip = Some(every)),
        Reply::Twice(of) => inside(speak(*of, id, bare), |body, _, _| *body = [&body[..], &body[..]].concat().into()),
        reply => now(response(enveloped(reply, id).map_or_else(|_| String::new(), |value| value.to_string()))),
    }
}

fn response(body: String) -> What {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    What::Response { status: 200, headers, body: body.into(), cut: None, drip: None }
}

fn inside(mut spoken: Spoken, change: impl FnOnce(&mut Bytes, &mut Option<usize>, &mut Option<Duration>)) -> Spoken {
    if let What::Response { body, cut, drip, .. } = &mut spoken.what {
        change(body, cut, drip);
    }
    spoken
}

/// The JSON-RPC reply, or the reply back where it is none.
pub(super) fn enveloped(reply: Reply, id: &Value) -> Result<Value, Reply> {
    match reply {
        Reply::Result(result) => Ok(json!({ "jsonrpc": "2.0", "id": id, "result": result })),
        Reply::Error { code, message, data } => {
            let mut error = json!({ "code": code, "message": message });
            if let Some(data) = data {
                error["data"] = data;
            }
            Ok(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
        }
        Reply::Envelope(envelope) => Ok(envelope),
        other => Err(other),
    }
}

/// The replies to a batch as one reply. What is no JSON-RPC reply speaks for all, as it does in a real node.
pub(super) fn together(asked: &[Question], replies: Vec<Reply>) -> Reply {
    let mut list = Vec::with_capacity(replies.len());
    let mut manner: Vec<Box<dyn FnOnce(Reply) -> Reply + Send>> = Vec::new();
    for (asked, mut reply) in asked.iter().zip(replies) {
        loop {
            reply = match reply {
                Reply::Late { by, then } => {
                    manner.push(Box::new(move |reply| Reply::Late { by, then: Box::new(reply) }));
                    *then
                }
                Reply::Cut { after, of } => {
                    manner.push(Box::new(move |reply| Reply::Cut { after, of: Box::new(reply) }));
                    *of
                }
                Reply::Drip { every, of } => {
                    manner.push(Box::new(move |reply| Reply::Drip { every, of: Box::new(reply) }));
                    *of
                }
                Reply::Twice(of) => {
                    // One reply of a batch that comes two times.
                    if let Ok(value) = enveloped((*of).clone(), &asked.id) {
                        list.push(value);
                    }
                    *of
                }
                plain => match enveloped(plain, &asked.id) {
                    Ok(value) => {
                        list.push(value);
                        break;
                    }
                    Err(whole) => return whole,
                },
            };
        }
    }
    manner.into_iter().fold(Reply::Result(Value::Array(list)), |reply, wrap| wrap(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: u64) -> Question {
        Question { id: json!(id), method: "eth_chainId".into(), params: json!([]) }
    }

    fn body(spoken: Spoken) -> String {
        let What::Response { body, .. } = spoken.what else { panic!("no response: {spoken:?}") };
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn a_question_keeps_its_id_whatever_it_is() {
        let Some(Request::One(one)) = read(br#"{"id":"a","method":"m","params":[1]}"#) else { panic!("not read") };
        assert_eq!(
            body(speak(Reply::Result(json!(null)), &one.id, false)),
            r#"{"id":"a","jsonrpc":"2.0","result":null}"#
        );
        assert_eq!(read(b"{}"), None);
        assert_eq!(read(b"[1]"), None);
        assert_eq!(read(b"not json"), None);
    }

    #[test]
    fn in_a_batch_a_refusal_over_http_speaks_for_all() {
        let (two, refused) = ([asked(1), asked(2)], Reply::http(429, "slow down"));
        assert_eq!(together(&two, vec![Reply::Result(json!(1)), refused.clone()]), refused);
    }

    #[test]
    fn in_a_batch_replies_wait_for_the_latest_and_one_may_come_twice() {
        let late = Reply::Late { by: Duration::from_secs(1), then: Box::new(Reply::Result(json!(1))) };
        let twice = Reply::Twice(Box::new(Reply::error(-1, "no")));
        let spoken = speak(together(&[asked(1), asked(2)], vec![late, twice]), &Value::Null, true);
        assert_eq!(spoken.late, Duration::from_secs(1));
        let list: Value = serde_json::from_str(&body(spoken)).unwrap();
        let ids: Vec<_> = list.as_array().unwrap().iter().map(|reply| reply["id"].clone()).collect();
        assert_eq!(ids, [json!(1), json!(2), json!(2)]);
    }
}
