//! The node against a server that lies in every way.

use std::sync::Mutex;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::backend::Network;

const NOW: UnixTime = UnixTime(1_700_000_000);
const OWED: Msat = Msat(42_000);
const ALICE: &str = "alice@wallet.example";

/// A server that answers each path as it was told, and the client that asks it.
struct Wallet {
    lnurl: Lnurl,
    asked: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

/// What it answers: to the first question, and to the callback.
#[derive(Clone)]
struct Script {
    offer: Reply,
    invoice: Reply,
}

#[derive(Clone)]
enum Reply {
    /// With status 200.
    Json(Value),
    /// These very bytes, and then the connection ends.
    Raw(Vec<u8>),
    /// This head, and then ever more.
    Endless,
    /// Nothing.
    Silence,
}

fn offer() -> Value {
    json!({
        "tag": "payRequest", "callback": "http://pay.example/cb?id=7",
        "minSendable": 1_000, "maxSendable": 100_000, "metadata": "[]",
    })
}

fn honest() -> Script {
    Script {
        offer: Reply::Json(offer()),
        invoice: Reply::Json(json!({"pr": bolt11(|_| {}), "routes": []})),
    }
}

struct Terms {
    currency: Currency,
    cltv_delta: u64,
    key: [u8; 32],
    msat: Option<u64>,
    life_secs: u64,
}

fn bolt11(change: impl FnOnce(&mut Terms)) -> String {
    let mut terms = Terms {
        currency: Currency::Regtest,
        cltv_delta: 144,
        key: [1; 32],
        msat: Some(OWED.0),
        life_secs: 60,
    };
    change(&mut terms);
    let key = SecretKey::from_slice(&terms.key).unwrap();
    let invoice = InvoiceBuilder::new(terms.currency)
        .description("no hash of the metadata".into())
        .payment_hash(sha256::Hash::from_byte_array([9; 32]))
        .payment_secret(PaymentSecret([8; 32]))
        .duration_since_epoch(Duration::from_secs(NOW.0))
        .expiry_time(Duration::from_secs(terms.life_secs))
        .min_final_cltv_expiry_delta(terms.cltv_delta);
    let invoice = match terms.msat {
        Some(msat) => invoice.amount_milli_satoshis(msat),
        None => invoice,
    };
    let sign = |message: &_| Secp256k1::new().sign_ecdsa_recoverable(message, &key);
    invoice.build_signed(sign).unwrap().to_string()
}

fn own_key() -> String {
    let key = SecretKey::from_slice(&[2; 32]).unwrap();
    key.public_key(&Secp256k1::new()).to_string()
}

fn rules() -> InvoiceRules {
    InvoiceRules {
        network: Network::Regtest,
        max_final_cltv_expiry_delta: 144,
        own_node_pubkey: own_key(),
    }
}

/// One that goes as far as on a real node.
fn on_the_web() -> Lnurl {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Lnurl::on_the_web(tls, rules())
}

impl Wallet {
    async fn open(script: Script) -> Wallet {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, script, asked.clone()));
        Wallet {
            lnurl: Lnurl::only_at(address, rules()),
            asked,
            _server: server,
        }
    }

    async fn invoice(&self) -> Result<PayoutInvoice, LnurlError> {
        let wanted = Wanted {
            amount: OWED,
            comment: None,
            now: NOW,
        };
        self.lnurl.invoice(ALICE, wanted).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    let mut visits = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        visits.spawn(visit(stream, script.clone(), asked.clone()));
    }
}

async fn visit(mut stream: TcpStream, script: Script, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let reply = if path.starts_with("/cb") {
        script.invoice
    } else {
        script.offer
    };
    asked.lock().unwrap().push(path);
    let written = match reply {
        Reply::Json(body) => {
            let body = body.to_string();
            let length = body.len();
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
        }
        Reply::Raw(bytes) => bytes,
        Reply::Endless => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
            let mut sent = stream.write_all(head).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b' '; 4_096]).await;
            }
            return;
        }
        Reply::Silence => std::future::pending().await,
    };
    // A client that has heard enough closes; that is its right.
    let _as_far_as_heard = stream.write_all(&written).await;
}

fn raw(head: &str) -> Reply {
    Reply::Raw(head.as_bytes().to_vec())
}

#[tokio::test]
async fn p2_v5_an_honest_address_gives_bounds_and_an_invoice() {
    let wallet = Wallet::open(honest()).await;
    let takes = wallet.lnurl.sendable(ALICE).await.unwrap();
    assert_eq!((takes.least, takes.most), (Msat(1_000), Msat(100_000)));
    let invoice = wallet.invoice().await.unwrap();
    assert_eq!(invoice.amount, Some(OWED));
    assert_eq!(invoice.bolt11, bolt11(|_| {}));
    let question = "/.well-known/lnurlp/alice";
    let expected = [question, question, "/cb?id=7&amount=42000"];
    assert_eq!(wallet.asked(), expected);
}

