//! The development fee: paid by the house after the trade, and shown to all.

use escrow_core::amount::{Msat, Sats};
use escrow_core::wire::Transport;
use escrow_core::wire::dev_fee_event::DEV_FEE;
use mostro_relay::books::{self, BooksStatus};
use mostro_relay::operator_door;
use mostro_relay::payouts::{self, UnpaidPayout};
use nostr::event::Event;
use serde_json::json;

use crate::listener::Listener;
use crate::town::{PURSE, Town};
use crate::trades::{Nights, sell};

const DESTINATION: &str = "dev@wallet.example";
/// 30 % of what both sides of the trade pay.
const GIVEN: Sats = Sats(18);

async fn balance(town: &Town, wallet: &'static str) -> Msat {
    let sandbox = town.sandbox();
    sandbox.look(move |it| it.balance(wallet)).await.unwrap()
}

fn tag<'a>(event: &'a Event, name: &str) -> &'a str {
    let tag = event.tags.iter().find(|tag| tag.kind() == name);
    &tag.unwrap_or_else(|| panic!("{name}")).as_slice()[1]
}

async fn unpaid(town: &Town) -> Vec<UnpaidPayout> {
    let list = operator_door::ask(town.data_dir(), payouts::PATH).await;
    list.unwrap().unwrap()
}

#[tokio::test]
async fn j2_j5_the_fee_is_paid_after_the_trade_and_its_audit_is_public() {
    let mut town = Town::with(|settings| {
        settings.mostro.dev_fee_destination = Some(DESTINATION.into());
        settings.expiration.fee_audit_days = 7;
        settings.node.name = Some("Sol".into());
    })
    .await;
    let _dev = town.wallet("dev", PURSE).await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let audits = json!({ "kinds": [DEV_FEE], "authors": [town.key()] });
    let none = Listener::at(town.url())
        .await
        .subscribes(audits.clone())
        .await;
    assert_eq!(none, Ok(Vec::new()), "before the trade");
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;

    let readers = json!({ "kinds": [DEV_FEE], "authors": [town.key()],
        "#z": ["dev-fee-payment"], "#y": ["mostro"] });
    let mut listener = Listener::at(town.url()).await;
    let audit = listener.hears_event(&readers, |_| true).await;
    audit.verify().unwrap();
    assert_eq!(tag(&audit, "order-id"), alice.order().to_string());
    assert_eq!(tag(&audit, "amount"), GIVEN.0.to_string());
    assert_eq!(tag(&audit, "destination"), DESTINATION);
    assert_eq!(tag(&audit, "network"), "regtest");
    let keeps_secs = 7 * 86_400;
    let expires_at = (audit.created_at.as_secs() + keeps_secs).to_string();
    assert_eq!(tag(&audit, "expiration"), expires_at);
    assert_eq!(audit.content, "");

    let given = GIVEN.to_msat().unwrap();
    let gained = balance(&town, "dev")
        .await
        .checked_sub(PURSE.to_msat().unwrap());
    assert_eq!(gained, Some(given));
    let view = town.node().escrow().unwrap().views().view().unwrap();
    let hash = tag(&audit, "hash").parse().unwrap();
    assert_eq!(view.attempt(hash).unwrap().unwrap().amount, given);
    assert_eq!(unpaid(&town).await, []);
    // Nothing of it reaches a trader, and nothing of it costs him anything.
    assert_eq!(alice.gained_msat().await, -10_030_000);
    assert_eq!(bob.gained_msat().await, 9_970_000);
    alice.hears_no_more().await;
    bob.hears_no_more().await;
}

#[tokio::test]
async fn j4_j6_a_fee_that_cannot_be_paid_is_kept_listed_and_in_nobodys_way() {
    let mut town = Town::with(|settings| {
        settings.mostro.dev_fee_destination = Some(DESTINATION.into());
    })
    .await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    // Nobody has a wallet of that name.
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
    town.restarts(&mut [&mut alice, &mut bob]).await;
    let list = unpaid(&town).await;
    let [fee] = &list[..] else {
        panic!("{list:?}");
    };
    assert!(fee.is_dev_fee);
    assert_eq!((fee.order.0, fee.amount_sats), (alice.order(), GIVEN));
    let status: Option<BooksStatus> = operator_door::ask(town.data_dir(), books::PATH)
        .await
        .unwrap();
    let status = status.unwrap();
    assert_eq!(status.latch, None);
    assert_eq!(
        (status.unpaid_dev_fees, status.unpaid_dev_fees_sats),
        (1, 18)
    );
    let audits = json!({ "kinds": [DEV_FEE], "authors": [town.key()] });
    let none = Listener::at(town.url()).await.subscribes(audits).await;
    assert_eq!(none, Ok(Vec::new()), "nothing was paid");
}

#[tokio::test]
async fn j1_up_a16_nothing_is_owed_where_no_destination_is_set() {
    let mut town = Town::new().await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::Direct).await;
    sell(&mut town, &mut alice, &mut bob, Nights::None).await;
    assert_eq!(unpaid(&town).await, []);
}
