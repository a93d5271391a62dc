//! When letters were stamped: each later than the one before to the same key,
//! whoever writes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use escrow_core::UnixTime;
use escrow_core::party::TradeKey;

/// Keys that are remembered before those that bind nobody any more are
/// forgotten.
const REMEMBERED: usize = 4_096;

/// The last stamps, shared by the writer and by the reception, whose answers
/// are in no commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct LetterTimes(Arc<Mutex<BTreeMap<TradeKey, UnixTime>>>);

impl LetterTimes {
    /// The last stamp of a letter to a key, if it is remembered.
    pub(crate) fn last(&self, to: TradeKey) -> Option<UnixTime> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.get(&to).copied()
    }

    /// The stamp of the next letter to a key: `now`, or one second after the
    /// last, be it in memory or as the ledger has it.
    pub(crate) fn next(
        &self,
        to: TradeKey,
        in_ledger: Option<UnixTime>,
        now: UnixTime,
    ) -> UnixTime {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= REMEMBERED {
            // A stamp in the past binds no later letter: now is after it anyway.
            last.retain(|_, stamp| *stamp >= now);
        }
        let before = last.get(&to).copied().max(in_ledger);
        let stamp = before.map_or(now, |before| before.plus(1).max(now));
        last.insert(to, stamp);
        stamp
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::PublicKey;

    use super::*;

    fn key(number: u16) -> TradeKey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        TradeKey(PublicKey::from_byte_array(bytes))
    }

    #[test]
    fn s5_stamps_rise_for_each_key_whoever_writes() {
        let times = LetterTimes::default();
        let (one, other) = (key(1), key(2));
        let at = |secs| Some(UnixTime(secs));
        assert_eq!(times.next(one, None, UnixTime(10)), UnixTime(10));
        assert_eq!(times.next(one, None, UnixTime(10)), UnixTime(11));
        assert_eq!(times.next(one, at(20), UnixTime(12)), UnixTime(21));
        assert_eq!(times.next(one, at(20), UnixTime(30)), UnixTime(30));
        assert_eq!(times.next(other, None, UnixTime(12)), UnixTime(12));
    }

    #[test]
    fn what_binds_nobody_is_forgotten() {
        let times = LetterTimes::default();
        for number in 0..=u16::try_from(REMEMBERED).unwrap() {
            times.next(key(number), None, UnixTime(u64::from(number)));
        }
        assert_eq!(times.0.lock().unwrap().len(), 1);
    }
}
