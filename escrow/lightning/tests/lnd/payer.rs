//! The seller's node as a payer that does what it likes: parts, too much, too little.

use std::process::{Child, Stdio};
use std::time::Duration;

use escrow_core::Msat;
use escrow_lightning::conformance::Sent;
use escrow_regtest::{Lnd, Network};
use serde_json::Value;
use tokio::time::sleep;

/// How often a node is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Sends one part along the only road there is, and waits until the operator holds it
/// or the seller gives up.
pub(super) async fn sends(network: &Network, bolt11: &str, part: Msat, total: Msat) -> Sent {
    let (seller, operator) = (network.seller(), network.operator());
    let asked = seller.ask(&["decodepayreq", bolt11]).await.unwrap();
    let hash = asked.text("/payment_hash").unwrap().to_owned();
    let secret = asked.text("/payment_addr").unwrap();
    let delta = asked.number("/cltv_expiry").unwrap();
    let answer = seller
        .ask(&[
            "buildroute",
            &format!("--amt={}", part.0 / 1_000),
            &format!("--final_cltv_delta={delta}"),
            &format!("--hops={}", operator.pubkey().await.unwrap()),
            &format!("--payment_addr={secret}"),
        ])
        .await
        .unwrap();
    let mut route = answer.json().clone();
    let last = route.pointer_mut("/route/hops/0/mpp_record/total_amt_msat");
    *last.unwrap() = Value::from(total.0.to_string());

    let before = held(operator, &hash).await;
    let mut client = seller.client();
    client
        .args(["sendtoroute", &format!("--payment_hash={hash}")])
        .arg(format!("--routes={route}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child: Child = client.into_std().spawn().unwrap();
    is_held_or_over(operator, &hash, before, child).await
}

async fn is_held_or_over(operator: &Lnd, hash: &str, before: usize, mut child: Child) -> Sent {
    loop {
        if held(operator, hash).await > before {
            return Sent::Held;
        }
        if child.try_wait().unwrap().is_some() {
            return Sent::Refused;
        }
        sleep(PAUSE).await;
    }
}

async fn held(operator: &Lnd, hash: &str) -> usize {
    let invoice = operator.ask(&["lookupinvoice", hash]).await.unwrap();
    let parts = invoice.list("/htlcs").iter();
    parts.filter(|part| part["state"] == "ACCEPTED").count()
}

/// What lies in a node's channels, once that has stopped to change: it lags what was
/// paid by a moment.
pub(super) async fn balance(node: &Lnd) -> Msat {
    let mut seen = Msat(0);
    let mut times = 0;
    while times < 5 {
        let present = Msat(node.balance().await.unwrap().local_msat);
        times = if present == seen { times + 1 } else { 0 };
        seen = present;
        sleep(PAUSE).await;
    }
    seen
}
