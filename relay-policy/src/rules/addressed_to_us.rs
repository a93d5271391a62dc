//! Which messages are for the node.

use nostr::event::Event;
use nostr::key::PublicKey;

use crate::Refusal;
use crate::rules::is_message;

/// Whom an event goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressee {
    /// A message to the node and to nobody else.
    Node,
    /// Public, or a message between others: the relay carries it.
    Others,
}

/// Reads whom the event goes to.
///
/// # Errors
///
/// A message to the node and to somebody else is refused: the node takes its messages
/// away, and the other recipient would never see his.
pub(crate) fn addressee(event: &Event, node: &PublicKey) -> Result<Addressee, Refusal> {
    if !is_message(event) || !names(event, node) {
        return Ok(Addressee::Others);
    }
    match event.tags.iter().filter(|tag| tag.kind() == "p").count() {
        1 => Ok(Addressee::Node),
        _ => Err(Refusal::invalid(
            "a message to the node must have exactly one p tag",
        )),
    }
}

/// Tells whether some `p` tag names the key, however its hex is written.
fn names(event: &Event, key: &PublicKey) -> bool {
    event.tags.public_keys().any(|named| named == *key)
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::event;

    type Tags<'a> = &'a [&'a [&'a str]];

    #[test]
    fn a_message_is_ours_when_its_only_p_tag_is_the_node() {
        let (sender, node) = (Keys::generate(), Keys::generate().public_key());
        let (ours, theirs) = (node.to_hex(), Keys::generate().public_key().to_hex());
        let shouted = ours.to_uppercase();
        let (node_alone, others) = (Some(Addressee::Node), Some(Addressee::Others));
        let table: [(&str, u16, Tags, Option<Addressee>); 10] = [
            ("kind 14 to us", 14, &[&["p", &ours]], node_alone),
            ("gift wrap to us", 1059, &[&["p", &ours]], node_alone),
            (
                "with a relay hint",
                14,
                &[&["p", &ours, "wss://x"]],
                node_alone,
            ),
            ("in capitals", 14, &[&["p", &shouted]], node_alone),
            (
                "to us and another",
                14,
                &[&["p", &ours], &["p", &theirs]],
                None,
            ),
            ("to us twice", 1059, &[&["p", &ours], &["p", &ours]], None),
            ("chat of strangers", 14, &[&["p", &theirs]], others),
            (
                "to two strangers",
                14,
                &[&["p", &theirs], &["p", &theirs]],
                others,
            ),
            ("to nobody", 14, &[], others),
            ("a note that names us", 1, &[&["p", &ours]], others),
        ];
        for (case, kind, tags, expected) in table {
            let found = addressee(&event(&sender, kind, tags), &node);
            assert_eq!(found.ok(), expected, "{case}");
        }
    }
}
