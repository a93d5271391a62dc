//! Mirrors that lie, refuse and want to know who is there.

use std::time::Duration;

use mostro_relay::mirror::{Calling, LineState};
use nostr::event::Event;
use nostr_relay_builder::builder::{RelayBuilder, RelayBuilderNip42, RelayBuilderNip42Mode};
use serde_json::{Value, json};

use crate::bridge::Bridge;
use crate::liar::Liar;
use crate::place::{Place, foreign, foreign_relay};

/// Publishes ten orders and waits until none waits for the mirror; returns how
/// many events the mirror has refused.
async fn ten_orders(place: &Place) -> u64 {
    for name in 0..10 {
        place.says(&name.to_string(), 1).await;
    }
    place.all_is_acknowledged().await;
    let view = place.node().escrow().unwrap().views().view().unwrap();
    view.mirrors().unwrap()[0].1.given_up
}

#[tokio::test]
async fn a_mirror_that_lies_and_talks_nonsense_gets_everything() {
    fn lies(event: &Event, times: usize) -> Vec<Value> {
        let id = event.id.to_hex();
        let stranger = "00".repeat(32);
        match times {
            1 => vec![
                json!("what?"),
                json!({ "no": "list" }),
                json!(["OK", stranger, true, ""]),
                json!(["OK", stranger, false, "blocked: who is that"]),
                json!(["OK", "short", true, ""]),
                json!(["OK", id, "yes", ""]),
                json!(["OK", id, false, "error: come back"]),
                json!(["OK", id, true, "no, that was a joke"]),
            ],
            2 => vec![json!(["OK", id, false, "rate-limited: slowly"])],
            _ => vec![
                json!(["OK", id, true, ""]),
                json!(["OK", id, false, "invalid: x"]),
            ],
        }
    }
    let liar = Liar::saying(lies).await;
    let place = Place::with_mirrors(&[liar.url()]).await;
    assert_eq!(ten_orders(&place).await, 0);
}

#[tokio::test]
async fn what_a_mirror_refuses_is_given_up_there_and_nowhere_else() {
    fn refuses(event: &Event, _: usize) -> Vec<Value> {
        let refused =
            event.kind.as_u16() == 38_383 && event.tags.identifier().is_some_and(|d| d == "7");
        let text = if refused { "blocked: not seven" } else { "" };
        vec![json!(["OK", event.id.to_hex(), !refused, text])]
    }
    let liar = Liar::saying(refuses).await;
    let (_relay, relay) = foreign_relay().await;
    let urls = [liar.url(), format!("ws://{relay}")];
    let place = Place::with_mirrors(&urls).await;
    assert_eq!(ten_orders(&place).await, 1);
    let mut reader = place.reader_of(relay).await;
    reader.sees_all(&place.shown().await).await;
    place.says("7", 2).await;
    place.all_is_acknowledged().await;
    let view = place.node().escrow().unwrap().views().view().unwrap();
    let given_up = view
        .mirrors()
        .unwrap()
        .iter()
        .map(|(_, it)| it.given_up)
        .collect::<Vec<_>>();
    assert_eq!(given_up, [2, 0], "its next revision was offered again");
}

#[tokio::test]
async fn a_mirror_that_lets_only_known_keys_in_learns_ours() {
    let builder = RelayBuilder::default().nip42(RelayBuilderNip42 {
        mode: RelayBuilderNip42Mode::Write,
    });
    let (relay, address) = foreign(builder).await;
    let place = Place::with_mirrors(&[format!("ws://{address}")]).await;
    assert_eq!(ten_orders(&place).await, 0);
    let mut reader = place.reader_of(address).await;
    reader.sees_all(&place.shown().await).await;
    relay.shutdown();
}

