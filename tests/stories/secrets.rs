//! What nobody may find: not in what the node says, not on its disk, not in its log.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use escrow_core::order::OrderId;
use escrow_core::wire::{Action, Payload, Transport};
use escrow_engine::preimages::Preimages;
use escrow_lightning::sandbox::{FailPayments, Fault, FaultAction, Op};
use mostro_relay::admin::Token;
use mostro_relay::trader::Ask;
use nostr::key::Keys;
use secrecy::SecretBox;
use uuid::Uuid;

use crate::disputes::{TOOK, both_hear, disputed, taken_by};
use crate::person::{Person, offer};
use crate::town::Town;

/// Everything that our own parts of the node can say.
const TALKATIVE: &str = "info,mostro_relay=trace,escrow_core=trace,escrow_engine=trace,\
                         escrow_lightning=trace,relay_policy=trace,storage=trace";

/// A log that is read afterwards; other stories may write into it too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The writer decides on a thread of its own, so the log is everybody's.
    fn begin() -> Log {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(TALKATIVE)
            .with_ansi(false)
            .with_writer(move || writer.clone());
        tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    faster_hex::hex_string(bytes.as_ref())
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// The preimage of an order's hold, as only who has the secret of the data directory
/// can know it.
fn preimage(town: &Town, order: Uuid) -> [u8; 32] {
    let text = fs::read_to_string(town.data_dir().join("secret")).unwrap();
    let mut secret = [0; 32];
    faster_hex::hex_decode(text.trim().as_bytes(), &mut secret).unwrap();
    let preimages = Preimages::new(SecretBox::new(Box::new(secret)));
    let view = town.node().escrow().unwrap().views().view().unwrap();
    let hold = view.holds_of(OrderId(order)).unwrap().remove(0);
    let preimage = preimages.of(hold.id);
    assert_eq!(preimage.hash(), hold.hash, "it is the one");
    *preimage.expose()
}

async fn is_refused(person: &mut Person, ask: Ask, reason: &str) {
    person.is_refused([("", ask, reason)]).await;
}

/// A dispute with a ruling, a payment that fails first, and refusals of all kinds.
#[tokio::test]
async fn d10_up_a3_up_a4_up_a17_a_trade_spills_no_secret() {
    let log = Log::begin();
    let token = "a-token-of-the-operators";
    let mut town = Town::with(|settings| {
        settings.rpc.enabled = true;
        settings.rpc.port = 0;
        settings.rpc.auth_token = Token::new(token);
    })
    .await;
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    let dispute = disputed(&mut alice, &mut bob).await;
    let order = alice.order();
    let judge = Keys::generate();
    let operator = (town.keys.clone(), Uuid::nil());
    let mut operator = town.official("operator", operator, Transport::Direct).await;
    let add = Ask::add_solver(&judge.public_key().to_hex());
    operator.asks(add, "admin-add-solver E").await;
    let chat = "what they say to each other";
    let text = Payload::TextMessage(chat.into());
    let wrong = Ask::about(Action::Release, Some(order)).with(text);
    is_refused(&mut alice, wrong, "invalid_parameters").await;
    let spoiled = Payload::PaymentRequest(None, "lnbcrt1spoiled".into(), None);
    let wrong = Ask::about(Action::AddInvoice, Some(order)).with(spoiled);
    is_refused(&mut bob, wrong, "not_allowed_by_status").await;

    let mut judge = town
        .official("judge", (judge, order), Transport::Direct)
        .await;
    let take = Ask::about(Action::AdminTakeDispute, Some(dispute));
    let mut said = vec![judge.asks(take, TOOK).await.json];
    both_hear(&mut alice, &mut bob, &taken_by(&judge)).await;
    let preimage = preimage(&town, order);
    let failing = FailPayments { count: 1 };
    town.sandbox().apply(failing).await.unwrap();
    let lost = Fault::on(Op::SettleHold, FaultAction::FailAfter);
    town.sandbox().add_fault(lost);
    let settle = Ask::about(Action::AdminSettle, Some(order));
    said.push(judge.asks(settle, "admin-settled E").await.json);
    said.push(alice.hears("admin-settled").await.json);
    said.push(bob.hears_of(Action::PaymentFailed).await.json);

    let view = town.node().escrow().unwrap().views().view().unwrap();
    let owed = format!("{:?}", view.payouts_of(OrderId(order)).unwrap());
    let invoice = owed.split('"').find(|word| word.starts_with("lnbcrt"));
    let invoice = invoice.unwrap().to_owned();
    let journal = format!("{:?}", view.journal_from(0, 1_000).unwrap());
    assert!(journal.contains("admin-settle") && journal.contains("payment-failed"));
    drop(view);
    town.closes(&mut [&mut alice, &mut bob, &mut judge, &mut operator])
        .await;

    let on_disk = fs::read(town.data_dir().join("ledger.redb")).unwrap();
    assert!(
        contains(&on_disk, order.to_string().as_bytes()),
        "it is there"
    );
    for form in [preimage.to_vec(), hex(preimage).into_bytes()] {
        assert!(!contains(&on_disk, &form), "up-A4");
    }
    let letters = said.join("\n");
    assert!(!letters.contains(&hex(preimage)), "up-A3");

    let log = log.text();
    assert!(log.contains("the port is open"), "it is heard at all");
    let secret = fs::read_to_string(town.data_dir().join("secret")).unwrap();
    let method = offer(escrow_core::wire::OrderKind::Sell, 1).payment_method;
    for hidden in [
        hex(preimage),
        secret.trim().to_owned(),
        town.keys.secret_key().to_secret_hex(),
        alice.trade.keys.secret_key().to_secret_hex(),
        invoice,
        "lnbcrt1spoiled".into(),
        chat.into(),
        method,
        token.into(),
    ] {
        let line = log.lines().find(|line| line.contains(&hidden));
        assert_eq!(line, None, "up-A17");
        assert!(!journal.contains(&hidden), "D10: {hidden} in {journal}");
    }
}
