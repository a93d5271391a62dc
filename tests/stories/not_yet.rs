//! What the node does not do is said, never passed over (rules parts 17, 20).

use escrow_core::wire::{Action, OrderKind, Payload, Transport, Wrapper};
use mostro_relay::trader::Ask;

use crate::envelopes::direct;
use crate::town::Town;

/// What a trader may ask for; everything else has one answer.
const SERVED: [Action; 18] = [
    Action::NewOrder,
    Action::TakeSell,
    Action::TakeBuy,
    Action::AddInvoice,
    Action::FiatSent,
    Action::Release,
    Action::Cancel,
    Action::Dispute,
    Action::RateUser,
    Action::TradePubkey,
    Action::RestoreSession,
    Action::LastTradeIndex,
    Action::Orders,
    Action::UserInfo,
    Action::AdminTakeDispute,
    Action::AdminSettle,
    Action::AdminCancel,
    Action::AdminAddSolver,
];

#[tokio::test]
async fn u10_every_other_action_is_invalid_action() {
    let mut town = Town::new().await;
    let mut alice = town.person_of_the_house("alice", Transport::GiftWrap).await;
    let order = Some(alice.offers(OrderKind::Sell, 10_000).await);
    for action in Action::ALL.iter().filter(|action| !SERVED.contains(action)) {
        let told = match action {
            Action::AddBondInvoice => "cant-do{not_allowed_by_status} E",
            _ => "cant-do{invalid_action} E",
        };
        alice.asks(Ask::about(*action, order), told).await;
    }
    alice.says(Action::Cancel, "canceled E").await;
}

/// NY4: such an action is refused before its payload is judged.
#[tokio::test]
async fn ny4_the_action_is_judged_before_the_payload() {
    let mut town = Town::new().await;
    let mut alice = town.person_of_the_house("alice", Transport::Direct).await;
    let mut message = alice.message(
        Action::ExportReputation,
        Some(Payload::TextMessage("anything".into())),
    );
    message.trade_index = None;
    alice.sends(&message, "cant-do{invalid_action} E").await;
    let json = r#"{"order":{"version":2,"request_id":5,"action":"import-reputation","payload":7}}"#;
    let event = direct(
        &alice.trade.keys,
        town.key(),
        &format!("[{json},null,null]"),
    );
    alice.sends_event(&event, "cant-do{invalid_action} E").await;
    let json = r#"{"order":{"version":2,"request_id":5,"action":"dance","payload":null}}"#;
    let event = direct(
        &alice.trade.keys,
        town.key(),
        &format!("[{json},null,null]"),
    );
    alice.sends_event(&event, "cant-do{invalid_action} E").await;
}

/// The wrapper is not checked (wire 3.1).
#[tokio::test]
async fn a_request_in_another_wrapper_is_served() {
    let mut town = Town::new().await;
    let mut alice = town.person_of_the_house("alice", Transport::Direct).await;
    alice.offers(OrderKind::Sell, 10_000).await;
    let mut cancel = alice.message(Action::Cancel, None);
    cancel.wrapper = Wrapper::Dispute;
    alice.sends(&cancel, "canceled E").await;
}
