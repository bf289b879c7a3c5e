//! Files go the same road as questions, from a server and from a folder of our own.

use std::fs;
use std::path::Path;

use amn_core::block::{NetworkId, Operator};
use amn_rpc::{EndpointConfig, Player, Pool, PoolSettings, Recorder, Road, RpcError};
use bytes::Bytes;

use crate::node::{Node, Says, pool};

/// An endpoint that is a folder.
fn folder(path: &Path) -> EndpointConfig {
    let url = url::Url::from_file_path(path).unwrap();
    let mut config = EndpointConfig::new("folder", url.as_str(), Operator::new("us"));
    "files".clone_into(&mut config.kind);
    config
}

async fn file(config: EndpointConfig, path: &[&str]) -> Result<Bytes, RpcError> {
    pool(vec![config]).endpoints()[0].file("file", path).await
}

async fn served(status: u16, headers: &'static str, body: &str) -> Result<Bytes, RpcError> {
    let node = Node::that(Says::Http(status, headers, body.to_owned())).await;
    file(node.config("a"), &["folder", "a file"]).await
}

#[tokio::test]
async fn a_file_is_taken_as_it_is_and_asked_for_as_a_file() {
    let node = Node::that(Says::Http(200, "", "(\u{b5}/\0 no JSON".to_owned())).await;
    let taken = file(node.config("a"), &["folder", "a file"]).await.unwrap();
    assert_eq!(taken, "(\u{b5}/\0 no JSON".as_bytes());
    let heard = node.heard.lock().unwrap().to_lowercase();
    assert!(heard.starts_with("get /v2/sekret0123456789/folder/a%20file http/1.1"), "{heard}");
    assert!(heard.contains("accept: */*") && !heard.contains("accept: application/json"), "{heard}");
}

#[tokio::test]
async fn what_a_store_says_instead_of_a_file_is_never_an_empty_file() {
    assert!(matches!(served(404, "", "<Code>NoSuchKey</Code>").await, Err(RpcError::NotYet(_))));
    assert!(matches!(served(410, "", "").await, Err(RpcError::NotYet(_))));
    assert!(matches!(served(403, "", "<Code>AccessDenied</Code>").await, Err(RpcError::Credentials(_))));
    assert!(matches!(served(301, "location: http://a.example\r\n", "").await, Err(RpcError::TryOther { .. })));
    for status in [204, 206] {
        assert!(matches!(served(status, "", "").await, Err(RpcError::Malformed(_))), "{status}");
    }
    let slow = "<Code>SlowDown</Code><Message>Please reduce your request rate.</Message>";
    assert!(matches!(served(503, "", slow).await, Err(RpcError::CoolDown { .. })));
    assert!(matches!(served(500, "", "").await, Err(RpcError::TryOther { .. })));
}

#[tokio::test]
async fn a_server_that_breaks_off_gives_no_half_of_a_file_and_one_that_floods_gives_none() {
    let node = Node::that(Says::Breaks("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")).await;
    assert!(matches!(file(node.config("a"), &["f"]).await, Err(RpcError::TryOther { .. })));
    let node = Node::that(Says::Floods).await;
    let mut config = node.config("a");
    config.body_max = 64 << 10;
    assert!(matches!(file(config, &["f"]).await, Err(RpcError::Malformed(what)) if what.contains("65536")));
}

