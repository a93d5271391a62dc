//! Envelopes: ours opened by upstream and upstream's opened by ours.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use escrow_core::wire::client::{UnwrapError, unwrap, wrap};
use escrow_core::wire::{
    LONGEST_SENT_JSON, Letter, OpenError, SealError, Seed, Signatures, Transport, open, seal, sign,
};
use mostro_core::nip59::{WrapOptions, unwrap_message, wrap_message};
use mostro_core::transport::{unwrap_message_nip44, wrap_message_nip44};
use nostr::event::{Event, Kind, UnsignedEvent};
use nostr::key::PublicKey;
use nostr::types::Timestamp;

use super::hand_made::{IDENTITY, NODE, NOW, TRADE, decrypted, keys, letter};
use super::{golden_messages, known_to_upstream};

const TRANSPORTS: [Transport; 2] = [Transport::Direct, Transport::GiftWrap];

#[test]
fn envelopes_of_upstream_open() {
    let hex = |secret| keys(secret).public_key().to_hex();
    for (n, json) in golden_messages()
        .into_iter()
        .filter(|json| known_to_upstream(json))
        .enumerate()
    {
        let message = mostro_core::message::Message::from_json(&json).unwrap();
        let identity = if n % 2 == 0 { IDENTITY } else { TRADE };
        let signed = n % 3 != 0 || identity == IDENTITY;
        let options = WrapOptions {
            signed,
            ..WrapOptions::default()
        };
        let (them, us) = (identity.parse().unwrap(), hex(NODE).parse().unwrap());
        let direct = wrap_message_nip44(
            &message,
            &them,
            &TRADE.parse().unwrap(),
            us,
            options.clone(),
        );
        let gift_wrap = ready(wrap_message(
            &message,
            &them,
            &TRADE.parse().unwrap(),
            us,
            options,
        ));
        for (transport, event) in [
            (Transport::Direct, direct),
            (Transport::GiftWrap, gift_wrap),
        ] {
            let event = Event::from_json(serde_json::to_string(&event.unwrap()).unwrap()).unwrap();
            let opened = open(&event, &keys(NODE)).unwrap();
            assert_eq!(opened.transport, transport);
            assert_eq!(opened.message_json, json);
            assert_eq!(opened.message.unwrap().to_json(), json);
            assert_eq!(opened.trade_key.to_hex(), hex(TRADE));
            assert_eq!(opened.identity.to_hex(), hex(identity));
            assert_eq!(opened.signatures, Signatures::Good);
        }
    }
}

#[test]
fn upstream_opens_what_the_node_seals() {
    let node = keys(NODE).public_key().to_hex();
    for json in golden_messages() {
        // Fields it does not know it reads over; user-info it cannot read.
        let Ok(expected) = mostro_core::message::Message::from_json(&json) else {
            continue;
        };
        for transport in TRANSPORTS {
            let event = seal(
                &letter(&json, TRADE, transport),
                &keys(NODE),
                &Seed([7; 32]),
            )
            .unwrap();
            let event = serde_json::from_str(&event.as_json()).unwrap();
            let trader = TRADE.parse().unwrap();
            let opened = match transport {
                Transport::Direct => unwrap_message_nip44(&event, &trader),
                Transport::GiftWrap => ready(unwrap_message(&event, &trader)),
            };
            let opened = opened.unwrap().expect("it is for this trader");
            assert_eq!(
                opened.message.as_json().unwrap(),
                expected.as_json().unwrap()
            );
            assert_eq!(
                (opened.sender.to_hex(), opened.identity.to_hex()),
                (node.clone(), node.clone())
            );
            assert_eq!(
                (opened.signature, opened.created_at.as_secs()),
                (None, NOW.0)
            );
        }
    }
}

#[test]
fn upstream_and_the_node_open_what_our_client_wraps() {
    let json = golden_messages().swap_remove(0);
    for (transport, identity) in TRANSPORTS
        .into_iter()
        .flat_map(|t| [(t, None), (t, Some(keys(IDENTITY)))])
    {
        let event = wrap(
            &letter(&json, NODE, transport),
            &keys(TRADE),
            identity.as_ref(),
            &Seed([1; 32]),
        )
        .unwrap();
        let known = identity.map_or(keys(TRADE), |keys| keys).public_key();
        let opened = open(&event, &keys(NODE)).unwrap();
        assert_eq!(
            (opened.identity, opened.signatures),
            (known, Signatures::Good)
        );
        assert_eq!(
            (opened.message_json.as_str(), opened.time),
            (json.as_str(), NOW)
        );

        let event = serde_json::from_str(&event.as_json()).unwrap();
        let theirs = match transport {
            Transport::Direct => unwrap_message_nip44(&event, &NODE.parse().unwrap()),
            Transport::GiftWrap => ready(unwrap_message(&event, &NODE.parse().unwrap())),
        };
        let theirs = theirs.unwrap().expect("it is for the node");
        assert_eq!(theirs.identity.to_hex(), known.to_hex());
        assert!(theirs.signature.is_some());
    }
}

