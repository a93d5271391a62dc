//! What a trader says when he does not get what he wants.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use escrow_core::wire::{Action, CantDo, Transport};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Ask, Persona, Trader, TraderError};
use crate::node::Node;
use crate::settings::Settings;

async fn open_box() -> (Node, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(settings(&folder)).await.unwrap();
    (node, folder)
}

fn settings(folder: &TempDir) -> Settings {
    let mut settings = Settings::default();
    settings.node.data_dir = folder.path().join("data");
    settings.relay.listen.set_port(0);
    settings.sandbox.listen.set_port(0);
    settings
}

fn alice() -> Persona {
    Persona::new("alice", [1; 32], Transport::GiftWrap)
}

#[tokio::test]
async fn nobody_at_the_address_is_named() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let node = alice().keys.identity().public_key();
    let url = format!("ws://{address}");
    let why = Trader::join(alice(), &url, node).await.err().unwrap();
    assert!(matches!(why, TraderError::NoConnection { .. }), "{why}");
    assert!(
        why.to_string()
            .starts_with(&format!("alice cannot reach {url}: "))
    );
}

#[tokio::test]
async fn a_refusal_is_an_answer_to_a_request_and_an_error_to_a_wish() {
    let (node, _folder) = open_box().await;
    let mut alice = Trader::join(alice(), node.url(), node.public_key())
        .await
        .unwrap();
    let trade = alice.new_trade().await.unwrap();
    let ask = Ask::about(Action::FiatSent, Some(Uuid::nil()));

    let answered = alice.request(&trade, ask.clone()).await.unwrap();
    assert_eq!(answered.heard.refusal(), Some(CantDo::NotFound));
    assert_eq!((answered.heard.place, alice.unread(&trade).count()), (1, 0));

    let why = alice
        .asks(&trade, ask, Action::FiatSentOk)
        .await
        .unwrap_err();
    assert_eq!(
        why.to_string(),
        "the node refuses fiat-sent of alice: not_found"
    );
    alice.hang_up().await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn who_waits_in_vain_says_for_what_and_what_came_instead() {
    let (node, _folder) = open_box().await;
    let hasty = Persona {
        patience: Duration::from_millis(300),
        ..alice()
    };
    let mut alice = Trader::join(hasty, node.url(), node.public_key())
        .await
        .unwrap();
    let (trade, other) = (
        alice.new_trade().await.unwrap(),
        alice.new_trade().await.unwrap(),
    );
    let nothing = alice.hears(&trade, Action::Rate).await.unwrap_err();
    assert_eq!(
        nothing.to_string(),
        "alice waited 300ms for rate; nothing came"
    );

    let event = alice
        .wrap(&other, &Ask::about(Action::Release, None), None)
        .unwrap();
    assert!(alice.publish(&event).await.unwrap().taken);
    let something = alice.hears(&trade, Action::Rate).await.unwrap_err();
    assert_eq!(
        something.to_string(),
        "alice waited 300ms for rate; what came: cant-do"
    );
    alice.hang_up().await;
    node.stop().await.unwrap();
}

#[tokio::test]
async fn after_a_restart_old_letters_do_not_come_twice_and_new_ones_do() {
    let (node, folder) = open_box().await;
    let mut alice = Trader::join(alice(), node.url(), node.public_key())
        .await
        .unwrap();
    let trade = alice.new_trade().await.unwrap();
    let ask = Ask::about(Action::Release, Some(Uuid::nil()));
    alice.request(&trade, ask.clone()).await.unwrap();
    alice.hang_up().await;
    node.stop().await.unwrap();

    let node = Node::start(settings(&folder)).await.unwrap();
    alice.rejoin(node.url()).await.unwrap();
    assert_eq!(alice.unread(&trade).count(), 0);
    let answered = alice.request(&trade, ask).await.unwrap();
    assert_eq!(answered.heard.place, 2);
    alice.hang_up().await;
    node.stop().await.unwrap();
}
