//! Nothing from the far future, nothing that is already over.

use nostr::types::Timestamp;

use crate::gate::GateTerms;
use crate::{Arrival, Refusal};

/// Refuses events that have expired (NIP-40) or are dated too far ahead.
pub(crate) fn check(arrival: Arrival<'_>, terms: &GateTerms) -> Result<(), Refusal> {
    if has_passed(arrival.event.tags.expiration(), arrival.now) {
        return Err(Refusal::invalid("the event has expired"));
    }
    let latest = arrival.now.as_secs().saturating_add(terms.future_secs);
    if arrival.event.created_at.as_secs() > latest {
        let allowed = terms.future_secs;
        return Err(Refusal::invalid(format!(
            "created_at is over {allowed} s in the future"
        )));
    }
    Ok(())
}

/// Tells whether what expires then has expired at `now`: in that very second it has.
pub(super) fn has_passed(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;
    use crate::rules::samples::{NOW, arrival, event_at};

    #[test]
    fn time_bounds_hold_to_the_second() {
        let keys = Keys::generate();
        let expiring = |at: u64| vec![vec!["expiration".to_owned(), at.to_string()]];
        let table = [
            ("two days old", NOW - 172_800, vec![], true),
            ("900 s ahead", NOW + 900, vec![], true),
            ("901 s ahead", NOW + 901, vec![], false),
            ("the end of time", u64::MAX, vec![], false),
            ("expires this second", NOW, expiring(NOW), false),
            ("expires in a second", NOW, expiring(NOW + 1), true),
            ("expires tomorrow", NOW, expiring(NOW + 86_400), true),
        ];
        for (case, created_at, tags, passes) in table {
            let tags: Vec<Vec<&str>> = tags
                .iter()
                .map(|tag| tag.iter().map(String::as_str).collect())
                .collect();
            let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
            let event = event_at(&keys, 1, &tags, created_at);
            assert_eq!(
                check(arrival(&event), &GateTerms::default()).is_ok(),
                passes,
                "{case}"
            );
        }
    }
}