#[tokio::test]
async fn a_folder_hands_its_files_over_and_says_which_it_has_not() {
    let own = tempfile::tempdir().unwrap();
    fs::create_dir(own.path().join("part")).unwrap();
    fs::write(own.path().join("part/a file"), b"\xfd\0bytes").unwrap();
    assert_eq!(file(folder(own.path()), &["part", "a file"]).await.unwrap(), &b"\xfd\0bytes"[..]);
    assert!(matches!(file(folder(own.path()), &["part", "none"]).await, Err(RpcError::NotYet(_))));
    assert!(matches!(file(folder(&own.path().join("gone")), &["f"]).await, Err(RpcError::NotYet(_))));
    let mut small = folder(own.path());
    small.body_max = 6;
    assert!(matches!(file(small, &["part", "a file"]).await, Err(RpcError::Malformed(_))));
    let pool = pool(vec![folder(own.path())]);
    assert_eq!(pool.endpoints()[0].shown_url(), "file://", "where it is concerns nobody");
    assert!(matches!(pool.call("getHealth", &()).await, Err(RpcError::TryOther { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_read_from_outside_of_the_folder_and_nothing_that_is_no_plain_file() {
    use std::os::unix::fs::symlink;

    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(other.path().join("secret"), b"secret").unwrap();
    fs::write(own.path().join("plain"), b"plain").unwrap();
    symlink(other.path().join("secret"), own.path().join("link")).unwrap();
    symlink(other.path(), own.path().join("folder")).unwrap();
    symlink(own.path().join("plain"), own.path().join("own link")).unwrap();
    fs::create_dir(own.path().join("sub")).unwrap();
    for path in [&["link"][..], &["folder", "secret"], &["sub"]] {
        let outcome = file(folder(own.path()), path).await;
        assert!(matches!(outcome, Err(RpcError::TryOther { .. })), "{path:?}: {outcome:?}");
    }
    let above = file(folder(&own.path().join("sub")), &["..", "plain"]).await;
    assert!(above.is_err(), "a path has no way up");
    assert_eq!(file(folder(own.path()), &["own link"]).await.unwrap(), "plain", "a link within the folder leads there");
}

#[tokio::test]
async fn a_folder_is_no_node() {
    let own = tempfile::tempdir().unwrap();
    let mut config = folder(own.path());
    config.kind = "json-rpc".to_owned();
    let error = Pool::new(NetworkId::new("devnet"), vec![config]).unwrap_err().to_string();
    assert!(error.contains("url is a folder"), "{error}");
    for url in ["file://host/path", "file:///a?b=c", "ftp://a.example/"] {
        let mut config = EndpointConfig::new("a", url, Operator::new("us"));
        "files".clone_into(&mut config.kind);
        assert!(Pool::new(NetworkId::new("devnet"), vec![config]).is_err(), "{url}");
    }
}

#[tokio::test]
async fn files_are_on_the_tape_and_come_from_it_again() {
    let (own, tape) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(own.path().join("f"), b"\xfd\0bytes").unwrap();
    let on = |road| {
        let settings = PoolSettings { road, ..PoolSettings::default() };
        Pool::new_with(NetworkId::new("devnet"), vec![folder(own.path())], settings).unwrap()
    };
    let recorder = Recorder::begin(tape.path(), 1 << 20, || 0).unwrap();
    let live = on(Road::Recorded(recorder.clone()));
    let first = live.endpoints()[0].file("file", &["f"]).await.unwrap();
    recorder.finish().unwrap();
    fs::remove_file(own.path().join("f")).unwrap();
    let player = std::sync::Arc::new(Player::open(tape.path()).unwrap());
    let played = on(Road::Played(player.clone()));
    assert_eq!(played.endpoints()[0].file("file", &["f"]).await.unwrap(), first);
    assert_eq!((player.played().asked, player.played().missing_in_all), (1, 0));
    let text = fs::read_to_string(tape.path().join("exchanges.jsonl")).unwrap();
    assert!(text.contains(r#"{"GET":"/f"}"#), "{text}");
}

#[tokio::test]
async fn a_store_that_fails_again_and_again_is_left_alone() {
    let own = tempfile::tempdir().unwrap();
    fs::create_dir(own.path().join("sub")).unwrap();
    let pool = pool(vec![folder(own.path())]);
    let endpoint = &pool.endpoints()[0];
    for _ in 0..5 {
        endpoint.file("file", &["sub"]).await.unwrap_err();
    }
    let error = endpoint.file("file", &["sub"]).await.unwrap_err().to_string();
    assert!(error.contains("folder fails with file"), "{error}");
    assert_eq!(endpoint.health().requests["file"], 5);
}

#[tokio::test]
async fn a_store_that_lacks_a_file_is_well() {
    let own = tempfile::tempdir().unwrap();
    let pool = pool(vec![folder(own.path())]);
    let endpoint = &pool.endpoints()[0];
    for _ in 0..20 {
        assert!(matches!(endpoint.file("file", &["f"]).await, Err(RpcError::NotYet(_))));
    }
    assert!(endpoint.health().usable);
}
