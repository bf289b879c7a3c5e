//! A branch that crosses what the network called final: the network stops for a person, and goes on.

use amn_scanner::stage::anvil::{Anvil, Rules};
use amn_scanner::stage::contracts;
use amn_scanner::stage::receiver::Receiver;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::play::{Play, Setting, address, block, free_port};

/// `finalized` is two blocks below the head.
const FAST: Rules = Rules { slots_in_an_epoch: 1, block_time: None };

/// Another network on a chain of its own, as an operator adds one by a file.
struct Side {
    chain: Anvil,
    token: alloy_primitives::Address,
    config: String,
    _dir: TempDir,
}

impl Side {
    async fn new() -> Self {
        let chain = Anvil::start_as(31_338, free_port().await, Rules::default()).await.unwrap();
        let payer = chain.account(0).await.unwrap();
        let token = chain.deploy(payer, &contracts::token("Side Coin", "SIDE", 6).unwrap()).await.unwrap();
        chain.send(payer, token, &contracts::mint(payer, 1_000_000_000), 0).await.unwrap();
        chain.mine(1).await.unwrap();
        let dir = TempDir::new().unwrap();
        let file = dir.path().join("side.toml");
        let (_, devnet) = amn_evm::networks::SHIPPED.iter().find(|(id, _)| *id == "devnet").unwrap();
        std::fs::write(&file, devnet.replace("31337", "31338")).unwrap();
        let config = format!(
            r#"
            [networks.side]
            file = "{file}"
            single_operator = "accepted"
            poll_ms = 50
            quiet_poll_ms = 0
            [[networks.side.tokens]]
            address = "{token}"
            symbol = "SIDE"
            decimals = 6
            [[networks.side.endpoints]]
            name = "side"
            url = "{url}"
            operator = "side"
            "#,
            file = file.display(),
            url = chain.url()
        );
        Self { chain, token, config, _dir: dir }
    }
}

/// Runs `networks resume devnet` as a person does; what it said, and whether it was done.
async fn resume(play: &Play, more: &[&str]) -> (String, bool) {
    let config = play.dir.path().join("amn-scanner.toml");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_amn-scanner"));
    command.args(["networks", "resume", "devnet", "--config"]).arg(config).args(more);
    let done = command.output().await.unwrap();
    (
        format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)),
        done.status.success(),
    )
}

async fn network(play: &Play) -> Value {
    play.daemon.api().get("/v1/networks/devnet").await.unwrap()
}

#[tokio::test]
async fn a_fork_below_finalized_halts_one_network_until_a_person_accepts_it() {
    let side = Side::new().await;
    let setting = Setting { rules: FAST, rest: side.config.clone(), ..Setting::default() };
    let play = Play::with(setting).await;
    let (operator, serve) = Receiver::bind().await.unwrap();
    tokio::spawn(serve);
    let secret = play.daemon.api().endpoint(None, &operator.url()).await.unwrap();
    operator.trust(&secret);
    let paid = play.intent(json!({})).await;
    let unpaid = play.intent(json!({})).await;
    play.pay(&paid, 1_000_000).await;
    play.mine(6).await;
    assert_eq!(play.told(&paid), ["payment.detected", "payment.confirmed"]);

    let stood = play.chain.height().await.unwrap();
    let shut = play.gate.shut().await;
    play.chain.reorg(6, &[]).await.unwrap();
    play.chain.mine(1).await.unwrap();
    drop(shut);
    play.wait("the network does not halt", async || !network(&play).await["halt"].is_null()).await;
    let halted = network(&play).await;
    assert_eq!((&halted["halt"]["reason"], &halted["status"]), (&json!("fork_below_finalized"), &json!("halted")));
    assert_eq!(halted["tip"]["height"], stood.to_string(), "nothing moved");
    assert_eq!(play.now(&paid).await["status"], "confirmed");
    play.wait("nobody is told", async || !operator.delivered().is_empty()).await;
    assert_eq!(operator.delivered()[0].event, "network.halted");

    // The other network goes on meanwhile.
    let asset = format!("eip155:31338/erc20:{}", side.token);
    let elsewhere = play.intent(json!({"network": "side", "asset": asset})).await;
    let payer = side.chain.account(0).await.unwrap();
    let call = contracts::transfer(address(&elsewhere), 1_000_000);
    side.chain.send(payer, side.token, &call, 0).await.unwrap();
    side.chain.mine(2).await.unwrap();
    play.wait("the other network stands still", async || play.told(&elsewhere).len() >= 2).await;
    assert_eq!(play.told(&elsewhere), ["payment.detected", "payment.confirmed"]);
    assert!(!network(&play).await["halt"].is_null());

    // To go on, a person names a block of the branch.
    let (said, done) = resume(&play, &[]).await;
    assert!(!done && said.contains("--accept-fork"), "{said}");
    let accepted = format!("0x{}", block(&play.chain, "latest").await);
    let (said, done) = resume(&play, &["--accept-fork", &accepted]).await;
    assert!(done, "{said}");
    play.wait("the branch is not followed", async || play.told(&paid).len() >= 3).await;
    assert_eq!(play.told(&paid), ["payment.detected", "payment.confirmed", "payment.reversed"]);
    assert_eq!(play.now(&paid).await["status"], "reversed");
    play.balances(&paid).await;
    play.wait("nobody is told", async || operator.delivered().len() >= 2).await;
    assert_eq!(operator.delivered()[1].event, "network.resumed");
    let asked: i64 = sqlx::query_scalar("select count(*) from amn.audit where action like '%resume%'")
        .fetch_one(&play.db.pool)
        .await
        .unwrap();
    assert_eq!(asked, 1, "who resumed it is written down, once");

    // And it is a network like any other again.
    play.pay(&unpaid, 1_000_000).await;
    play.mine(4).await;
    assert_eq!(play.told(&unpaid), ["payment.detected", "payment.confirmed"]);
    assert!(network(&play).await["halt"].is_null());
    play.balances(&unpaid).await;
}
