//! The dispute assistant: he is registered at the start, reads and never rules (rule
//! A16).

use escrow_core::party::IdentityKey;
use escrow_core::solver::Permission;
use escrow_core::wire::{Action, OrderKind, Transport};
use mostro_relay::node::NodeError;
use mostro_relay::operator::{Act, act};
use mostro_relay::settings::Settings;
use mostro_relay::trader::Ask;
use nostr::event::Tag;
use nostr::key::{Keys, PublicKey};
use serde_json::json;

use crate::disputes::{TOOK, both_hear, disputed, taken_by};
use crate::listener::Listener;
use crate::town::Town;

fn assisted_by(assistant: PublicKey) -> impl Fn(&mut Settings) {
    move |settings| settings.mostro.serbero_pubkey = Some(assistant)
}

/// What the node's terms say of the assistant.
async fn announced(town: &Town) -> Option<String> {
    let mut listener = Listener::at(town.url()).await;
    let terms = json!({ "kinds": [38_385], "authors": [town.key()] });
    let terms = listener.hears_event(&terms, |_| true).await;
    let mut tags = terms.tags.iter().map(Tag::as_slice);
    let serbero = tags.find(|tag| tag[0] == "serbero")?;
    Some(serbero[1].clone())
}

fn permission(town: &Town, key: PublicKey) -> Option<Permission> {
    let view = town.node().escrow().unwrap().views().view().unwrap();
    let solver = view.solver(IdentityKey(key)).unwrap();
    solver.map(|solver| solver.permission)
}

#[tokio::test]
async fn a16_the_assistant_reads_a_dispute_and_never_rules() {
    let assistant = Keys::generate();
    let mut town = Town::with(assisted_by(assistant.public_key())).await;
    assert_eq!(
        announced(&town).await,
        Some(assistant.public_key().to_hex())
    );
    assert_eq!(
        permission(&town, assistant.public_key()),
        Some(Permission::Read)
    );
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let dispute = disputed(&mut alice, &mut bob).await;
    let order = alice.order();
    let mut serbero = town
        .official("serbero", (assistant, order), Transport::Direct)
        .await;
    let take = Ask::about(Action::AdminTakeDispute, Some(dispute));
    serbero.asks(take, TOOK).await;
    both_hear(&mut alice, &mut bob, &taken_by(&serbero)).await;
    let rule = |action| Ask::about(action, Some(order));
    let reads = "not_authorized";
    let rulings = || {
        [
            ("A6", rule(Action::AdminSettle), reads),
            ("A6", rule(Action::AdminCancel), reads),
        ]
    };
    serbero.is_refused(rulings()).await;
    town.restarts(&mut [&mut alice, &mut bob, &mut serbero])
        .await;
    serbero.is_refused(rulings()).await;
}

#[tokio::test]
async fn a16_a_key_that_may_rule_or_trades_is_no_assistants_and_the_node_does_not_start() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    alice.offers(OrderKind::Sell, 10_000).await;
    let (trader, node) = (alice.trade.keys.public_key(), town.key());
    let judge = Keys::generate().public_key();
    let escrow = town.node().escrow().unwrap().clone();
    let add = Act::AddSolver(format!("{judge}:read-write"));
    act(&escrow, add).await.unwrap();
    drop(escrow);
    town.closes(&mut [&mut alice]).await;
    for key in [judge, trader, node] {
        town.changes(assisted_by(key));
        let refused = town.does_not_open().await;
        assert!(matches!(refused, NodeError::Assistant(_)), "{refused}");
    }
    // Nothing of it stays.
    let fresh = Keys::generate().public_key();
    town.changes(assisted_by(fresh));
    town.opens().await;
    assert_eq!(permission(&town, judge), Some(Permission::ReadWrite));
    assert_eq!(permission(&town, fresh), Some(Permission::Read));
    assert_eq!(permission(&town, trader), None);
}