#[tokio::test]
async fn a_mirror_whose_line_flaps_gets_everything_at_last() {
    let (_relay, relay) = foreign_relay().await;
    let bridge = Bridge::to(relay).await;
    let place = Place::with_mirrors(&[bridge.url()]).await;
    let mut reader = place.reader_of(relay).await;
    for round in 0..5 {
        bridge.falls();
        place.says(&format!("down {round}"), 1).await;
        let crossings = bridge.crossings();
        while bridge.crossings() < crossings + 2 {
            tokio::task::yield_now().await;
        }
        bridge.stands_again();
        place.says(&format!("up {round}"), 1).await;
        reader.sees_all(&place.shown().await).await;
    }
    place.all_is_acknowledged().await;
}

/// A tempo at which an hour of trouble is over in a moment.
fn hurried(calling: &mut Calling) {
    let tempo = &mut calling.tempo;
    tempo.call = Duration::from_millis(200);
    tempo.acknowledge = Duration::from_millis(200);
    tempo.ping = Duration::from_millis(100);
    tempo.silence = Duration::from_millis(300);
}

#[tokio::test]
async fn a_mirror_that_freezes_is_given_up_and_nobody_at_home_waits_for_it() {
    let (_relay, relay) = foreign_relay().await;
    let bridge = Bridge::to(relay).await;
    let place = Place::with(&[bridge.url()], |_, calling| hurried(calling)).await;
    place.says("before", 1).await;
    place.all_is_acknowledged().await;
    bridge.freezes();
    let mut own = place.reader_of(place.relay()).await;
    place.says("after", 1).await;
    own.sees_revisions("1", 2).await;
    let is_away = |line: &Option<LineState>| matches!(line, Some(LineState::Away { .. }));
    let lost = place.status(|mirror| is_away(&mirror.outward) && is_away(&mirror.inward));
    assert!(lost.await.waiting > 0);
    bridge.stands_again();
    place.all_is_acknowledged().await;
    let is_up = |line: &Option<LineState>| matches!(line, Some(LineState::Up { .. }));
    place
        .status(|mirror| is_up(&mirror.outward) && is_up(&mirror.inward))
        .await;
    let mut reader = place.reader_of(relay).await;
    reader.sees_all(&place.shown().await).await;
}

#[tokio::test]
async fn a_mirror_that_is_slow_gets_everything_once_it_has_time() {
    fn is_slow(event: &Event, times: usize) -> Vec<Value> {
        let has_time = event.id.as_bytes()[0].is_multiple_of(2) || times > 1;
        let id = event.id.to_hex();
        has_time
            .then(|| json!(["OK", id, true, ""]))
            .into_iter()
            .collect()
    }
    let slow = Liar::saying(is_slow).await;
    let place = Place::with(&[slow.url()], |_, calling| hurried(calling)).await;
    assert_eq!(ten_orders(&place).await, 0);
}

/// They are more than are tried at once, and before the good ones none is taken.
#[tokio::test]
async fn what_a_mirror_fails_on_does_not_keep_the_rest_from_it() {
    fn fails_on_most(event: &Event, _: usize) -> Vec<Value> {
        let is_taken = event.content != "bad";
        let text = if is_taken { "" } else { "error: disk" };
        vec![json!(["OK", event.id.to_hex(), is_taken, text])]
    }
    let liar = Liar::saying(fails_on_most).await;
    let place = Place::with_mirrors(&[liar.url()]).await;
    place.all_is_acknowledged().await;
    for name in 0..200 {
        place.says_content(&name.to_string(), "bad").await;
    }
    for name in 200..210 {
        place.says_content(&name.to_string(), "good").await;
    }
    let mirror = place.node().escrow().unwrap().mirrors()[0];
    while place.waits_for(mirror) > 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn x17_a_mirror_that_answers_every_call_and_takes_nothing_stays_away() {
    let deaf = Liar::saying(|_, _| Vec::new()).await;
    let place = Place::with(&[deaf.url()], |_, calling| hurried(calling)).await;
    place.says("1", 1).await;
    let is_away = |line: &Option<LineState>| matches!(line, Some(LineState::Away { .. }));
    place.status(|mirror| is_away(&mirror.outward)).await;
    let calls = deaf.calls();
    while deaf.calls() < calls + 4 {
        let told = place.status(|_| true).await;
        assert!(is_away(&told.outward), "{:?}", told.outward);
    }
}
