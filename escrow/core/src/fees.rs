//! The fee of a trade and the cap of a payment's routing fee.
//!
//! The only place where a share, an `f64` of the settings, meets money.

use crate::amount::Sats;

/// The least that routing may always cost, so that small payments find a way.
const LEAST_ROUTING_CAP: Sats = Sats(10);

/// The fee of each side: half the share, rounded half away from zero (rule F1).
#[must_use]
pub fn fee_per_side(share: f64, amount: Sats) -> Sats {
    whole_sats((share * float(amount) / 2.0).round())
}

/// What of both sides' fees the house gives to the development, rounded half
/// away from zero (rule F5).
#[must_use]
pub fn dev_fee(share: f64, fee_per_side: Sats) -> Sats {
    whole_sats((2.0 * float(fee_per_side) * share).round())
}

/// The most that routing a payment of `sent` may cost (rule F6).
#[must_use]
pub fn routing_cap(share: f64, sent: Sats) -> Sats {
    whole_sats((float(sent) * share).trunc()).max(LEAST_ROUTING_CAP)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "all the sats there can be fit into 53 bits"
)]
fn float(amount: Sats) -> f64 {
    amount.0 as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and the settings allow shares of 0 to 1 only"
)]
fn whole_sats(amount: f64) -> Sats {
    Sats(amount as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fee per side, dev fee at 0.30.
    const DEV_FEES: [(u64, u64); 6] = [(500, 300), (30, 18), (24, 14), (3, 2), (2, 1), (0, 0)];

    /// Amount, share, fee per side, seller pays, buyer gets, routing cap at 0.002.
    const WORKED: [(u64, f64, u64, u64, u64, u64); 8] = [
        (100_000, 0.01, 500, 100_500, 99_500, 199),
        (10_000, 0.006, 30, 10_030, 9_970, 19),
        (7_851, 0.006, 24, 7_875, 7_827, 15),
        (1_000, 0.006, 3, 1_003, 997, 10),
        (500, 0.01, 3, 503, 497, 10),
        (333, 0.01, 2, 335, 331, 10),
        (1_001, 0.0, 0, 1_001, 1_001, 10),
        (100_000, 0.0, 0, 100_000, 100_000, 200),
    ];

    #[test]
    fn f1_f2_the_worked_fees() {
        for (amount, share, fee, seller_pays, buyer_gets, _) in WORKED {
            let amount = Sats(amount);
            let side = fee_per_side(share, amount);
            assert_eq!(side, Sats(fee), "{amount} at {share}");
            assert_eq!(amount.checked_add(side), Some(Sats(seller_pays)));
            assert_eq!(amount.checked_sub(side), Some(Sats(buyer_gets)));
        }
    }

    #[test]
    fn f5_the_worked_dev_fees_are_taken_of_both_sides_fees() {
        for (fee, given) in DEV_FEES {
            assert_eq!(dev_fee(0.30, Sats(fee)), Sats(given), "{fee}");
            assert_eq!(dev_fee(1.0, Sats(fee)), Sats(2 * fee), "{fee}");
        }
        for (_, _, fee, ..) in WORKED {
            let listed = DEV_FEES.iter().any(|(listed, _)| *listed == fee);
            assert!(listed, "{fee} has no dev fee here");
        }
    }

    #[test]
    fn f6_the_worked_routing_caps() {
        for (amount, _, _, _, buyer_gets, cap) in WORKED {
            assert_eq!(
                routing_cap(0.002, Sats(buyer_gets)),
                Sats(cap),
                "amount {amount}"
            );
        }
    }

    #[test]
    fn f6_the_cap_never_falls_below_ten_sats() {
        assert_eq!(routing_cap(0.002, Sats(0)), Sats(10));
        assert_eq!(routing_cap(0.0, Sats(1_000_000)), Sats(10));
    }
}
