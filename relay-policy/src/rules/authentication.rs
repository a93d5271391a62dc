//! Proofs of a key are for the relay alone.

use nostr::event::{Event, Kind};

use crate::Refusal;

/// Refuses an authentication that came as an event (NIP-42).
///
/// Shown to subscribers, it could be replayed to whoever sent the same challenge.
pub(crate) fn check(event: &Event) -> Result<(), Refusal> {
    if event.kind == Kind::Authentication {
        return Err(Refusal::invalid(
            "an event of kind 22242 belongs into an AUTH message",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::event;

    #[test]
    fn nip42_a_proof_is_no_event() {
        let keys = Keys::generate();
        for (kind, passes) in [(22_241, true), (22_242, false), (22_243, true), (1, true)] {
            assert_eq!(check(&event(&keys, kind, &[])).is_ok(), passes, "{kind}");
        }
    }
}
