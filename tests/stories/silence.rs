//! Where others write a line into their log and say nothing, everybody hears
//! what became of his request (rules part 17).

use escrow_core::wire::{Action, OrderKind, Transport};
use mostro_relay::trader::Ask;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use uuid::Uuid;

use crate::refusals::NOWHERE;
use crate::town::Town;

/// Questions, which are not about one order.
const QUESTIONS: [Action; 3] = [
    Action::RestoreSession,
    Action::LastTradeIndex,
    Action::Orders,
];

/// Whatever it is, and whatever is left out of it; what is answered twice would
/// stand in the place of the next answer.
#[tokio::test]
async fn up_r4_every_request_gets_exactly_one_answer() {
    let mut town = Town::new().await;
    let mut alice = town.person("alice", Transport::Direct).await;
    let order = alice.offers(OrderKind::Sell, 10_000).await;
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let mut bob = town.person_of_the_house("bob", transport).await;
        for &action in Action::ALL {
            bob.asks_anything(Ask::about(action, None)).await;
            if !QUESTIONS.contains(&action) {
                let ask = Ask::about(action, Some(order)).with_index();
                bob.asks_anything(ask).await;
            }
        }
        bob.hears_no_more().await;
    }
}

#[tokio::test]
async fn u21_u22_u23_what_concerns_solvers_is_answered_too() {
    let mut town = Town::new().await;
    let mut alice = town.person_of_the_house("alice", Transport::GiftWrap).await;
    let npub = Keys::generate().public_key().to_bech32().unwrap();
    let unknown = Ask::about(Action::AdminTakeDispute, NOWHERE);
    alice
        .is_refused([
            ("U21 no such dispute", unknown, "not_found"),
            ("U22 not hers", Ask::add_solver(&npub), "not_authorized"),
        ])
        .await;

    let keys = (town.keys.clone(), Uuid::nil());
    let mut operator = town.official("operator", keys, Transport::Direct).await;
    let nobody = Ask::add_solver("npub1nobody");
    operator
        .is_refused([("U23 no key", nobody, "invalid_text_message")])
        .await;
    for time in ["the first time", "U23 and again"] {
        let told = operator.asks_anything(Ask::add_solver(&npub)).await;
        assert_eq!(told.message.action, Action::AdminAddSolver, "{time}");
    }
}
