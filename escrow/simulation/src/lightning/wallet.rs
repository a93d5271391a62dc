//! How a seller's wallet pays what the node asks for.

use escrow_core::Msat;
use escrow_lightning::backend::HoldSnapshot;
use escrow_lightning::sandbox::WalletPays;

use super::line::Line;
use crate::dice::Dice;
use crate::tally::Tally;

/// Pays an open hold: at once, in parts, too much, or only a part of it.
pub(crate) fn pays_hold(
    line: &mut Line,
    wallet: &str,
    hold: &HoldSnapshot,
    dice: &mut Dice,
    tally: &mut Tally,
) {
    let mut payment = WalletPays::exactly(wallet, &hold.bolt11);
    match if line.is_good { 99 } else { dice.below(100) } {
        0..5 => {
            tally.add("overpaid hold");
            payment.total = Some(Msat(hold.value.0 + 1_000));
        }
        5..13 => {
            // What is missing comes at once, later, or never.
            tally.add("hold paid in parts");
            payment.part = Some(Msat(hold.value.0 / 2));
            let rest = WalletPays {
                part: Some(Msat(hold.value.0 - hold.value.0 / 2)),
                ..payment.clone()
            };
            let is_first = line.act(payment);
            if is_first.is_ok() && dice.percent(50) {
                // The parts of before may have completed it already.
                let _ = line.act(rest);
            }
            return;
        }
        _ => {}
    }
    // Parts of another sum may wait there, with which it does not go together.
    let _ = line.act(payment);
}
