//! Payouts to a Lightning address whose server answers only when it likes, and
//! a power cut while it is being asked.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story ends at its first surprise"
)]
#![expect(dead_code, reason = "the house serves other tests too")]

mod house;

use std::time::Duration;

use escrow_core::order::OrderId;
use escrow_core::payout::PayoutState;
use escrow_core::wire::{Action, OrderKind, Payload};
use escrow_engine::submission::Receipt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use house::steps::{alice, bob, bob_is_paid_once, locks, sends_fiat};
use house::{House, Trader};

const BOB: &str = "bob@wallet.example";

/// Longer than an address waits for its next turn, by the paused clock.
const PATIENCE: Duration = Duration::from_secs(600);

/// The server behind every address; it answers when the story says so.
struct Server {
    door: TcpListener,
}

/// A question that waits for its answer.
struct Visit(TcpStream);

impl Server {
    async fn opens(house: &mut House) -> Server {
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        house.address_server = door.local_addr().unwrap();
        Server { door }
    }

    /// The next question, which must be of this kind.
    async fn is_asked(&self, path: &str) -> Visit {
        let visit = timeout(PATIENCE, self.door.accept()).await;
        let (mut line, _) = visit.expect("nobody asks").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(line.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let asked = head.split(' ').nth(1).unwrap();
        assert!(asked.starts_with(path), "{asked}");
        Visit(line)
    }

    /// Tells what the address takes.
    async fn offers(&self) {
        let visit = self.is_asked("/.well-known/lnurlp/bob").await;
        visit.hears(&offer()).await;
    }
}

impl Visit {
    async fn hears(mut self, answer: &Value) {
        let body = answer.to_string();
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        // Who asked may be gone.
        let _ = self.0.write_all(answer.as_bytes()).await;
    }
}

fn offer() -> Value {
    json!({
        "tag": "payRequest", "callback": "http://wallet.example/pay", "metadata": "[]",
        "minSendable": 1_000, "maxSendable": 1_000_000_000,
    })
}

/// An invoice of Bob's wallet, as his server gives it.
async fn invoice(house: &House, bob: &Trader) -> Value {
    let Payload::PaymentRequest(_, bolt11, _) = bob.invoice(house).await else {
        panic!("no invoice");
    };
    json!({"pr": bolt11, "routes": []})
}

/// Alice has released to Bob, who is paid at his address; the server is not
/// asked for an invoice yet.
async fn released(house: &House, server: &Server) -> (OrderId, Trader) {
    let (mut alice, mut bob) = (alice(), bob());
    let order = alice.offers(house, OrderKind::Sell).await;
    let address = Payload::PaymentRequest(None, BOB.to_owned(), None);
    let take = bob.says(house, Action::TakeSell, Some(order), Some(address));
    let (taken, ()) = tokio::join!(take, server.offers());
    assert_eq!(taken, Receipt::Decided);
    bob.hears(house, Action::WaitingSellerToPay).await;
    alice.hears(house, Action::PayInvoice).await;
    let wanted = alice.hears(house, Action::PayInvoice).await;
    locks(house, &wanted, &mut alice, &mut bob).await;
    sends_fiat(house, order, &mut alice, &mut bob).await;
    alice.says(house, Action::Release, Some(order), None).await;
    bob.hears(house, Action::Released).await;
    (order, bob)
}

fn payout_is_being_resolved(house: &House) {
    let payouts = house.view().living_payouts().unwrap();
    assert_eq!(payouts.len(), 1);
    let state = payouts[0].state;
    assert!(matches!(state, PayoutState::Resolving { .. }), "{state:?}");
    assert!(house.view().sent_attempts().unwrap().is_empty());
}

/// Where the power goes while an address is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// It has not said what it takes.
    Offer,
    /// It gives an invoice that nobody hears of.
    Invoice,
}

#[tokio::test(start_paused = true)]
async fn p2_p3_a_power_cut_while_an_address_is_asked_does_not_pay_twice_or_never() {
    for cut in [Cut::Offer, Cut::Invoice] {
        let mut house = House::build().await;
        let server = Server::opens(&mut house).await;
        house.start().await.unwrap();
        let (order, mut bob) = released(&house, &server).await;
        let mut visit = server.is_asked("/.well-known/lnurlp/bob").await;
        if cut == Cut::Invoice {
            visit.hears(&offer()).await;
            visit = server.is_asked("/pay?amount=9970000").await;
        }
        payout_is_being_resolved(&house);
        house.lose_power();
        // Nobody is there to hear it.
        visit.hears(&invoice(&house, &bob).await).await;

        house.start().await.unwrap();
        payout_is_being_resolved(&house);
        server.offers().await;
        let visit = server.is_asked("/pay?amount=9970000").await;
        visit.hears(&invoice(&house, &bob).await).await;
        bob.hears(&house, Action::PurchaseCompleted).await;
        assert_eq!(house.book_says(order), "success");
        bob_is_paid_once(&house).await;

        // Nothing is left that could ask, or pay, again.
        let again = timeout(PATIENCE, server.door.accept()).await;
        assert!(again.is_err(), "{cut:?}");
        assert!(house.view().living_payouts().unwrap().is_empty());
        bob_is_paid_once(&house).await;
    }
}
