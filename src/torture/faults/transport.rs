//! The line breaks: nothing, too late, too little, twice, or something else altogether.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Kind, number, text};
use crate::torture::{BATCH, Question, Reply, plain};

/// An hour: longer than any client waits.
const MS_MAX: u64 = 3_600_000;

/// As a balancer prints it when nobody stands behind it.
const PAGE: &str = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "drop",
        says: "The connection ends without an answer.",
        takes: &[],
        make: |_| Ok(plain("drop", &[], |_, _, _| Reply::Close)),
    },
    Kind {
        name: "hang",
        says: "The connection stays open and nothing is said.",
        takes: &[],
        make: |_| Ok(plain("hang", &[], |_, _, _| Reply::Hang)),
    },
    Kind {
        name: "delay",
        says: "The answer comes so many milliseconds late, and up to `jitter` more.",
        takes: &[number("ms", 2_000, MS_MAX), number("jitter", 0, MS_MAX)],
        make: |set| {
            let (ms, jitter) = (set.number("ms"), set.number("jitter"));
            Ok(plain("delay", &[], move |_, honest, dice| {
                let by = Duration::from_millis(ms + dice.below(jitter + 1));
                Reply::Late { by, then: Box::new(honest) }
            }))
        },
    },
    Kind {
        name: "drip",
        says: "The body comes one byte at a time, with so many milliseconds between.",
        takes: &[number("ms", 50, MS_MAX)],
        make: |set| {
            let every = Duration::from_millis(set.number("ms"));
            Ok(plain("drip", &[], move |_, honest, _| Reply::Drip { every, of: Box::new(honest) }))
        },
    },
    Kind {
        name: "truncate",
        says: "The body is cut after so many bytes, though all were promised.",
        takes: &[number("bytes", 40, u64::MAX)],
        make: |set| {
            let after = set.count("bytes");
            Ok(plain("truncate", &[], move |_, honest, _| Reply::Cut { after, of: Box::new(honest) }))
        },
    },
    Kind {
        name: "duplicate",
        says: "The body comes twice over in one response; in a batch, one reply comes twice.",
        takes: &[],
        make: |_| Ok(plain("duplicate", &[], |_, honest, _| Reply::Twice(Box::new(honest)))),
    },
    Kind {
        name: "garbage",
        says: "Bytes by chance, with status 200 and the type of JSON.",
        takes: &[number("bytes", 64, 1 << 20)],
        make: |set| {
            let bytes = set.count("bytes");
            Ok(plain("garbage", &[], move |_, _, dice| {
                let body: Vec<u8> = (0..bytes).flat_map(|_| dice.bytes::<1>()).collect();
                Reply::http(200, body)
            }))
        },
    },
    Kind {
        name: "html",
        says: "The page of a web server, with this status.",
        takes: &[number("status", 200, 599)],
        make: |set| {
            let status = status(set.number("status"))?;
            Ok(plain("html", &[], move |_, _, _| page(status)))
        },
    },
    Kind {
        name: "empty-body",
        says: "Status 200 and no body.",
        takes: &[],
        make: |_| Ok(plain("empty-body", &[], |_, _, _| Reply::http(200, ""))),
    },
    Kind {
        name: "status",
        says: "This HTTP status with a body that says nothing of use.",
        takes: &[number("status", 503, 599), text("body", "unavailable")],
        make: |set| {
            let (status, body) = (status(set.number("status"))?, set.text("body"));
            Ok(plain("status", &[], move |_, _, _| Reply::http(status, body.clone())))
        },
    },
    Kind {
        name: "redirect",
        says: "The client is sent to another place.",
        takes: &[text("to", "http://127.0.0.1:9/")],
        make: |set| {
            let to = set.text("to");
            Ok(plain("redirect", &[], move |_, _, _| Reply::Http {
                status: 307,
                headers: vec![("location".to_owned(), to.clone())],
                body: "moved".into(),
            }))
        },
    },
    Kind {
        name: "flood",
        says: "The answer is followed by so many bytes of white space.",
        takes: &[number("bytes", 64 << 20, 1 << 30)],
        make: |set| {
            let bytes = set.count("bytes");
            Ok(plain("flood", &[], move |asked, honest, _| flooded(asked, honest, bytes)))
        },
    },
    Kind {
        name: "wrong-id",
        says: "The reply bears the id of another question.",
        takes: &[],
        make: |_| {
            Ok(plain("wrong-id", &[], |_, honest, dice| match honest {
                Reply::Result(result) => {
                    Reply::Envelope(json!({ "jsonrpc": "2.0", "id": dice.below(1 << 53), "result": result }))
                }
                other => other,
            }))
        },
    },
    Kind {
        name: "null",
        says: "The result is null, whatever was asked.",
        takes: &[],
        make: |_| Ok(plain("null", &[], |_, honest, _| honest.map(|_| json!(null)))),
    },
    Kind {
        name: "empty",
        says: "The result is an empty list where a list was asked for.",
        takes: &[],
        make: |_| {
            Ok(plain("empty", &[], |_, honest, _| {
                honest.map(|result| if result.is_array() { json!([]) } else { result })
            }))
        },
    },
    Kind {
        name: "no-batch",
        says: "Requests of several questions are refused.",
        takes: &[],
        make: |_| {
            Ok(plain("no-batch", &[BATCH], |_, _, _| {
                let error = json!({ "code": -32600, "message": "batch requests are not supported" });
                Reply::Envelope(json!({ "jsonrpc": "2.0", "id": null, "error": error }))
            }))
        },
    },
    Kind {
        name: "reorder",
        says: "The replies of a batch come in another order, which they may.",
        takes: &[],
        make: |_| {
            Ok(batches("reorder", |list, dice| {
                let by = 1 + dice.place(list.len() - 1);
                list.rotate_left(by);
            }))
        },
    },
    Kind {
        name: "short-batch",
        says: "One reply of a batch is missing.",
        takes: &[],
        make: |_| {
            Ok(batches("short-batch", |list, dice| {
                let gone = dice.place(list.len());
                list.remove(gone);
            }))
        },
    },
];

fn batches(
    name: &'static str,
    change: impl Fn(&mut Vec<serde_json::Value>, &mut crate::torture::Dice) + Send + Sync + 'static,
) -> Arc<dyn crate::torture::Fault> {
    plain(name, &[BATCH], move |_, mut honest, dice| {
        if let Reply::Result(serde_json::Value::Array(list)) = &mut honest
            && list.len() > 1
        {
            change(list, dice);
        }
        honest
    })
}

fn status(number: u64) -> Result<u16, String> {
    u16::try_from(number)
        .ok()
        .filter(|status| *status >= 200)
        .ok_or_else(|| "status: a number from 200 to 599".to_owned())
}

fn page(status: u16) -> Reply {
    let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    Reply::Http { status, headers, body: PAGE.into() }
}

fn flooded(asked: &Question, honest: Reply, bytes: usize) -> Reply {
    let Reply::Result(result) = honest else { return honest };
    let whole = json!({ "jsonrpc": "2.0", "id": asked.id, "result": result });
    let mut body = whole.to_string().into_bytes();
    body.resize(body.len() + bytes, b' ');
    Reply::http(200, body)
}
