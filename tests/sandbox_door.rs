//! The sandbox's door and its client, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use escrow_core::{Msat, UnixTime};
use escrow_lightning::backend::{HoldRequest, HoldState, SettleOutcome};
use escrow_lightning::sandbox::Setup;
use escrow_lightning::{LightningBackend, Preimage, Sandbox};
use mostro_relay::cli::sandbox::{SandboxArgs, SandboxCallError, answer};
use mostro_relay::sandbox_door;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const NOW: UnixTime = UnixTime(1_700_000_000);

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: SandboxArgs,
}

/// A box of which only the sandbox and its door exist.
struct Town {
    address: SocketAddr,
    sandbox: Sandbox,
    stop: oneshot::Sender<()>,
    door: JoinSet<()>,
}

impl Town {
    async fn new() -> Self {
        let sandbox = Sandbox::in_memory(&Setup::from_seed([5; 32]), Arc::new(|| NOW));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let mut door = JoinSet::new();
        door.spawn(sandbox_door::run(listener, sandbox.clone(), stopped));
        Town {
            address,
            sandbox,
            stop,
            door,
        }
    }

    async fn says(&self, words: &str) -> Result<String, SandboxCallError> {
        self.says_with(words, "").await
    }

    async fn says_with(&self, words: &str, input: &str) -> Result<String, SandboxCallError> {
        let words = std::iter::once("sandbox").chain(words.split_whitespace());
        let line = CommandLine::try_parse_from(words).unwrap();
        answer(line.args, self.address, input.as_bytes()).await
    }

    async fn refuses(&self, words: &str) -> String {
        self.says(words).await.unwrap_err().to_string()
    }

    async fn opens_hold(&self, preimage: &Preimage) -> String {
        let request = HoldRequest {
            hash: preimage.hash(),
            amount: Msat(100_600_000),
            memo: "order".into(),
            expires_at: NOW.plus(900),
            cltv_delta: 144,
            private_hints: false,
        };
        self.sandbox.create_hold(&request).await.unwrap().bolt11
    }

    async fn closes(mut self) {
        drop(self.stop);
        self.door.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_seller_pays_a_hold_and_a_buyer_writes_an_invoice() {
    let town = Town::new().await;
    assert_eq!(
        town.says("wallets").await.unwrap(),
        "trader               100000000 sat\n"
    );
    assert_eq!(
        town.says("fund seller 200000").await.unwrap(),
        "200000 sat\n"
    );

    let preimage = Preimage::new([1; 32]);
    let bolt11 = town.opens_hold(&preimage).await;
    let held = town
        .says_with("pay --wallet seller", &format!("{bolt11}\n"))
        .await
        .unwrap();
    assert_eq!(held, "held: the node has the money locked\n");
    assert_eq!(
        town.refuses(&format!("pay {bolt11}")).await,
        "the payee refuses: already paid or \
        canceled, or another sum was asked for"
    );
    let settled = town.sandbox.settle_hold(&preimage).await.unwrap();
    assert_eq!(settled, SettleOutcome::Settled);
    let wallets = town.says("wallets --json").await.unwrap();
    assert_eq!(wallets, "{\"seller\":99400000,\"trader\":100000000000}\n");

    let invoice = town.says("invoice 99400").await.unwrap();
    assert!(
        invoice.starts_with("lnbcrt") && invoice.ends_with('\n'),
        "{invoice}"
    );
    assert_eq!(invoice.split_whitespace().count(), 1, "{invoice}");
    let paid = town
        .says(&format!("pay --wallet seller {invoice}"))
        .await
        .unwrap();
    assert_eq!(paid, "paid\n");
    town.closes().await;
}

#[tokio::test]
async fn refusals_name_their_reason() {
    let town = Town::new().await;
    let table = [
        (
            "fund Seller 1",
            "a wallet's name is 1 to 32 of a-z, 0-9, - and _",
        ),
        (
            "fund seller 18446744073709551615",
            "the amount is zero or too large",
        ),
        ("invoice 0", "the amount is zero or too large"),
        (
            "invoice 5 --wallet nobody",
            "no wallet of that name: fund it first",
        ),
        ("pay lnbc1nonsense", "not an invoice of this sandbox"),
        ("pay", "not an invoice of this sandbox"),
    ];
    for (words, reason) in table {
        assert_eq!(town.refuses(words).await, reason, "{words}");
    }
    town.closes().await;
}

#[tokio::test]
async fn blocks_cancel_a_hold_and_the_state_tells_it() {
    let town = Town::new().await;
    let preimage = Preimage::new([1; 32]);
    let bolt11 = town.opens_hold(&preimage).await;
    town.says(&format!("pay {bolt11}")).await.unwrap();
    let state = town.says("state").await.unwrap();
    assert!(state.contains("held                 100600 sat"), "{state}");
    assert!(state.contains(&preimage.hash().to_string()), "{state}");

    assert_eq!(town.says("mine 144").await.unwrap(), "height 1144\n");
    let hold = town
        .sandbox
        .lookup_hold(preimage.hash())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(hold.state, HoldState::Canceled);
    let state: serde_json::Value =
        serde_json::from_str(&town.says("state --json").await.unwrap()).unwrap();
    assert_eq!(
        (&state["height"], &state["held_in"]),
        (&1_144.into(), &0.into())
    );
    town.says("fail-payments 3").await.unwrap();
    let failing = town
        .sandbox
        .look(|world| world.state().failing_payments)
        .await
        .unwrap();
    assert_eq!(failing, 3);
    town.closes().await;
}

#[tokio::test]
async fn an_empty_town_is_said_to_be_empty() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let line = CommandLine::try_parse_from(["sandbox", "wallets"]).unwrap();
    let said = answer(line.args, address, std::io::empty())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with(&format!("no box with a sandbox is running at {address}")),
        "{said}"
    );
}

#[tokio::test]
async fn faults_come_and_go_through_the_door() {
    let town = Town::new().await;
    let fault = r#"{"op":"info","action":"fail-before"}"#;
    for (request, want) in [
        (
            format!("POST /faults HTTP/1.1\r\ncontent-length: {}", fault.len()),
            "200",
        ),
        ("DELETE /faults HTTP/1.1\r\ncontent-length: 0".into(), "200"),
        ("GET /elsewhere HTTP/1.1\r\ncontent-length: 0".into(), "404"),
        ("POST /fund HTTP/1.1\r\ncontent-length: 0".into(), "400"),
    ] {
        let body = if request.contains("POST /faults") {
            fault
        } else {
            ""
        };
        let mut stream = TcpStream::connect(town.address).await.unwrap();
        let head = "host: x\r\nconnection: close\r\ncontent-type: application/json";
        let text = format!("{request}\r\n{head}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let all = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .unwrap()
            .unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {want}")),
            "{request}: {answer}"
        );
        let hears = town.sandbox.info().await.is_ok();
        assert_eq!(hears, !request.contains("POST /faults"), "{request}");
    }
    town.closes().await;
}
