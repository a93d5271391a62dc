//! What people are like, and what that makes them do when it is their turn.

use escrow_core::stage::Stage;

use crate::dice::Dice;

/// What a person is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Does what he promised.
    Honest,
    /// Walks away for good after so many more turns, wherever his trades stand.
    Fickle { turns_left: u64 },
    /// Often wants out.
    Wavering,
    /// Often calls for a solver.
    Quarrelsome,
    /// Lets others wait.
    Slow,
    /// Gives wrong invoices.
    Careless,
}

/// What somebody does with his turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// What the trade needs.
    Acts,
    /// Nothing yet.
    Waits,
    /// Nothing any more, in no trade.
    Leaves,
    /// He wants out.
    Cancels,
    /// He wants a solver.
    Disputes,
}

impl Temper {
    pub(super) fn drawn(dice: &mut Dice) -> Temper {
        match dice.below(10) {
            0..3 => Temper::Honest,
            3 | 4 => Temper::Fickle {
                turns_left: dice.below(10),
            },
            5 => Temper::Wavering,
            6 => Temper::Quarrelsome,
            7 | 8 => Temper::Slow,
            _ => Temper::Careless,
        }
    }

    pub(super) fn is_gone(self) -> bool {
        self == Temper::Fickle { turns_left: 0 }
    }

    /// How often of twenty times he gives an invoice with something wrong or
    /// strange about it.
    pub(super) fn slips(self) -> u64 {
        if self == Temper::Careless { 14 } else { 5 }
    }

    pub(super) fn mood(&mut self, stage: &Stage, dice: &mut Dice) -> Mood {
        let runs = matches!(stage, Stage::Active { .. } | Stage::FiatSent { .. });
        match self {
            Temper::Fickle { turns_left: 0 } => Mood::Waits,
            Temper::Fickle { turns_left } => {
                *turns_left -= 1;
                if *turns_left == 0 {
                    return Mood::Leaves;
                }
                Mood::Acts
            }
            Temper::Wavering if dice.percent(30) => Mood::Cancels,
            Temper::Quarrelsome if runs && dice.percent(60) => Mood::Disputes,
            Temper::Slow if dice.percent(75) => Mood::Waits,
            Temper::Honest
            | Temper::Wavering
            | Temper::Quarrelsome
            | Temper::Slow
            | Temper::Careless => Mood::Acts,
        }
    }
}
