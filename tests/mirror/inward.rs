//! Messages to the node that come from a mirror (rules G2, G8).

use std::net::SocketAddr;
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::wire::{Action, CantDo, Letter, Message, Seed, Transport, Wrapper, client};
use mostro_relay::trader::{Persona, Trade, Trader};
use nostr::event::Event;
use nostr::key::Keys;
use nostr::types::Timestamp;
use nostr_relay_builder::builder::{RelayBuilder, RelayBuilderNip42, RelayBuilderNip42Mode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::keeper::Keeper;
use crate::liar::Liar;
use crate::own_engine::OwnEngine;
use crate::place::{Place, foreign, foreign_relay};
use crate::reader::Reader;

/// Soon enough for a test that waits for it.
const SOON: Duration = Duration::from_millis(50);

/// A trader with one trade, at some relay.
struct Somebody {
    trader: Trader,
    trade: Trade,
    node: Keys,
    wraps: u8,
}

impl Somebody {
    async fn at(relay: SocketAddr, place: &Place, transport: Transport) -> Somebody {
        let persona = Persona {
            full_privacy: true,
            patience: Duration::from_secs(30),
            ..Persona::new("somebody", [7; 32], transport)
        };
        let url = format!("ws://{relay}");
        let node = place.keys.clone();
        let joined = Trader::join(persona, &url, node.public_key()).await;
        let mut trader = joined.unwrap();
        let trade = trader.new_trade().await.unwrap();
        Somebody {
            trader,
            trade,
            node,
            wraps: 0,
        }
    }

    /// A message about an order that does not exist, signed so long ago.
    fn signs(&mut self, action: Action, request_id: u64, secs_ago: u64) -> Event {
        let message = Message {
            wrapper: Wrapper::Order,
            version: self.trade.transport.version(),
            request_id: Some(request_id),
            trade_index: None,
            id: Some(Uuid::from_u128(7)),
            action,
            payload: None,
        };
        self.wraps += 1;
        let letter = Letter {
            message_json: &message.to_json(),
            to: self.node.public_key(),
            transport: self.trade.transport,
            created_at: UnixTime(Timestamp::now().as_secs() - secs_ago),
            expiration: None,
        };
        let seed = Seed([self.wraps; 32]);
        client::wrap(&letter, &self.trade.keys, None, &seed).unwrap()
    }

    async fn publishes(&mut self, event: &Event) -> String {
        let verdict = self.trader.publish(event).await.unwrap();
        assert!(verdict.taken, "{}", verdict.text);
        verdict.text
    }

    /// The next letter: the request that it answers, and the refusal in it.
    async fn hears(&mut self) -> (Option<u64>, Option<CantDo>) {
        let heard = self.trader.next_letter(&self.trade).await.unwrap();
        (heard.message.request_id, heard.refusal())
    }
}

const NOT_FOUND: Option<CantDo> = Some(CantDo::NotFound);

#[tokio::test]
async fn g2_a_message_that_comes_both_ways_and_again_is_decided_once() {
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let (_relay, relay) = foreign_relay().await;
        let mut place = Place::with_mirrors(&[format!("ws://{relay}")]).await;
        let mut there = Somebody::at(relay, &place, transport).await;
        let first = there.signs(Action::Cancel, 1, 0);
        there.publishes(&first).await;
        assert_eq!(there.hears().await, (Some(1), NOT_FOUND));

        let mut here = Somebody::at(place.relay(), &place, transport).await;
        let told = here.publishes(&first).await;
        assert!(told.starts_with("duplicate:"), "{told}");
        drop(here);

        place.closes().await;
        place.opens().await;
        // Read again from before the overlap, it is still decided.
        let second = there.signs(Action::Cancel, 2, 0);
        there.publishes(&second).await;
        assert_eq!(there.hears().await, (Some(2), NOT_FOUND));
    }
}

#[tokio::test]
async fn g8_what_is_stale_is_told_by_letter_where_no_ok_reaches() {
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let (_relay, relay) = foreign_relay().await;
        let place = Place::with_mirrors(&[format!("ws://{relay}")]).await;
        let mut there = Somebody::at(relay, &place, transport).await;
        let table = [
            (Action::TakeBuy, 1, 600, Some(CantDo::TooManyRequests)),
            (Action::Cancel, 2, 600, Some(CantDo::NotAllowedByStatus)),
            (Action::Cancel, 3, 0, NOT_FOUND),
        ];
        for (action, request_id, secs_ago, answer) in table {
            // Nobody can wait for an answer to this one any more.
            let ancient = there.signs(action, 9, 48 * 3_600 + 600);
            there.publishes(&ancient).await;
            let event = there.signs(action, request_id, secs_ago);
            there.publishes(&event).await;
            assert_eq!(there.hears().await, (Some(request_id), answer));
        }
    }
}

