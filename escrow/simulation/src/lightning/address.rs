//! Asks the address of one payout for an invoice, as the engine's worker does.

use escrow_core::Destination;
use escrow_core::command::Command;
use escrow_core::payout::{Payout, PayoutId, PayoutState};
use storage::ledger::View;

use super::workers::{Bench, Pace};

/// What a tender of an address remembers.
#[derive(Default)]
pub(super) struct AddressTender {
    /// What the server says when its time has come, whatever the ledger wants
    /// by then.
    under_way: Option<Command>,
}

impl AddressTender {
    /// Whether there is more to do, and what is reported.
    pub(super) fn step(
        &mut self,
        id: PayoutId,
        pace: &mut Pace,
        may_ask: bool,
        bench: &mut Bench<'_>,
    ) -> (bool, Option<Command>) {
        if let Some(answer) = self.under_way.take() {
            return (true, Some(answer));
        }
        let Some((payout, address)) = to_ask(id, bench.view) else {
            return (false, None);
        };
        // An invoice that waits for Lightning would grow old.
        if !may_ask || !pace.tries(bench.now) {
            return (true, None);
        }
        pace.pauses(bench.now);
        let amount = payout.amount.to_msat().unwrap();
        let (dice, tally) = (&mut *bench.dice, &mut *bench.tally);
        let reply = bench.line.ask_address(&address, amount, dice, tally);
        let asked = Command::AddressAsked {
            payout: id,
            address,
            answer: reply.answer,
        };
        if reply.secs == 0 {
            return (true, Some(asked));
        }
        pace.busy_until = bench.now.plus(reply.secs);
        self.under_way = Some(asked);
        (true, None)
    }
}

/// The payout and its address, while that is to be asked.
fn to_ask(id: PayoutId, view: &View) -> Option<(Payout, String)> {
    let payout = view.payout(id).unwrap()?;
    let waits = matches!(payout.state, PayoutState::Resolving { .. });
    match &payout.destination {
        Destination::Address(address) if waits => {
            let address = address.clone();
            Some((payout, address))
        }
        Destination::Address(_) | Destination::Invoice(_) => None,
    }
}