#[test]
fn a_client_reads_the_node_and_nobody_else() {
    let json = golden_messages().swap_remove(13);
    let node = keys(NODE).public_key();
    for transport in TRANSPORTS {
        let letter = letter(&json, TRADE, transport);
        let event = seal(&letter, &keys(NODE), &Seed([7; 32])).unwrap();
        assert_eq!(unwrap(&event, &keys(TRADE), node), Ok(json.clone()));
        let closed = Err(UnwrapError::Closed(OpenError::Encryption));
        assert_eq!(unwrap(&event, &keys(IDENTITY), node), closed);
        let strange = seal(&letter, &keys(IDENTITY), &Seed([7; 32])).unwrap();
        assert_eq!(
            unwrap(&strange, &keys(TRADE), node),
            Err(UnwrapError::Stranger)
        );
    }
}

#[test]
fn sealed_events_have_the_recorded_shape() {
    let trader = keys(TRADE).public_key().to_hex();
    let json = golden_messages().swap_remove(13);
    let tags = |event: &Event| serde_json::to_string(&event.tags).unwrap();
    let direct = seal(
        &letter(&json, TRADE, Transport::Direct),
        &keys(NODE),
        &Seed([7; 32]),
    )
    .unwrap();
    direct.verify().unwrap();
    assert_eq!(
        tags(&direct),
        format!(r#"[["p","{trader}"],["expiration","1797792000"]]"#)
    );
    assert_eq!(
        (direct.kind.as_u16(), direct.created_at.as_secs()),
        (14, NOW.0)
    );
    assert_eq!(decrypted(&direct), format!("[{json},null,null]"));

    let wrap = seal(
        &letter(&json, TRADE, Transport::GiftWrap),
        &keys(NODE),
        &Seed([7; 32]),
    )
    .unwrap();
    wrap.verify().unwrap();
    assert_eq!(
        tags(&wrap),
        format!(r#"[["expiration","1797792000"],["p","{trader}"]]"#)
    );
    assert_ne!(wrap.pubkey, keys(NODE).public_key());
    let inner = Event::from_json(decrypted(&wrap)).unwrap();
    inner.verify().unwrap();
    assert_eq!(
        (inner.kind.as_u16(), inner.pubkey),
        (13, keys(NODE).public_key())
    );
    assert!(inner.tags.is_empty());
    let rumor: serde_json::Value = serde_json::from_str(&decrypted(&inner)).unwrap();
    for time in [wrap.created_at, inner.created_at] {
        assert!((NOW.0 - 600..=NOW.0).contains(&time.as_secs()));
    }
    assert_eq!(rumor["content"], format!("[{json},null]"));
    assert_eq!(
        (&rumor["kind"], &rumor["tags"]),
        (&1.into(), &serde_json::json!([]))
    );
    assert!(rumor["id"].is_string() && rumor["pubkey"].is_string());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for transport in TRANSPORTS {
        let letter = letter("{}", TRADE, transport);
        let made = |seed| {
            seal(&letter, &keys(NODE), &Seed([seed; 32]))
                .unwrap()
                .as_json()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }
    let event = UnsignedEvent::new(
        keys(NODE).public_key(),
        Timestamp::from_secs(1),
        Kind::from_u16(38_383),
        [],
        "",
    );
    let signed = sign(event.clone(), &keys(NODE), &Seed([1; 32]));
    signed.verify().unwrap();
    assert_eq!(signed, sign(event, &keys(NODE), &Seed([1; 32])));
}

#[test]
fn a_seed_that_serves_twice_gives_two_texts_different_nonces() {
    let nonce = |json: &str, transport| {
        let event = seal(&letter(json, TRADE, transport), &keys(NODE), &Seed([1; 32])).unwrap();
        (event.pubkey, event.content[..44].to_owned())
    };
    for transport in TRANSPORTS {
        assert_ne!(nonce("{}", transport), nonce("[]", transport));
    }
}

#[test]
fn the_longest_answer_fits_into_an_event_of_64_kib() {
    let order = r#"{"order_id":"0f07eec7-8834-4349-8f6d-3e2a9a9437f2","trade_index":1,"status":"pending","counterparty_trade_pubkey":null},"#;
    let json: String = order.chars().cycle().take(LONGEST_SENT_JSON).collect();
    for transport in TRANSPORTS {
        let event = seal(
            &letter(&json, TRADE, transport),
            &keys(NODE),
            &Seed([7; 32]),
        )
        .unwrap();
        assert!(event.as_json().len() < 65_536);
    }
}

#[test]
fn what_cannot_be_sealed_is_said() {
    for transport in TRANSPORTS {
        let long = "x".repeat(65_536);
        let sealed = seal(
            &letter(&long, TRADE, transport),
            &keys(NODE),
            &Seed([7; 32]),
        );
        assert!(matches!(sealed, Err(SealError::Size(_))));
        let nobody = Letter {
            to: PublicKey::from_byte_array([0xff; 32]),
            ..letter("{}", TRADE, transport)
        };
        assert_eq!(
            seal(&nobody, &keys(NODE), &Seed([7; 32])).unwrap_err(),
            SealError::Recipient
        );
    }
}

/// Runs a future that waits for nothing.
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
