//! The demo, played to its end as a person would, only faster.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

/// A minute and a half of story at a person's pace; on a machine under load, at none.
const WITHIN: Duration = Duration::from_mins(4);

#[tokio::test]
async fn the_demo_goes_as_told() {
    if let Some(reason) = cannot_play() {
        println!("skipped: {reason}");
        return;
    }
    let dir = TempDir::new().unwrap();
    // The private Postgres must be able to walk to its folder.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_amn-scanner")));
    command.arg("demo").current_dir(dir.path()).env("AMN_DEMO_PACE_MS", "0").env("NO_COLOR", "1");
    if std::env::var_os("AMN_ANVIL").is_none() {
        command.env("AMN_ANVIL", PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node_modules/.bin/anvil"));
    }
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let run = tokio::time::timeout(WITHIN, run).await.expect("the demo ends").unwrap();
    let (shown, said) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}\n{shown}\n{said}", run.status);
    assert!(shown.contains("All as told: 16 orders on 3 chains"), "{shown}");
    let attested = shown.matches("proven, 2 operators, 2 attestations: ship it").count();
    assert_eq!(attested, 3, "by memo, by muxed address, to a contract: {shown}");
    let listed = shown.matches("of a jetton that is not listed").count();
    assert_eq!(listed, 1, "why the fake jetton is refused: {shown}");
    assert!(!shown.contains('\x1b'), "a pipe gets no colours");
    let too_wide: Vec<&str> = shown.lines().filter(|line| line.chars().count() > 110 && !line.contains('/')).collect();
    assert!(too_wide.is_empty(), "{too_wide:#?}");
}

fn cannot_play() -> Option<&'static str> {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node_modules/.bin/anvil");
    let named = std::env::var_os("AMN_ANVIL").map(PathBuf::from);
    (!named.unwrap_or(built).exists()).then_some("anvil is not installed; ./test installs it")
}
