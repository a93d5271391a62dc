//! Nothing larger than it needs to be.

use nostr::event::Event;

use crate::gate::GateTerms;
use crate::rules::is_message;
use crate::{Arrival, Refusal};

/// The longest `d` tag that is kept, in bytes: an event store may cut longer ones in its
/// index and take two addresses for one.
pub const MAX_D_TAG_BYTES: usize = 182;

/// Refuses events that are too large, and addresses that no store tells apart.
pub(crate) fn check(arrival: Arrival<'_>, terms: &GateTerms) -> Result<(), Refusal> {
    let limit = if is_message(arrival.event) {
        terms.message_bytes
    } else {
        terms.event_bytes
    };
    if arrival.size_bytes > limit {
        let size = arrival.size_bytes;
        return Err(Refusal::invalid(format!(
            "event of {size} bytes is over {limit} bytes"
        )));
    }
    check_address(arrival.event)
}

fn check_address(event: &Event) -> Result<(), Refusal> {
    if !event.kind.is_addressable() {
        return Ok(());
    }
    let mut names = event.tags.iter().filter(|tag| tag.kind() == "d");
    let name = names
        .next()
        .and_then(|tag| tag.content())
        .unwrap_or_default();
    if names.next().is_some() {
        return Err(Refusal::invalid("more than one d tag"));
    }
    if name.len() > MAX_D_TAG_BYTES {
        return Err(Refusal::invalid(format!(
            "d tag over {MAX_D_TAG_BYTES} bytes"
        )));
    }
    if name.contains('\0') {
        return Err(Refusal::invalid("d tag with a zero byte"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::{arrival, event};

    #[test]
    fn g1_u2_messages_may_be_larger_than_other_events() {
        let keys = Keys::generate();
        let terms = GateTerms {
            event_bytes: 1_000,
            message_bytes: 4_000,
            ..GateTerms::default()
        };
        let table = [
            (1, 1_000, true),
            (1, 1_001, false),
            (38_383, 1_001, false),
            (14, 4_000, true),
            (14, 4_001, false),
            (1059, 4_000, true),
            (1059, 4_001, false),
        ];
        for (kind, size_bytes, passes) in table {
            let event = event(&keys, kind, &[]);
            let arrival = Arrival {
                size_bytes,
                ..arrival(&event)
            };
            assert_eq!(
                check(arrival, &terms).is_ok(),
                passes,
                "kind {kind}, {size_bytes} bytes"
            );
        }
    }

    #[test]
    fn an_address_must_be_one_that_a_store_tells_apart() {
        let keys = Keys::generate();
        let (longest, too_long) = ("x".repeat(182), "x".repeat(183));
        let table: [(&str, u16, &[&[&str]], bool); 7] = [
            ("no d", 30_000, &[], true),
            ("empty d", 30_000, &[&["d"]], true),
            ("182 bytes", 30_000, &[&["d", &longest]], true),
            ("183 bytes", 30_000, &[&["d", &too_long]], false),
            ("two d", 30_000, &[&["d", "a"], &["d", "b"]], false),
            ("zero byte", 30_000, &[&["d", "a\0"]], false),
            ("not addressable", 1, &[&["d", &too_long]], true),
        ];
        for (case, kind, tags, passes) in table {
            let event = event(&keys, kind, tags);
            assert_eq!(
                check(arrival(&event), &GateTerms::default()).is_ok(),
                passes,
                "{case}"
            );
        }
    }
}
