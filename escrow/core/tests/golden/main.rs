//! Bytes that must not change: what we read and write, beside recorded messages
//! and events and beside upstream's own library.

#[cfg(test)]
mod envelopes;
#[cfg(test)]
mod events;
#[cfg(test)]
mod hand_made;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod properties;

/// Fills the places of ids and keys in an example.
fn filled(example: &str) -> String {
    [
        ("<o>", "0f07eec7-8834-4349-8f6d-3e2a9a9437f2"),
        ("<d>", "baf89673-53e4-49d4-b5ec-c3745a7ef6fe"),
        (
            "<b>",
            "a89a77e0d2b623ee683a38bc442932f2fb37b7dac2530b075f1c0dc3b30f0def",
        ),
        (
            "<s>",
            "f96193a199346d2103451cf1f434f4e8e3030111d5a885aa72c96acd967006f4",
        ),
        (
            "<n>",
            "719427b73545d8e342208aeda71e4ab49a2ccff176d839d88f052d3a40d66da8",
        ),
        (
            "<M>",
            "724497f34e6c4f55f9aa90f5e9dcc326c76a9f2ed817b0f0eb940ee7218ac8d5",
        ),
    ]
    .into_iter()
    .fold(example.to_owned(), |text, (place, value)| {
        text.replace(place, value)
    })
}

/// Every message of the examples and of the recorded trades.
fn golden_messages() -> Vec<String> {
    let examples = include_str!("examples.jsonl").lines();
    let recorded = include_str!("recorded.jsonl").lines();
    let messages: Vec<String> = examples.chain(recorded).map(filled).collect();
    assert_eq!(messages.len(), 66);
    messages
}

/// Whether the library of most clients, 0.14.2, knows every field and word of it.
fn known_to_upstream(json: &str) -> bool {
    let later = ["\"since\"", "counterparty_trade_pubkey", "user-info"];
    !later.iter().any(|word| json.contains(word))
}
