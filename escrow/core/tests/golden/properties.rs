//! What holds for every message, and what no message may do.

use escrow_core::wire::{Message, read_message};
use proptest::prelude::*;
use proptest::sample::select;

use super::{golden_messages, hand_made};

proptest! {
    #[test]
    fn what_is_read_is_written_and_read_again(json in mangled()) {
        if let Ok(message) = read_message(&json) {
            prop_assert_eq!(read_message(&message.to_json()), Ok(message));
        }
    }

    #[test]
    fn a_message_with_any_values_reads_back(
        message in select(messages()),
        request_id: Option<u64>,
        trade_index: Option<i64>,
        id: Option<[u8; 16]>,
        text: String,
        rating: f64,
    ) {
        let mut message = Message { request_id, trade_index, id: id.map(uuid::Uuid::from_bytes), ..message };
        prop_assert_eq!(&read_message(&message.to_json()), &Ok(message.clone()));
        message.payload = Some(escrow_core::wire::Payload::Peer(escrow_core::wire::Peer {
            pubkey: text,
            reputation: Some(escrow_core::wire::UserInfo { rating, ..Default::default() }),
        }));
        prop_assume!(rating.is_finite());
        prop_assert_eq!(&read_message(&message.to_json()), &Ok(message.clone()));
    }

    #[test]
    fn hostile_texts_are_refused_and_nothing_worse(text: String, bytes: Vec<u8>) {
        prop_assert!(read_message(&text).is_err());
        prop_assert!(read_message(&String::from_utf8_lossy(&bytes)).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn hostile_envelopes_are_refused_and_nothing_worse(json in mangled(), tail in "[\\]\\[\",nul {}]{0,12}") {
        for text in [format!("[{json},null{tail}]"), format!("[{json},null,null{tail}]"), json] {
            if text.is_empty() {
                continue;
            }
            for opened in hand_made::opened(&text).into_iter().flatten() {
                prop_assert!(text.contains(&opened.message_json));
            }
        }
    }
}

fn messages() -> Vec<Message> {
    golden_messages()
        .iter()
        .map(|json| read_message(json).unwrap())
        .collect()
}

/// A golden message with a piece of it replaced.
fn mangled() -> impl Strategy<Value = String> {
    let pieces = vec![
        "",
        "null",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "-1",
        "0",
        "18446744073709551616",
        "1e999",
        "\\ud800",
        "\u{0}",
        "é",
        ",",
        ":",
        "\"x\":{}",
        "[[[[[[[[[[[[[[[[[[",
        "true",
        "-0",
        "0.1",
    ];
    (
        select(golden_messages()),
        any::<(u16, u8)>(),
        select(pieces),
    )
        .prop_map(|(json, (at, len), piece)| {
            let chars: Vec<char> = json.chars().collect();
            let start = usize::from(at) % chars.len();
            let end = (start + usize::from(len) % 12).min(chars.len());
            let text = |part: &[char]| part.iter().collect::<String>();
            format!("{}{piece}{}", text(&chars[..start]), text(&chars[end..]))
        })
}
