//! Who has how much, and whether it is right.

use anyhow::{Context, ensure};
use escrow_core::amount::Msat;
use escrow_lightning::Sandbox;

use crate::trader::deal::Terms;

/// All the money there is in the sandbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purse {
    pub(super) alice: Msat,
    pub(super) bob: Msat,
    /// What the node owns.
    pub(super) operator: Msat,
    /// What those earned who forwarded the node's payments.
    routing: Msat,
    /// Locked, or on its way.
    under_way: Msat,
    total: u64,
}

/// How the money moved, in millisats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moves {
    pub(super) alice: i64,
    pub(super) bob: i64,
    pub(super) operator: i64,
    pub(super) routing: i64,
    total: i64,
    under_way: Msat,
}

impl Purse {
    pub(super) async fn look(sandbox: &Sandbox) -> anyhow::Result<Purse> {
        let look = sandbox.look(|world| {
            let held = world.liquidity();
            Purse {
                alice: world.balance("alice"),
                bob: world.balance("bob"),
                operator: held.outbound,
                routing: world.state().routing_fees,
                under_way: Msat(held.held_in.0 + held.held_out.0),
                total: world.total_msat(),
            }
        });
        look.await.context("the sandbox does not tell its balances")
    }
}

impl Moves {
    pub(super) fn between(before: &Purse, after: &Purse) -> Moves {
        let change = |before: u64, after: u64| after.cast_signed() - before.cast_signed();
        Moves {
            alice: change(before.alice.0, after.alice.0),
            bob: change(before.bob.0, after.bob.0),
            operator: change(before.operator.0, after.operator.0),
            routing: change(before.routing.0, after.routing.0),
            total: change(before.total, after.total),
            under_way: after.under_way,
        }
    }

    /// Nobody has gained or lost anything.
    pub(super) fn check_unmoved(&self) -> anyhow::Result<()> {
        let still = [
            ("Alice", self.alice),
            ("Bob", self.bob),
            ("the operator", self.operator),
            ("those who route", self.routing),
            ("all money together", self.total),
            ("what is under way", self.under_way.0.cast_signed()),
        ];
        for (whose, is) in still {
            ensure!(
                is == 0,
                "the balance of {whose} moved by {is} msat and not by 0"
            );
        }
        Ok(())
    }

    /// The seller pays the amount and the fee, the buyer gets it less the fee,
    /// the operator keeps both fees and pays the routing; nothing is lost.
    pub(super) fn check(&self, alice_sells: bool, terms: &Terms) -> anyhow::Result<()> {
        let msat = |sats: u64| sats.cast_signed() * 1_000;
        let (sats, fee) = (msat(terms.sats.0), msat(terms.fee.0));
        let (seller, buyer) = if alice_sells {
            (self.alice, self.bob)
        } else {
            (self.bob, self.alice)
        };
        let due = [
            ("the seller", seller, -(sats + fee)),
            ("the buyer", buyer, sats - fee),
            ("the operator", self.operator, 2 * fee - self.routing),
            ("all money together", self.total, 0),
            ("what is under way", self.under_way.0.cast_signed(), 0),
        ];
        for (whose, is, should_be) in due {
            ensure!(
                is == should_be,
                "the balance of {whose} moved by {is} msat and not by {should_be}"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::amount::Sats;

    use super::*;

    const TERMS: Terms = Terms {
        sats: Sats(10_000),
        fee: Sats(30),
        by_the_book: true,
    };

    const RIGHT: Moves = Moves {
        alice: -10_030_000,
        bob: 9_970_000,
        operator: 58_900,
        routing: 1_100,
        total: 0,
        under_way: Msat(0),
    };

    const STILL: Moves = Moves {
        alice: 0,
        bob: 0,
        operator: 0,
        routing: 0,
        total: 0,
        under_way: Msat(0),
    };

    #[test]
    fn f2_the_right_moves_pass_for_the_right_seller_only() {
        RIGHT.check(true, &TERMS).unwrap();
        assert!(RIGHT.check(false, &TERMS).is_err());
    }

    #[test]
    fn f8_a_single_millisat_too_much_anywhere_is_found() {
        type Nudge = (&'static str, fn(&mut Moves));
        let nudges: [Nudge; 6] = [
            ("the seller", |moves| moves.alice += 1),
            ("the buyer", |moves| moves.bob += 1),
            ("the operator", |moves| moves.operator += 1),
            ("the operator", |moves| moves.routing += 1),
            ("all money", |moves| moves.total += 1),
            ("under way", |moves| moves.under_way = Msat(1)),
        ];
        for (whose, nudge) in nudges {
            let mut moves = RIGHT;
            nudge(&mut moves);
            let why = moves.check(true, &TERMS).unwrap_err().to_string();
            assert!(why.contains(whose), "{why}");
            let mut moves = STILL;
            nudge(&mut moves);
            assert!(moves.check_unmoved().is_err(), "{whose}");
        }
        STILL.check_unmoved().unwrap();
    }
}
