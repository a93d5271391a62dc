//! Buyers who are paid at a Lightning address, by a server that writes the
//! invoices of the buyer's node.

use escrow_core::wire::Transport::{Direct, GiftWrap};
use escrow_core::wire::{Action, OrderKind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::deal::{Deal, TRADED, locks};
use crate::own_box::OwnBox;
use crate::town::{adds_up, at_rest, network};

const BOB: &str = "bob@wallet.example";

#[tokio::test]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn v2_p2_a_buyer_is_paid_at_his_address_whoever_made_the_order() {
    let network = network().await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = network.operator().grpc();
    let mut own = OwnBox::new(&network, node, door.local_addr().unwrap()).await;
    own.starts(&mut []).await;
    let trades = Box::pin(async {
        let before = at_rest(&network).await;
        let pair = (
            own.person("alice", Direct).await,
            own.person("bob", GiftWrap).await,
        );
        let mut sale = Deal::of(&network, pair, BOB).await;
        sale.fiat_is_sent().await;
        sale.succeeds().await;
        adds_up(&network, &before, TRADED).await;

        let before = at_rest(&network).await;
        let mut alice = own.person("alice", GiftWrap).await;
        let mut bob = own.person("bob", Direct).await;
        let order = bob.offers(OrderKind::Buy).await;
        let take = alice.take(Action::TakeBuy, order);
        let request = alice.asks(take).await;
        let hold = locks(&network, &request).await;
        bob.hears(Action::AddInvoice).await;
        let added = bob.asks(bob.is_paid_at(BOB)).await;
        assert_eq!(added.message.action, Action::HoldInvoicePaymentAccepted);
        let mut purchase = Deal { alice, bob, hold };
        purchase.fiat_is_sent().await;
        purchase.succeeds().await;
        adds_up(&network, &before, TRADED).await;
    });
    let writes = async |sats| {
        let invoice = network.buyer().invoice(sats).await.unwrap();
        Some(invoice.bolt11)
    };
    serves_addresses(&door, writes, trades).await;
}

/// As long as a story lasts, every name at every host is paid by the invoice
/// that is written here for so many sats; none refuses.
pub(crate) async fn serves_addresses(
    door: &TcpListener,
    writes: impl AsyncFn(u64) -> Option<String>,
    story: impl Future<Output = ()>,
) {
    tokio::select! {
        () = answers(door, writes) => panic!("the door closed"),
        () = story => (),
    }
}

async fn answers(door: &TcpListener, writes: impl AsyncFn(u64) -> Option<String>) {
    while let Ok((mut visit, _)) = door.accept().await {
        let path = path(&mut visit).await;
        let answer = match path.split_once("amount=") {
            Some((_, msat)) => {
                let msat: u64 = msat.parse().unwrap();
                match writes(msat / 1_000).await {
                    Some(bolt11) => json!({"pr": bolt11, "routes": []}),
                    None => json!({"status": "ERROR", "reason": "closed"}),
                }
            }
            None => json!({
                "tag": "payRequest", "callback": "http://wallet.example/pay", "metadata": "[]",
                "minSendable": 1_000, "maxSendable": 1_000_000_000,
            }),
        };
        let body = answer.to_string();
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        visit.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn path(visit: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(visit.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    head.split(' ').nth(1).unwrap().to_owned()
}
