//! With a real server, made and killed for each test.

use std::os::unix::fs::PermissionsExt;

use sqlx::Row;

use std::path::PathBuf;

use super::*;

/// A folder that the server's user can reach, removed with its server.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("postgres")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        kill_server(&self.path().join("data"));
    }
}

fn server_pid(data: &Path) -> Option<rustix::process::Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    rustix::process::Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
}

/// As a machine that loses power: no goodbye. The pid file stays.
fn kill_server(data: &Path) {
    let Some(pid) = server_pid(data) else { return };
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    let began = Instant::now();
    while ground::is_postgres_of(u32::try_from(pid.as_raw_nonzero().get()).unwrap(), data) {
        assert!(began.elapsed() < Duration::from_secs(10), "the server does not die");
        std::thread::yield_now();
    }
}

async fn query(embedded: &Embedded, sql: &'static str) -> String {
    let mut connection = PgConnection::connect_with(&embedded.options()).await.unwrap();
    let row = sqlx::query(sql).fetch_one(&mut connection).await.unwrap();
    row.get::<String, _>(0)
}

async fn run_statement(embedded: &Embedded, sql: &'static str) {
    let mut connection = PgConnection::connect_with(&embedded.options()).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn it_is_made_shared_survives_kills_and_is_stopped_by_the_last() {
    let place = Place::new();

    // Two daemons start at once: one makes the cluster, both use it.
    let path = place.path();
    let (first, second) = tokio::join!(Embedded::start(&path), Embedded::start(&path));
    let (first, second) = (first.unwrap(), second.unwrap());
    run_statement(&first, "create table kept as select 'money' as what").await;
    assert_eq!(query(&second, "select what from kept").await, "money");

    // No network, and settings that keep what is committed.
    assert_eq!(query(&first, "select current_setting('listen_addresses')").await, "");
    assert_eq!(query(&first, "select current_setting('fsync') || current_setting('data_checksums')").await, "onon");
    let mut by_url = PgConnection::connect(&first.url()).await.unwrap();
    sqlx::query("select 1").execute(&mut by_url).await.unwrap();
    drop(by_url);

    // One daemon ends: the server stays for the other. That one is killed (it never says stop): the next start
    // uses the same server.
    let pid = server_pid(first.data()).unwrap();
    assert!(!first.stop().await.unwrap(), "another daemon lives on it");
    drop(second);
    let third = Embedded::start(&path).await.unwrap();
    assert_eq!(server_pid(third.data()), Some(pid));

    // The server is killed: its pid file stays, and what was committed does too.
    kill_server(third.data());
    drop(third);
    let fourth = Embedded::start(&path).await.unwrap();
    assert_ne!(server_pid(fourth.data()), Some(pid));
    assert_eq!(query(&fourth, "select what from kept").await, "money");

    // The last one stops it, and a pid file that names another process keeps nobody from starting.
    let data = fourth.data().to_owned();
    assert!(fourth.stop().await.unwrap(), "nobody else is there");
    assert_eq!(server_pid(&data), None);
    fs::write(data.join("postmaster.pid"), format!("{}\n{}\n", std::process::id(), data.display())).unwrap();
    let fifth = Embedded::start(&path).await.unwrap();
    assert_eq!(query(&fifth, "select what from kept").await, "money");
    assert!(fifth.stop().await.unwrap());
}

#[tokio::test]
async fn a_crash_while_the_cluster_is_made_leaves_nothing_in_the_way_and_a_long_path_gets_a_short_socket() {
    let place = Place::new();
    let path = place.path().join("a-name-that-is-far-too-long-for-the-address-of-a-socket".repeat(2));
    fs::create_dir_all(path.join("data.unfinished/base")).unwrap();
    let embedded = Embedded::start(&path).await.unwrap();
    assert_eq!(query(&embedded, "select current_database()::text").await, "amn");
    let socket_dir = embedded.ground.socket_dir.clone();
    assert_ne!(socket_dir, embedded.data());
    assert_eq!(fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(embedded.stop().await.unwrap());
    fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn what_is_no_cluster_is_left_alone_and_named() {
    let place = Place::new();
    fs::create_dir_all(place.path().join("data")).unwrap();
    fs::write(place.path().join("data/letters.txt"), "mine").unwrap();
    let error = Embedded::start(&place.path()).await.unwrap_err().to_string();
    assert!(error.contains("no Postgres cluster"), "{error}");
    assert!(place.path().join("data/letters.txt").exists());
}

#[tokio::test]
async fn as_root_below_a_closed_folder_the_cluster_lies_where_its_user_can_reach_it() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root gives the cluster to another user");
        return;
    }
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap(); // As /root is.
    let embedded = Embedded::start(&closed.path().join("postgres")).await.unwrap();
    let root = embedded.ground.root.clone();
    assert!(root.starts_with("/var/lib/amn-scanner"), "{}", root.display());
    run_statement(&embedded, "create table kept ()").await;
    assert!(embedded.stop().await.unwrap());
    let again = Embedded::start(&closed.path().join("postgres")).await.unwrap();
    run_statement(&again, "drop table kept").await;
    assert!(again.stop().await.unwrap());
    fs::remove_dir_all(root).unwrap();
}