#[tokio::test]
async fn what_waited_on_a_mirror_is_read_to_its_beginning_and_decided_from_there() {
    // The relay shows three at a time, the newest first.
    let builder = RelayBuilder::default().max_filter_limit(3);
    let (_relay, relay) = foreign(builder).await;
    let mut place = Place::with_mirrors(&[format!("ws://{relay}")]).await;
    place.closes().await;
    let mut there = {
        place.opens().await;
        let there = Somebody::at(relay, &place, Transport::Direct).await;
        place.closes().await;
        there
    };
    for request_id in 1..=10 {
        let event = there.signs(Action::Cancel, request_id, 60 - request_id);
        there.publishes(&event).await;
    }
    place.opens().await;
    for request_id in 1..=10 {
        assert_eq!(there.hears().await, (Some(request_id), NOT_FOUND));
    }
}

#[tokio::test]
async fn a_mirror_that_shows_letters_to_known_keys_only_learns_ours() {
    let builder = RelayBuilder::default().nip42(RelayBuilderNip42 {
        mode: RelayBuilderNip42Mode::Read,
    });
    let (_relay, relay) = foreign(builder).await;
    let urls = [format!("ws://{relay}")];
    let place = Place::with_mirrors(&urls).await;
    let mut here = Somebody::at(place.relay(), &place, Transport::Direct).await;
    let event = here.signs(Action::Cancel, 1, 0);
    let mut there = Reader::of(relay, &json!({ "limit": 0 })).await;
    there.says(&json!(["EVENT", event])).await;
    assert_eq!(here.hears().await, (Some(1), NOT_FOUND));
}

#[tokio::test]
async fn our_own_engine_shows_letters_to_their_recipient_and_so_to_us() {
    let there = OwnEngine::open().await;
    let place = Place::with_mirrors(&[format!("ws://{}", there.address)]).await;
    let mut here = Somebody::at(place.relay(), &place, Transport::GiftWrap).await;
    // One that was there before the key is proven, and one that comes after.
    for request_id in [1, 2] {
        let event = here.signs(Action::Cancel, request_id, 0);
        let letters = json!({ "kinds": [1059], "#p": [place.keys.public_key()] });
        let mut writer = Reader::of(there.address, &letters).await;
        let refused = writer.hears_about("CLOSED").await;
        assert!(refused[2].as_str().unwrap().starts_with("auth-required:"));
        writer.says(&json!(["EVENT", event])).await;
        assert_eq!(here.hears().await, (Some(request_id), NOT_FOUND));
    }
    place.says("a", 1).await;
    place.all_is_acknowledged().await;
}

#[tokio::test]
async fn what_a_mirror_keeps_back_is_found_when_it_is_read_again() {
    fn keeps(told: &Value) -> bool {
        told[0] == "EVENT" && told[1] == "letters"
    }
    let (_relay, relay) = foreign_relay().await;
    let keeper = Keeper::of(relay, keeps).await;
    let place = Place::with(&[keeper.url()], |_, calling| {
        calling.tempo.read_again = SOON;
    })
    .await;
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let mut there = Somebody::at(relay, &place, transport).await;
        for request_id in 1..=3 {
            let event = there.signs(Action::Cancel, request_id, 0);
            there.publishes(&event).await;
            assert_eq!(there.hears().await, (Some(request_id), NOT_FOUND));
        }
    }
}

#[tokio::test]
async fn what_a_lying_mirror_shows_is_not_believed_and_the_truth_in_it_is() {
    let liar = Liar::saying(|event, _| vec![json!(["OK", event.id.to_hex(), true, ""])]).await;
    let place = Place::with(&[liar.url()], |_, calling| calling.tempo.read_again = SOON).await;
    let mut here = Somebody::at(place.relay(), &place, Transport::Direct).await;
    let to_us = |event: &Event| serde_json::to_value(event).unwrap();
    let mut forged = to_us(&here.signs(Action::Cancel, 7, 0));
    forged["sig"] = json!("11".repeat(64));
    let mut altered = to_us(&here.signs(Action::Cancel, 8, 0));
    altered["created_at"] = json!(Timestamp::now().as_secs() - 1);
    let mut other = to_us(&here.signs(Action::Cancel, 9, 0));
    other["tags"] = json!([["p", "22".repeat(32)]]);
    for lie in [forged, altered, other, json!({ "id": 1 }), json!("what?")] {
        liar.shows(lie);
    }
    for request_id in [1, 2] {
        let event = here.signs(Action::Cancel, request_id, 0);
        liar.shows(to_us(&event));
        assert_eq!(here.hears().await, (Some(request_id), NOT_FOUND));
    }
}

/// Nothing but the end of the question brings it to ask again.
#[tokio::test]
async fn g8_up_r2_a_mirror_that_ends_what_was_asked_of_it_is_asked_again() {
    let liar = Liar::saying(|event, _| vec![json!(["OK", event.id.to_hex(), true, ""])]).await;
    liar.ends(2);
    let place = Place::with_mirrors(&[liar.url()]).await;
    let mut here = Somebody::at(place.relay(), &place, Transport::Direct).await;
    liar.has_ended_them().await;
    let event = here.signs(Action::Cancel, 1, 0);
    liar.shows(serde_json::to_value(&event).unwrap());
    assert_eq!(here.hears().await, (Some(1), NOT_FOUND));
}
