//! Only the node speaks with the node's key.

use nostr::event::Event;
use nostr::key::PublicKey;

use crate::rules::addressed_to_us::Addressee;
use crate::{Prefix, Refusal};

/// Refuses events signed with the node's key that came in from outside.
///
/// What the node publishes goes past the gate. The one exception is a message of the key
/// to itself: an operator who uses the node's key in a client.
pub(crate) fn check(event: &Event, node: &PublicKey, addressee: Addressee) -> Result<(), Refusal> {
    if event.pubkey != *node {
        return Ok(());
    }
    match addressee {
        Addressee::Node => Ok(()),
        Addressee::Others => Err(Refusal::new(
            Prefix::Blocked,
            "only the node itself publishes with its key",
        )),
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::event;

    #[test]
    fn the_nodes_key_may_only_write_to_itself() {
        let (node, stranger) = (Keys::generate(), Keys::generate());
        let table = [
            ("an order by the node", &node, Addressee::Others, false),
            ("an operator's message", &node, Addressee::Node, true),
            ("an order by a stranger", &stranger, Addressee::Others, true),
            ("a trader's message", &stranger, Addressee::Node, true),
        ];
        for (case, author, addressee, passes) in table {
            let event = event(author, 38_383, &[]);
            let verdict = check(&event, &node.public_key(), addressee);
            assert_eq!(verdict.is_ok(), passes, "{case}");
        }
    }
}
