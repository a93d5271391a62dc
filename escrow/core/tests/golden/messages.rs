//! Messages, byte for byte.

use escrow_core::wire::{Action, CantDo, Fault, Status, UnreadableMessage, read_message};

use super::{filled, golden_messages, known_to_upstream};

#[test]
fn recorded_messages_and_examples_are_read_and_written_alike() {
    for json in golden_messages() {
        let message = read_message(&json).unwrap_or_else(|e| panic!("{e:?} in {json}"));
        assert_eq!(message.to_json(), json);
    }
}

#[test]
fn upstream_writes_the_same_bytes() {
    for json in golden_messages() {
        let theirs = mostro_core::message::Message::from_json(&json)
            .ok()
            .and_then(|message| message.as_json().ok());
        assert_eq!(
            theirs.as_ref() == Some(&json),
            known_to_upstream(&json),
            "{json}"
        );
    }
}

#[test]
fn every_payload_is_read_and_written_alike() {
    let order = r#"{"kind":"buy","status":null,"amount":-9223372036854775808,"fiat_code":"","min_amount":null,"max_amount":9223372036854775807,"fiat_amount":0,"payment_method":"é\u0001\"/\\","premium":-1,"created_at":null,"expires_at":0,"cashu_mint_url":"https://mint.example"}"#;
    let payloads = [
        format!(r#"{{"order":{order}}}"#),
        format!(r#"{{"payment_request":[{order},"a@b.example",null]}}"#),
        r#"{"payment_request":[null,"",-1]}"#.to_owned(),
        r#"{"amount":0}"#.to_owned(),
        r#"{"peer":{"pubkey":"","reputation":{"rating":3.3333333333333335,"reviews":-1,"operating_days":18446744073709551615}}}"#.to_owned(),
        r#"{"rating_user":255}"#.to_owned(),
        r#"{"dispute":["<d>",null]}"#.to_owned(),
        r#"{"cant_do":null}"#.to_owned(),
        r#"{"cant_do":"maintenance_mode"}"#.to_owned(),
        r#"{"next_trade":["<n>",4294967295]}"#.to_owned(),
        r#"{"payment_failed":{"payment_attempts":0,"payment_retries_interval":4294967295}}"#.to_owned(),
        r#"{"text_message":"\n\t\r\b\f\u001f\u007f"}"#.replace("\\u007f", "\u{7f}"),
        r#"{"ids":[]}"#.to_owned(),
        format!(r#"{{"orders":[{order},{order}]}}"#),
        r#"{"restore_data":{"orders":[{"order_id":"<o>","trade_index":0,"status":"fiat-sent","counterparty_trade_pubkey":"<s>"}],"disputes":[{"dispute_id":"<d>","order_id":"<o>","trade_index":1,"status":"seller-refunded","initiator":"seller","solver_pubkey":"<b>"}]}}"#.to_owned(),
        r#"{"bond_resolution":{"slash_seller":true,"slash_buyer":false}}"#.to_owned(),
        format!(r#"{{"bond_payout_request":{{"order":{order},"slashed_at":1}}}}"#),
        r#"{"cashu_lock_proof":{"token":"t","mint_url":"u","buyer_pubkey":"b","seller_pubkey":"s","mostro_pubkey":"m","fee_token":"f"}}"#.to_owned(),
        r#"{"cashu_lock_proof":{"token":"t","mint_url":"u","buyer_pubkey":"b","seller_pubkey":"s","mostro_pubkey":"m"}}"#.to_owned(),
        r#"{"cashu_signatures":[{"secret":"a","signature":"b"}]}"#.to_owned(),
        r#"{"user_info":{"rating":5.0,"reviews":1,"operating_days":2,"since":3}}"#.to_owned(),
        r#"{"payer_declaration":{"payment_hash":"00"}}"#.to_owned(),
        r#"{"payment_history":{"payment_hash":"00","buyer_mode":"full_privacy","successful_trades":1,"distinct_counterparties":2,"experienced_counterparties":3,"first_success_at":null,"last_success_at":4}}"#.to_owned(),
        r#"{"reputation_export_request":{"destination":"<n>","rebind":null}}"#.to_owned(),
        r#"{"reputation_attestation":"{}"}"#.to_owned(),
        "null".to_owned(),
    ];
    for payload in payloads {
        let json = filled(&self::payload(&payload));
        let message = read_message(&json).unwrap_or_else(|e| panic!("{e:?} in {json}"));
        assert_eq!(message.to_json(), json);
    }
}

#[test]
fn upstream_knows_every_word_except_the_later_ones() {
    let words = |known: &dyn Fn(&str) -> bool, all: Vec<&'static str>| -> Vec<&'static str> {
        all.into_iter()
            .filter(|word| !known(&format!("\"{word}\"")))
            .collect()
    };
    let actions = words(
        &|json| serde_json::from_str::<mostro_core::message::Action>(json).is_ok(),
        Action::ALL.iter().map(|word| word.as_str()).collect(),
    );
    let new_in_0_17 = "user-info declare-payer payer-declared payment-history export-reputation \
                       reputation-exported import-reputation reputation-imported";
    assert_eq!(actions.join(" "), new_in_0_17);
    assert_eq!(Action::ALL.len(), 59);

    let statuses = words(
        &|json| serde_json::from_str::<mostro_core::order::Status>(json).is_ok(),
        Status::ALL.iter().map(|word| word.as_str()).collect(),
    );
    assert_eq!((statuses.len(), Status::ALL.len()), (0, 17));

    let reasons = words(
        &|json| serde_json::from_str::<mostro_core::error::CantDoReason>(json).is_ok(),
        CantDo::ALL.iter().map(|word| word.as_str()).collect(),
    );
    assert_eq!(
        (reasons.first(), reasons.len()),
        (Some(&"maintenance_mode"), 12)
    );
    assert_eq!(CantDo::ALL.len(), 47);
}

#[test]
fn forms_that_clients_write_are_read() {
    let id = "0f07eec7-8834-4349-8f6d-3e2a9a9437f2";
    let plain = format!(r#"{{"order":{{"version":1,"id":"{id}","action":"cancel"}}}}"#);
    let message = read_message(&plain).unwrap();
    assert_eq!(
        (message.request_id, message.trade_index, message.payload),
        (None, None, None)
    );

    let table = [
        plain.replace(id, &id.replace('-', "")),
        plain.replace(id, &id.to_uppercase()),
        plain.replace(id, &format!("urn:uuid:{id}")),
        plain.replace(id, &format!("{{{id}}}")),
        plain.replace(r#""id""#, r#" "news" : {"a":[1.5,true]} , "id""#),
        plain.replace(r#""order""#, r#""rate""#),
    ];
    for json in table {
        let message = read_message(&json).unwrap_or_else(|e| panic!("{e:?} in {json}"));
        assert_eq!(message.id.unwrap().to_string(), id);
    }
    let rated = request(
        r#""action":"rate","payload":{"user_info":{"rating":4,"reviews":0,"operating_days":0}}"#,
    );
    assert!(
        read_message(&rated)
            .unwrap()
            .to_json()
            .contains(r#""rating":4.0"#)
    );
}

#[test]
fn g9_what_has_not_the_form_of_a_message_is_refused() {
    let cancel = request(r#""action":"cancel""#);
    let with = |field: &str| request(&format!(r#""action":"cancel",{field}"#));
    let nested = |n| with(&format!(r#""x":{}1{}"#, "[".repeat(n), "]".repeat(n)));
    assert!(read_message(&cancel).is_ok());
    assert!(read_message(&nested(14)).is_ok());
    let table = [
        ("no object", "[]".to_owned()),
        ("nothing", String::new()),
        ("a byte-order mark", format!("\u{feff}{cancel}")),
        ("bytes after it", format!("{cancel}x")),
        (
            "no wrapper",
            r#"{"version":2,"action":"cancel"}"#.to_owned(),
        ),
        ("an unknown wrapper", cancel.replace("order", "Order")),
        (
            "two wrappers",
            cancel.replacen('{', r#"{"dm":{"version":2,"action":"cancel"},"#, 1),
        ),
        (
            "an array for the message",
            r#"{"order":[2,null,null,"cancel",null]}"#.to_owned(),
        ),
        ("no version", r#"{"order":{"action":"cancel"}}"#.to_owned()),
        ("version 256", cancel.replace('2', "256")),
        ("no action", r#"{"order":{"version":2}}"#.to_owned()),
        ("an action that is no word", request(r#""action":7"#)),
        ("a known key twice", with(r#""version":2"#)),
        ("an unknown key twice", with(r#""x":1,"x":1"#)),
        (
            "a key twice, spelled otherwise",
            with(r#""x":1,"\u0078":1"#),
        ),
        ("a key twice deep inside", with(r#""x":[{"y":1,"y":1}]"#)),
        ("an id that is none", with(r#""id":"7""#)),
        (
            "a request id beyond u64",
            with(r#""request_id":18446744073709551616"#),
        ),
        ("a negative request id", with(r#""request_id":-1"#)),
        ("a trade index as text", with(r#""trade_index":"1""#)),
        ("seventeen levels", nested(15)),
        ("endless levels", "[".repeat(60_000)),
        (
            "too many bytes",
            with(&format!(r#""x":"{}""#, "x".repeat(65_535))),
        ),
    ];
    for (case, json) in table {
        assert_unreadable(case, &json);
    }
}

#[test]
fn g9_what_has_not_the_form_of_a_payload_is_refused() {
    let table = [
        ("two payloads", r#"{"amount":1,"rating_user":1}"#),
        ("no payload key", "{}"),
        ("an unknown payload key", r#"{"amounts":1}"#),
        ("a bare word", r#""amount""#),
        ("a lone surrogate", r#"{"text_message":"\ud800"}"#),
        ("a float amount", r#"{"amount":1.0}"#),
        ("an exponent", r#"{"amount":1e3}"#),
        ("a number as text", r#"{"amount":"1"}"#),
        ("an amount beyond i64", r#"{"amount":9223372036854775808}"#),
        ("six hundred stars", r#"{"rating_user":600}"#),
        ("an index beyond u32", r#"{"next_trade":["",4294967296]}"#),
        ("a pair of three", r#"{"next_trade":["",1,null]}"#),
        ("a triple of two", r#"{"payment_request":[null,""]}"#),
        ("a list for a peer", r#"{"peer":["",null]}"#),
        ("an unknown reason", r#"{"cant_do":"unknown"}"#),
    ];
    for (case, json) in table {
        assert_unreadable(case, &payload(json));
    }
}

#[test]
fn g9_what_has_not_the_form_of_an_order_is_refused() {
    let order =
        r#"{"amount":1,"fiat_code":"EUR","fiat_amount":1,"payment_method":"x","premium":0}"#;
    let table = [
        ("an unknown field", r#""premium""#, r#""x":1,"premium""#),
        ("no premium", r#","premium":0"#, ""),
        ("no currency", r#""fiat_code":"EUR","#, ""),
        ("null for an amount", r#""amount":1"#, r#""amount":null"#),
        (
            "a kind in capitals",
            r#""amount""#,
            r#""kind":"Buy","amount""#,
        ),
        (
            "a kind as a key",
            r#""amount""#,
            r#""kind":{"buy":null},"amount""#,
        ),
    ];
    assert!(read_message(&payload(&format!(r#"{{"order":{order}}}"#))).is_ok());
    for (case, part, other) in table {
        let order = order.replacen(part, other, 1);
        assert_unreadable(case, &payload(&format!(r#"{{"order":{order}}}"#)));
    }
    let list = r#"{"order":[null,null,1,"EUR",null,null,1,"x",0,null,null]}"#;
    assert_unreadable("a list", &payload(list));
}

fn assert_unreadable(case: &str, json: &str) {
    match read_message(json) {
        Err(UnreadableMessage {
            fault: Fault::Unreadable(_),
            ..
        }) => {}
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn g9_a_refusal_can_be_answered() {
    let id = "0f07eec7-8834-4349-8f6d-3e2a9a9437f2";
    let json = request(&format!(
        r#""action":"import-reputation","id":"{id}","request_id":18446744073709551615,"payload":{{"news":"lnbc1secret"}}"#
    ));
    let refused = read_message(&json).unwrap_err();
    assert_eq!(refused.request_id, Some(u64::MAX));
    assert_eq!(refused.id.unwrap().to_string(), id);
    assert_eq!(refused.action, Some(Action::ImportReputation));
    assert!(!format!("{refused:?}").contains("secret"));
}

#[test]
fn g10_an_unknown_action_is_told_from_an_unreadable_message() {
    let refused = read_message(&request(r#""action":"Cancel","request_id":7"#)).unwrap_err();
    assert_eq!(
        (refused.fault, refused.request_id),
        (Fault::UnknownAction, Some(7))
    );
}

/// A message with these fields after the version.
fn request(fields: &str) -> String {
    format!(r#"{{"order":{{"version":2,{fields}}}}}"#)
}

/// A message with this payload.
fn payload(payload: &str) -> String {
    let nulls = r#""request_id":null,"trade_index":null"#;
    request(&format!(r#"{nulls},"action":"orders","payload":{payload}"#))
}
