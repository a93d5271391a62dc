//! The address that a buyer wants to be paid to was asked for an invoice.

use crate::command::AddressAnswer;
use crate::decide::nothing;
use crate::decision::Decision;
use crate::facts::{Now, PayoutFacts};
use crate::lightning::{Destination, PayoutInvoice};
use crate::order::Order;
use crate::payout::{Payout, PayoutState};

use super::failed::count;
use super::{Debt, lives_on, take_being_paid, try_again, try_to_pay};

/// What an address answered (rules P2, P6e).
///
/// An invoice is paid in the same breath: its hash and its bytes are in the
/// attempt's row before Lightning hears of them. What is no invoice for
/// exactly the debt counts as a try, and so does one whose hash is known
/// (`hash_is_known`): somebody else might be paid by it, or nobody. `owed` is
/// told with the payee of the answer.
///
/// An answer that comes late, when the buyer has named another destination or
/// the address was asked again, means nothing.
pub fn address_asked(
    order: &Order,
    owed: &PayoutFacts,
    (address, answer): (&str, &AddressAnswer),
    hash_is_known: bool,
    now: Now,
) -> Decision {
    let payout = &owed.payout;
    let waits = matches!(payout.state, PayoutState::Resolving { .. });
    let is_its_own = payout.destination == Destination::Address(address.to_owned());
    let Some(take) = take_being_paid(order, payout.id).filter(|_| waits && is_its_own) else {
        return nothing();
    };
    match answer {
        AddressAnswer::Invoice(invoice)
            if is_owed(payout, invoice) && lives_on(invoice, now) && !hash_is_known =>
        {
            let payout = Payout {
                resolved: Some(invoice.clone()),
                ..payout.clone()
            };
            let debt = Debt {
                order,
                take,
                payout,
                attempt: None,
                inflow: take.seller_pays(),
                in_flight: owed.in_flight,
            };
            try_to_pay(&debt, invoice, now)
        }
        AddressAnswer::Invoice(_) | AddressAnswer::Refused => count(order, take, payout, now),
        AddressAnswer::Unasked => try_again(payout, now),
    }
}

fn is_owed(payout: &Payout, invoice: &PayoutInvoice) -> bool {
    invoice.amount.is_some() && invoice.amount == payout.amount.to_msat()
}
