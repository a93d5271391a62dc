//! What the node makes of envelopes that are strange, wrong or hostile.

use escrow_core::wire::client::wrap;
use escrow_core::wire::{Letter, OpenError, Seed, Signatures, Transport, open};
use nostr::event::Kind;
use nostr::nips::nip19::ToBech32;

use super::golden_messages;
use super::hand_made::{
    IDENTITY, NODE, NOW, TRADE, direct_of, gift_tuple_of, gift_wrap_of, keys, letter, raw_direct,
    rumor, rumor_at, seal_event, strings_after, tuple_of, wrap_of, wrapped,
};

#[test]
fn signatures_are_taken_over_raw_bytes_and_over_the_canonical_form() {
    let raw = r#"{ "order" : {"action":"cancel", "version":2} }"#;
    let canonical = r#"{"order":{"version":2,"request_id":null,"trade_index":null,"action":"cancel","payload":null}}"#;
    let sender = keys(TRADE);
    for signed in [raw, canonical] {
        let event = wrap(
            &letter(signed, NODE, Transport::Direct),
            &sender,
            Some(&keys(IDENTITY)),
            &Seed([1; 32]),
        )
        .unwrap();
        let spaced = tuple_of(&event, NODE).replacen(signed, &format!(" {raw}\n"), 1);
        let opened = open(&direct_of(&spaced), &keys(NODE)).unwrap();
        assert_eq!(opened.signatures, Signatures::Good);
        assert_eq!(opened.identity, keys(IDENTITY).public_key());
        assert_eq!(opened.message_json, raw);

        let event = wrap(
            &letter(signed, NODE, Transport::GiftWrap),
            &sender,
            None,
            &Seed([1; 32]),
        )
        .unwrap();
        let spaced = gift_tuple_of(&event).replacen(signed, raw, 1);
        assert_eq!(
            open(&gift_wrap_of(&spaced, TRADE, TRADE), &keys(NODE))
                .unwrap()
                .message_json,
            raw
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn g5_wrong_signatures_in_a_kind_14_are_told() {
    let json = golden_messages().swap_remove(5);
    let event = wrap(
        &letter(&json, NODE, Transport::Direct),
        &keys(TRADE),
        Some(&keys(IDENTITY)),
        &Seed([1; 32]),
    )
    .unwrap();
    let [signature, key, proof] = strings_after(&tuple_of(&event, NODE), &json);
    let signature = format!("\"{signature}\"");
    let proof_by = |key: &str| format!(r#"["{key}","{proof}"]"#);
    let own = keys(TRADE).public_key().to_hex();
    let npub = keys(IDENTITY).public_key().to_bech32().unwrap();
    let spaced = json.replacen("\"action\"", " \"action\"", 1);
    let changed = json.replacen("\"version\":2", "\"version\":3", 1);
    let (none, zz) = ("null".to_owned(), "\"zz\"".to_owned());
    let (good, no_trade, bad_trade, bad_proof) = (
        Signatures::Good,
        Signatures::MissingTradeSignature,
        Signatures::BadTradeSignature,
        Signatures::BadIdentityProof,
    );
    let table = [
        (
            "all is right",
            &json,
            &signature,
            &proof_by(&key),
            good,
            IDENTITY,
        ),
        (
            "a key as npub",
            &json,
            &signature,
            &proof_by(&npub),
            good,
            IDENTITY,
        ),
        (
            "other white space",
            &spaced,
            &signature,
            &proof_by(&key),
            good,
            IDENTITY,
        ),
        (
            "full privacy, signed",
            &json,
            &signature,
            &none,
            good,
            TRADE,
        ),
        ("full privacy, unsigned", &json, &none, &none, good, TRADE),
        (
            "u5: no trade signature",
            &json,
            &none,
            &proof_by(&key),
            no_trade,
            IDENTITY,
        ),
        ("no hex", &json, &zz, &none, bad_trade, TRADE),
        (
            "a changed message",
            &changed,
            &signature,
            &none,
            bad_trade,
            TRADE,
        ),
        (
            "a changed message, proof",
            &changed,
            &signature,
            &proof_by(&key),
            bad_proof,
            TRADE,
        ),
        (
            "a proof by another",
            &json,
            &signature,
            &proof_by(&own),
            bad_proof,
            TRADE,
        ),
        (
            "a proof by no key",
            &json,
            &signature,
            &proof_by(&"f".repeat(64)),
            bad_proof,
            TRADE,
        ),
        (
            "no proof",
            &json,
            &signature,
            &format!(r#"["{own}",{signature}]"#),
            bad_proof,
            TRADE,
        ),
    ];
    for (case, message, signature, proof, verdict, identity) in table {
        let opened = open(
            &direct_of(&format!("[{message},{signature},{proof}]")),
            &keys(NODE),
        );
        let opened = opened.unwrap();
        assert_eq!(opened.signatures, verdict, "{case}");
        assert_eq!(opened.identity, keys(identity).public_key(), "{case}");
    }
}

#[test]
fn g4_a_gift_wrap_that_proves_nobody_is_refused() {
    let json = golden_messages().swap_remove(5);
    let event = wrap(
        &letter(&json, NODE, Transport::GiftWrap),
        &keys(TRADE),
        Some(&keys(IDENTITY)),
        &Seed([1; 32]),
    )
    .unwrap();
    let good = gift_tuple_of(&event);
    let unsigned = format!("[{json},null]");
    assert!(open(&gift_wrap_of(&good, TRADE, IDENTITY), &keys(NODE)).is_ok());
    assert!(open(&gift_wrap_of(&unsigned, TRADE, TRADE), &keys(NODE)).is_ok());

    let refused = |tuple: &str, author, sealer| {
        open(&gift_wrap_of(tuple, author, sealer), &keys(NODE))
            .map(|o| o.trade_key)
            .unwrap_err()
    };
    assert_eq!(
        refused(&unsigned, TRADE, IDENTITY),
        OpenError::TradeSignature
    );
    assert_eq!(
        refused(&good, IDENTITY, IDENTITY),
        OpenError::TradeSignature
    );
    let changed = good.replacen("\"version\":2", "\"version\":3", 1);
    assert_eq!(refused(&changed, TRADE, TRADE), OpenError::TradeSignature);

    let rumor = rumor(&unsigned, TRADE, 1);
    let sealed = seal_event(&rumor, TRADE, 13);
    let mut forged = sealed.clone();
    forged.pubkey = keys(IDENTITY).public_key();
    let table = [
        ("a forged seal", wrap_of(&forged.as_json()), OpenError::Seal),
        ("no seal", wrap_of("{}"), OpenError::Seal),
        (
            "a seal of another kind",
            wrap_of(&seal_event(&rumor, TRADE, 14).as_json()),
            OpenError::Seal,
        ),
        (
            "a rumor of another kind",
            wrap_of(&seal_event(&self::rumor(&unsigned, TRADE, 14), TRADE, 13).as_json()),
            OpenError::Rumor,
        ),
        (
            "no rumor",
            wrap_of(&seal_event("[]", TRADE, 13).as_json()),
            OpenError::Rumor,
        ),
        (
            "a rumor with a key twice",
            wrap_of(&seal_event(&rumor.replacen('{', r#"{"kind":1,"#, 1), TRADE, 13).as_json()),
            OpenError::Rumor,
        ),
        (
            "a tuple of three",
            gift_wrap_of(&format!("[{json},null,null]"), TRADE, TRADE),
            OpenError::Tuple,
        ),
    ];
    for (case, event, error) in table {
        assert_eq!(
            open(&event, &keys(NODE)).map(|o| o.trade_key).unwrap_err(),
            error,
            "{case}"
        );
    }
}

#[test]
fn g4_an_envelope_that_cannot_be_opened_is_refused() {
    let json = golden_messages().swap_remove(5);
    let event = direct_of(&format!("[{json},null,null]"));
    let with = |content: String| {
        let mut event = event.clone();
        event.content = content;
        event
    };
    let mut other_kind = event.clone();
    other_kind.kind = Kind::from_u16(4);
    let other_version = event.content.replacen("Ag", "Aw", 1);
    let table = [
        ("another kind", other_kind, OpenError::Kind),
        ("empty", with(String::new()), OpenError::Payload),
        (
            "another encryption",
            with(format!("#{}", event.content)),
            OpenError::Payload,
        ),
        ("too long", with("A".repeat(87_476)), OpenError::Payload),
        (
            "another version",
            with(other_version),
            OpenError::Encryption,
        ),
        ("no base64", with("*".repeat(200)), OpenError::Encryption),
        (
            "damaged",
            with(event.content.replacen(&event.content[60..64], "AAAA", 1)),
            OpenError::Encryption,
        ),
        (
            "an extended length",
            raw_direct("x".repeat(65_536).as_bytes()),
            OpenError::Payload,
        ),
        (
            "no UTF-8",
            raw_direct(b"[{\"\xff\":1},null,null]"),
            OpenError::Encryption,
        ),
        (
            "two elements",
            direct_of(&format!("[{json},null]")),
            OpenError::Tuple,
        ),
        (
            "four elements",
            direct_of(&format!("[{json},null,null,null]")),
            OpenError::Tuple,
        ),
        (
            "bytes after",
            direct_of(&format!("[{json},null,null] x")),
            OpenError::Tuple,
        ),
        (
            "a number for a signature",
            direct_of(&format!("[{json},1,null]")),
            OpenError::Tuple,
        ),
        (
            "a proof of three",
            direct_of(&format!(r#"[{json},null,["a","b","c"]]"#)),
            OpenError::Tuple,
        ),
        ("an object", direct_of(&json), OpenError::Tuple),
    ];
    for (case, event, error) in table {
        assert_eq!(
            open(&event, &keys(NODE)).map(|o| o.trade_key).unwrap_err(),
            error,
            "{case}"
        );
    }
    let longest = format!("[{json},null,null{}]", " ".repeat(65_535 - json.len() - 12));
    assert!(open(&direct_of(&longest), &keys(NODE)).is_ok());
}

#[test]
fn g9_an_unreadable_message_still_opens() {
    let opened = open(&direct_of("[ 7 , null,null]"), &keys(NODE)).unwrap();
    assert_eq!(opened.message_json, "7");
    assert!(opened.message.is_err());
}

#[test]
fn rumors_of_clients_are_read_whatever_their_id_tags_and_signature_say() {
    let json = golden_messages().swap_remove(5);
    let rumor = format!(
        r#"{{"sig":"00","id":"7","kind":1,"content":{},"pubkey":"{}","created_at":1795200000,"tags":[["p","x"]]}}"#,
        serde_json::to_string(&format!("[{json}, null]")).unwrap(),
        keys(TRADE).public_key()
    );
    let opened = open(
        &wrap_of(&seal_event(&rumor, TRADE, 13).as_json()),
        &keys(NODE),
    )
    .unwrap();
    assert_eq!((opened.message_json, opened.time), (json, NOW));
}

#[test]
fn g2_the_same_message_in_another_wrap_has_the_same_digest() {
    let digest = |seed, json, time| -> [u8; 32] {
        let letter = Letter {
            created_at: time,
            ..letter(json, NODE, Transport::GiftWrap)
        };
        let event = wrap(
            &letter,
            &keys(TRADE),
            Some(&keys(IDENTITY)),
            &Seed([seed; 32]),
        )
        .unwrap();
        let tuple = gift_tuple_of(&event);
        let sealed = seal_event(&rumor_at(&tuple, TRADE, 1, time), IDENTITY, 13).as_json();
        let [one, two] = [1, 2].map(|seed| open(&wrapped(&sealed, seed), &keys(NODE)).unwrap());
        assert_eq!(one.inner_digest, two.inner_digest);
        one.inner_digest
    };
    let (json, other) = (
        golden_messages().swap_remove(5),
        golden_messages().swap_remove(6),
    );
    assert_ne!(digest(1, &json, NOW), digest(1, &other, NOW));
    assert_ne!(digest(1, &json, NOW), digest(1, &json, NOW.plus(1)));
    let direct = direct_of(&format!("[{json},null,null]"));
    assert_eq!(
        open(&direct, &keys(NODE)).unwrap().inner_digest,
        direct.id.to_bytes()
    );
}