#[tokio::test]
async fn v5_up_a19_a_lying_offer_is_refused() {
    let with = |key: &str, value: Value| {
        let mut offer = offer();
        offer[key] = value;
        Reply::Json(offer)
    };
    let error = json!({"status": "ERROR", "reason": "<b>go away</b>"});
    let ok = "HTTP/1.1 200 OK\r\n";
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://pay.example/cb\r\n\
                    content-length: 0\r\n\r\n";
    let table = [
        ("status ERROR", Reply::Json(error), "declines"),
        ("a redirect", raw(redirect), "declines"),
        (
            "404",
            raw("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"),
            "declines",
        ),
        (
            "half a JSON",
            raw(&format!("{ok}\r\n{{\"tag\":")),
            "nonsense",
        ),
        ("a list", Reply::Json(json!([])), "nonsense"),
        (
            "deep nesting",
            raw(&format!("{ok}\r\n{}", "[".repeat(60_000))),
            "nonsense",
        ),
        ("a body without end", Reply::Endless, "too long"),
        (
            "a huge body announced",
            raw(&format!("{ok}content-length: 999999999999\r\n\r\n")),
            "reached",
        ),
        ("no HTTP", raw("220 mail.example ESMTP\r\n"), "reached"),
        (
            "a head without end",
            raw(&format!("{ok}x: {}", "y".repeat(2_000_000))),
            "reached",
        ),
        ("a closed door", raw(""), "reached"),
        (
            "a name wanted",
            with("payerData", json!({"name": {"mandatory": true}})),
            "nonsense",
        ),
        (
            "a callback to the machine",
            with("callback", json!("http://127.0.0.1/cb")),
            "does not go",
        ),
        (
            "a callback to metadata",
            with("callback", json!("http://169.254.169.254/cb")),
            "does not go",
        ),
        (
            "a callback to a port",
            with("callback", json!("http://pay.example:22/cb")),
            "does not go",
        ),
        (
            "a callback with a password",
            with("callback", json!("http://a:b@pay.example/cb")),
            "does not go",
        ),
        (
            "a callback to a file",
            with("callback", json!("file:///etc/passwd")),
            "does not go",
        ),
    ];
    for (case, offer, why) in table {
        let wallet = Wallet::open(Script { offer, ..honest() }).await;
        for refused in [
            wallet.lnurl.sendable(ALICE).await.unwrap_err(),
            wallet.invoice().await.unwrap_err(),
        ] {
            let words = refused.to_string();
            assert!(words.contains(why), "{case}: {words}");
            assert!(
                !words.contains("go away") && !words.contains("example"),
                "{case}: {words}"
            );
            assert!(!refused.is_ours(), "{case}");
        }
        let called_back = wallet.asked().iter().any(|path| path.starts_with("/cb"));
        assert!(!called_back, "{case}");
    }
}

#[tokio::test]
async fn p2_p6e_up_a19_a_lying_invoice_is_refused() {
    let pr = |change: fn(&mut Terms)| json!({"pr": bolt11(change)});
    let table = [
        (
            "inflated",
            pr(|it| it.msat = Some(OWED.0 + 1)),
            "another amount",
        ),
        (
            "too small",
            pr(|it| it.msat = Some(OWED.0 - 1)),
            "another amount",
        ),
        (
            "without an amount",
            pr(|it| it.msat = None),
            "another amount",
        ),
        (
            "mainnet",
            pr(|it| it.currency = Currency::Bitcoin),
            "not for regtest",
        ),
        ("a final CLTV of 145", pr(|it| it.cltv_delta = 145), "145"),
        ("our own node", pr(|it| it.key = [2; 32]), "own"),
        ("59 s to live", pr(|it| it.life_secs = 59), "expires"),
        ("no invoice", json!({"pr": "lnbcrt1"}), "BOLT11"),
        ("an address again", json!({"pr": ALICE}), "BOLT11"),
        ("no field", json!({"routes": []}), "nonsense"),
        (
            "an error",
            json!({"status": "ERROR", "pr": bolt11(|_| {})}),
            "declines",
        ),
    ];
    for (case, invoice, why) in table {
        let invoice = Reply::Json(invoice);
        let wallet = Wallet::open(Script {
            invoice,
            ..honest()
        })
        .await;
        let refused = wallet.invoice().await.unwrap_err().to_string();
        assert!(refused.contains(why), "{case}: {refused}");
        assert!(!refused.contains("lnbc"), "{case}: {refused}");
    }
}

#[tokio::test]
async fn v5_an_amount_out_of_bounds_is_not_asked_for() {
    for (least, most) in [(42_001, 50_000), (1, 41_999)] {
        let mut offer = offer();
        offer["minSendable"] = json!(least);
        offer["maxSendable"] = json!(most);
        let offer = Reply::Json(offer);
        let wallet = Wallet::open(Script { offer, ..honest() }).await;
        let refused = wallet.invoice().await.unwrap_err();
        assert!(matches!(refused, LnurlError::OutOfBounds(_)), "{refused}");
        assert_eq!(wallet.asked().len(), 1);
    }
}

/// Paused time runs as soon as nobody does anything: nothing but the limit can
/// end the wait.
#[tokio::test(start_paused = true)]
async fn v5_g19_a_silent_server_is_waited_for_four_seconds_in_all() {
    for silent_at_first in [true, false] {
        let mut script = honest();
        let reply = if silent_at_first {
            &mut script.offer
        } else {
            &mut script.invoice
        };
        *reply = Reply::Silence;
        let wallet = Wallet::open(script).await;
        let began = tokio::time::Instant::now();
        assert_eq!(wallet.invoice().await, Err(LnurlError::Silent));
        assert_eq!(began.elapsed().as_secs(), ANSWER_TIME.as_secs());
    }
}

#[tokio::test]
async fn v5_a_server_is_not_flooded_in_strangers_names() {
    let wallet = Wallet::open(honest()).await;
    let mut refused = None;
    for _ in 0..25 {
        refused = refused.or(wallet.lnurl.sendable(ALICE).await.err());
    }
    assert_eq!(refused, Some(LnurlError::Busy));
    assert!(wallet.asked().len() < 25);
}

#[tokio::test]
async fn v5_up_a19_the_node_does_not_call_itself_by_name() {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = on_the_web().sendable("alice@localhost").await;
    assert_eq!(asked, Err(LnurlError::Forbidden));
    let nowhere = door.local_addr().unwrap();
    drop(door);
    let closed = Lnurl::only_at(nowhere, rules()).sendable(ALICE).await;
    assert_eq!(closed, Err(LnurlError::Unreachable));
}
