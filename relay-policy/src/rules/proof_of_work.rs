//! Work for messages to the node (rules Y1, Y2).

use nostr::event::Event;

use crate::gate::GateTerms;
use crate::{KnownKeys, Prefix, Refusal};

/// Refuses a message to the node whose id carries too little work.
///
/// Known authors owe `pow`, all others the higher of `pow` and `pow_first_contact`. Gift
/// wraps are signed by keys made for one message: always a first contact. The author is
/// not proven yet; who borrows a known key here fails at the signature.
pub(crate) fn check(
    event: &Event,
    known: &dyn KnownKeys,
    terms: &GateTerms,
) -> Result<(), Refusal> {
    let owed = if known.knows(&event.pubkey) {
        terms.pow
    } else {
        terms.pow.max(terms.pow_first_contact)
    };
    if event.check_pow(owed) {
        return Ok(());
    }
    Err(Refusal::new(
        Prefix::Pow,
        format!("{owed} leading zero bits of the id are required"),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use nostr::event::EventId;
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::event;

    #[test]
    fn y1_y2_u1_the_id_shows_the_work_and_first_contacts_owe_more() {
        let (regular, stranger) = (Keys::generate(), Keys::generate());
        let known = BTreeSet::from([regular.public_key()]);
        let table = [
            ("nothing owed", &stranger, 0, 0, 0, true),
            ("enough", &regular, 8, 8, 0, true),
            ("too little", &regular, 7, 8, 0, false),
            ("first contact, enough", &stranger, 12, 8, 12, true),
            ("first contact, too little", &stranger, 11, 8, 12, false),
            ("known, spared the first contact", &regular, 8, 8, 12, true),
            (
                "the first contact never owes less",
                &stranger,
                7,
                8,
                0,
                false,
            ),
        ];
        for (case, author, bits, pow, pow_first_contact, passes) in table {
            let mut event = event(author, 14, &[]);
            event.id = id_with_work(bits);
            let terms = GateTerms {
                pow,
                pow_first_contact,
                ..GateTerms::default()
            };
            assert_eq!(check(&event, &known, &terms).is_ok(), passes, "{case}");
        }
    }

    fn id_with_work(bits: usize) -> EventId {
        let mut bytes = [0_u8; 32];
        bytes[bits / 8] = 0x80 >> (bits % 8);
        EventId::from_byte_array(bytes)
    }
}
