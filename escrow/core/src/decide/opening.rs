//! Asking Lightning for a hold invoice, and giving it up again (rules B1, B6).

use crate::amount::{Fiat, Sats};
use crate::decision::{Decision, Effect};
use crate::facts::{Capacity, FreshHold, Now};
use crate::fees::fee_per_side;
use crate::hold::{Hold, HoldState, HorizonWatch};
use crate::notice::{Letter, Notice};
use crate::order::{Amounts, Order, Take};
use crate::party::Asker;
use crate::stage::{BackTo, Stage};
use crate::terms::{HOLD_GRACE_SECS, OPENING_SECS, Terms};
use crate::wire::CantDo;

use super::ending::{to_book, unpaid};
use super::ensure;

/// What a hold is wanted for, by whom, and where the order goes without it.
pub(super) struct Opening {
    pub(super) take: Take,
    pub(super) asker: Option<Asker>,
    pub(super) back_to: BackTo,
}

/// Whether Lightning can carry one more escrow (rules T7, Y6). Holds that are
/// still being opened will be open in a moment, so they count as both.
pub(super) fn ensure_capacity(
    capacity: Capacity,
    amount: Sats,
    terms: &Terms,
) -> Result<(), CantDo> {
    let holds = capacity.open_holds.saturating_add(capacity.opening_holds);
    ensure_payable(capacity, amount)?;
    ensure(holds < terms.max_open_holds, CantDo::TooManyRequests)?;
    ensure(
        capacity.opening_holds < terms.max_opening_holds,
        CantDo::TooManyRequests,
    )
}

/// Whether the buyer of one more trade could be paid (rule T7).
pub(super) fn ensure_payable(capacity: Capacity, amount: Sats) -> Result<(), CantDo> {
    let suffices = capacity
        .liquidity
        .is_none_or(|liquidity| liquidity.suffices_for(amount));
    ensure(
        capacity.lightning_is_ready && suffices,
        CantDo::TooManyRequests,
    )
}

/// What is traded, with the fee of each side, if the sats are within the
/// limits (rule F7) and what the seller pays can be said in millisats.
pub(super) fn amounts(fiat: Fiat, sats: Sats, terms: &Terms) -> Result<Amounts, CantDo> {
    let fee = fee_per_side(terms.fee, sats);
    let is_payable = sats.checked_add(fee).and_then(Sats::to_msat).is_some() && fee <= sats;
    let is_within = (terms.min_amount..=terms.max_amount).contains(&sats);
    ensure(is_within && is_payable, CantDo::OutOfRangeSatsAmount)?;
    Ok(Amounts { fiat, sats, fee })
}

/// Lightning is asked for a hold; the answer comes when it has answered (rule B1).
pub(super) fn open_hold(order: &Order, opening: Opening, fresh: FreshHold, now: Now) -> Decision {
    let hold = new_hold(order, &opening, fresh, now);
    let Opening {
        take,
        asker,
        back_to,
    } = opening;
    let stage = Stage::OpeningHold {
        take,
        hold: hold.id,
        asker,
        back_to,
        until: now.at.plus(OPENING_SECS),
    };
    Decision {
        effects: vec![Effect::OpenHold(hold.hash)],
        orders: vec![order.moved(stage, now.at)],
        holds: vec![hold],
        ..Decision::default()
    }
}

/// The invoice outlives its step by a grace only, so that nobody can pay it
/// when the step is long over (rule B2).
fn new_hold(order: &Order, opening: &Opening, fresh: FreshHold, now: Now) -> Hold {
    let take = &opening.take;
    let step_ends = match opening.back_to {
        BackTo::Pending | BackTo::WaitingInvoice { .. } => now.at.plus(now.terms.step_secs),
        BackTo::WaitingPayment { deadline } => deadline,
    };
    Hold {
        id: fresh.id,
        order: order.id,
        seller: order.sides(take).seller.clone(),
        hash: fresh.hash,
        value: take.seller_pays(),
        cltv_delta_blocks: now.terms.hold_cltv_delta_blocks,
        expires_at: step_ends.plus(HOLD_GRACE_SECS),
        state: HoldState::New,
        late_payment: None,
        horizon: HorizonWatch::default(),
    }
}

/// The order as it was before the opening (rules B6, B7); an invoice that came
/// with it is forgotten, so that its owner may give it again.
pub(super) fn back(order: &Order, take: &Take, back_to: &BackTo, now: Now) -> Decision {
    match back_to {
        BackTo::Pending => untaken(order, now),
        BackTo::WaitingInvoice { deadline } => {
            let take = Take {
                payout: None,
                ..take.clone()
            };
            let deadline = *deadline;
            let stage = Stage::WaitingInvoice { take, deadline };
            Decision {
                orders: vec![order.moved(stage, now.at)],
                ..Decision::default()
            }
        }
        BackTo::WaitingPayment { .. } => unpaid(order, take, now),
    }
}

/// The book never showed the take, so it changes only if the order's own
/// deadline has passed meanwhile.
fn untaken(order: &Order, now: Now) -> Decision {
    let returned = to_book(order, now);
    let mut decision = Decision::default();
    if returned.stage == Stage::Expired {
        let told = Letter::push(&order.maker, order.id, Notice::Canceled);
        decision.pushes = vec![told];
        decision.effects = vec![Effect::PublishOrder(order.id)];
    }
    decision.orders = vec![returned];
    decision
}

/// A hold nobody wants; the cancel is repeated until it is definite.
pub(super) fn given_up(hold: &Hold) -> Hold {
    Hold {
        state: HoldState::Canceling,
        ..hold.clone()
    }
}

#[cfg(test)]
mod tests {
    use crate::command::Ask;
    use crate::decide::payout_invoice::add_invoice;
    use crate::decide::take::{take_buy, take_sell};
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::party::Identity;
    use crate::stage::BackTo;
    use crate::wire::CantDo;

    #[test]
    fn b3_while_a_hold_is_opened_no_other_take_and_no_other_invoice_is_taken() {
        let mut other = stranger();
        other.identity = Identity::FullPrivacy;
        let taken = Some(CantDo::InvalidOrderStatus);
        let of_buy = opening(Side::Buy, BackTo::Pending).order;
        let refused = take_buy(
            &of_buy,
            &request(&other, Ask::TakeBuy { fiat: None }),
            None,
            now(),
            &take_facts(),
        );
        assert_eq!(refused.err(), taken);
        let of_sell = opening(Side::Sell, BackTo::Pending).order;
        let request_of = |payout| request(&other, Ask::TakeSell { payout, fiat: None });
        for given in [None, Some(readable(60))] {
            let asks = request_of(given.clone());
            let refused = take_sell(
                &of_sell,
                &asks,
                (given.as_ref(), None),
                now(),
                &take_facts(),
            );
            assert_eq!(refused.err(), taken, "{given:?}");
        }

        let deadline = deadline();
        let scene = opening(Side::Sell, BackTo::WaitingInvoice { deadline });
        let payout = readable(60);
        let again = request(&taker(), Ask::AddInvoice { payout });
        let facts = scene.invoice_facts();
        let refused = add_invoice(&scene.order, &again, &readable(60), now(), &facts);
        assert_eq!(refused.err(), Some(CantDo::NotAllowedByStatus));
    }
}
