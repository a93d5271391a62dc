//! How old a message may be (rules G6–G8).

use thiserror::Error;

use crate::command::Ask;
use crate::time::UnixTime;
use crate::wire::CantDo;

/// Clocks may differ, and messages may travel, this many seconds.
pub const TOLERANCE_SECS: u64 = 120;

/// A command on an order may have waited for us this many seconds.
pub const LONGEST_WAIT_SECS: u64 = 48 * 3_600;

/// What a message is about, as far as its age matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An existing order or dispute, in its stage since this moment.
    Existing {
        /// When it last changed its stage.
        stage_since: UnixTime,
    },
    /// New orders, takes, questions and everything about unknown orders.
    Fresh,
}

impl Subject {
    /// The subject of a request; `stage_since` is that of its order or dispute, if
    /// that exists.
    #[must_use]
    pub fn of(ask: &Ask, stage_since: Option<UnixTime>) -> Subject {
        match (needs_to_be_fresh(ask), stage_since) {
            (false, Some(stage_since)) => Subject::Existing { stage_since },
            (true, _) | (false, None) => Subject::Fresh,
        }
    }
}

/// Why a message is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Stale {
    /// Its time lies ahead of ours.
    #[error("signed more than 120 s ahead of the node's clock")]
    Ahead,
    /// Nothing is honoured after so long.
    #[error("signed more than 48 h ago")]
    TooOld,
    /// Only commands on existing orders may be late.
    #[error("signed more than 120 s ago")]
    Late,
    /// The order moved on after it was signed, so its sender did not know what he asks for.
    #[error("signed more than 120 s ago and before the order's last change of stage")]
    Overtaken,
}

impl Stale {
    /// What the sender hears of it where no `OK` reaches him: from a mirror, or
    /// after a downtime (rule G8). Nothing, if nobody can still wait for it.
    #[must_use]
    pub fn answer(self, ask: &Ask) -> Option<CantDo> {
        match self {
            Stale::Ahead | Stale::TooOld => None,
            Stale::Late | Stale::Overtaken => Some(match ask {
                Ask::NewOrder(_) | Ask::TakeSell { .. } | Ask::TakeBuy { .. } => {
                    CantDo::TooManyRequests
                }
                Ask::Question(_)
                | Ask::Govern(_)
                | Ask::AddInvoice { .. }
                | Ask::FiatSent { .. }
                | Ask::Release { .. }
                | Ask::Cancel
                | Ask::Dispute
                | Ask::RateUser { .. }
                | Ask::TradePubkey
                | Ask::TakeDispute(_)
                | Ask::AdminSettle { .. }
                | Ask::AdminCancel { .. }
                | Ask::Refused(_) => CantDo::NotAllowedByStatus,
            }),
        }
    }
}

/// Judges the age of a message signed at `signed_at`.
pub fn check(signed_at: UnixTime, now: UnixTime, subject: Subject) -> Result<(), Stale> {
    if signed_at.secs_since(now) > TOLERANCE_SECS {
        return Err(Stale::Ahead);
    }
    let age = now.secs_since(signed_at);
    if age > LONGEST_WAIT_SECS {
        return Err(Stale::TooOld);
    }
    if age <= TOLERANCE_SECS {
        return Ok(());
    }
    match subject {
        Subject::Existing { stage_since } if signed_at > stage_since => Ok(()),
        Subject::Existing { .. } => Err(Stale::Overtaken),
        Subject::Fresh => Err(Stale::Late),
    }
}

fn needs_to_be_fresh(ask: &Ask) -> bool {
    match ask {
        Ask::NewOrder(_)
        | Ask::TakeSell { .. }
        | Ask::TakeBuy { .. }
        | Ask::Question(_)
        | Ask::Govern(_) => true,
        Ask::AddInvoice { .. }
        | Ask::FiatSent { .. }
        | Ask::Release { .. }
        | Ask::Cancel
        | Ask::Dispute
        | Ask::RateUser { .. }
        | Ask::TradePubkey
        | Ask::TakeDispute(_)
        | Ask::AdminSettle { .. }
        | Ask::AdminCancel { .. }
        | Ask::Refused(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Question;

    const NOW: UnixTime = UnixTime(1_000_000);

    #[test]
    fn g6_g7_the_age_of_a_message() {
        let moved = Subject::Existing {
            stage_since: UnixTime(NOW.0 - 600),
        };
        let table = [
            ("fresh", 0, Subject::Fresh, Ok(())),
            ("just fresh", 120, Subject::Fresh, Ok(())),
            ("late for the book", 121, Subject::Fresh, Err(Stale::Late)),
            ("late, but after the last move", 599, moved, Ok(())),
            (
                "in the second of the last move",
                600,
                moved,
                Err(Stale::Overtaken),
            ),
            ("before the last move", 601, moved, Err(Stale::Overtaken)),
            (
                "fresh, though before the last move",
                119,
                Subject::Existing { stage_since: NOW },
                Ok(()),
            ),
        ];
        for (case, age, subject, outcome) in table {
            assert_eq!(
                check(UnixTime(NOW.0 - age), NOW, subject),
                outcome,
                "{case}"
            );
        }
    }

    #[test]
    fn g6_two_days_are_the_end_and_two_minutes_ahead_too() {
        let quiet = Subject::Existing {
            stage_since: UnixTime(0),
        };
        let two_days = 48 * 3_600;
        assert_eq!(check(UnixTime(NOW.0 - two_days), NOW, quiet), Ok(()));
        assert_eq!(
            check(UnixTime(NOW.0 - two_days - 1), NOW, quiet),
            Err(Stale::TooOld)
        );
        assert_eq!(check(UnixTime(NOW.0 + 120), NOW, quiet), Ok(()));
        assert_eq!(check(UnixTime(NOW.0 + 121), NOW, quiet), Err(Stale::Ahead));
        assert_eq!(
            check(UnixTime(u64::MAX), UnixTime(0), quiet),
            Err(Stale::Ahead)
        );
    }

    #[test]
    fn g7_takes_and_unknown_orders_must_be_fresh() {
        let since = Some(UnixTime(5));
        let existing = Subject::Existing {
            stage_since: UnixTime(5),
        };
        assert_eq!(
            Subject::of(&Ask::TakeBuy { fiat: None }, since),
            Subject::Fresh
        );
        assert_eq!(Subject::of(&Ask::Cancel, since), existing);
        assert_eq!(Subject::of(&Ask::Cancel, None), Subject::Fresh);
    }

    #[test]
    fn g8_what_a_stale_message_hears_where_there_is_no_ok() {
        let mut told = Vec::new();
        for stale in [Stale::Ahead, Stale::TooOld, Stale::Late, Stale::Overtaken] {
            told.push((
                stale.answer(&Ask::Cancel),
                stale.answer(&Ask::TakeBuy { fiat: None }),
            ));
        }
        let late = (
            Some(CantDo::NotAllowedByStatus),
            Some(CantDo::TooManyRequests),
        );
        assert_eq!(told, [(None, None), (None, None), late, late]);
        let question = Ask::Question(Question::RestoreSession);
        assert_eq!(Stale::Late.answer(&question), late.0);
    }
}
