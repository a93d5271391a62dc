//! Invoices of traders, good and bad, and how sellers pay the node's.

use escrow_core::command::{Ask, GivenInvoice, Request};
use escrow_core::lightning::Sendable;
use escrow_core::order::OrderId;
use escrow_core::party::TradeKey;
use escrow_core::{Msat, PaymentHash, Sats};
use escrow_lightning::backend::HoldState;

use super::{People, Scene};
use crate::lightning::{address_of, pays_hold};

/// Life of an invoice that will do, in seconds.
const LIFE_SECS: u64 = 86_400;

/// The same at the end of a run, when the node's clock may just have been days
/// ahead.
const LONG_LIFE_SECS: u64 = 30 * 86_400;

/// The most that an address takes at once: more than any trade is worth.
const MOST: Msat = Msat(1_000_000_000_000);

impl People {
    pub(super) fn give_invoice(
        &mut self,
        order: OrderId,
        buyer: TradeKey,
        amount: Sats,
        scene: &mut Scene<'_>,
    ) -> Request {
        let payout = self.invoice(self.selves[&buyer].owner, amount, scene);
        self.say(buyer, Some(order), Ask::AddInvoice { payout }, None, scene)
    }

    /// An invoice as a trader gives it; when the line is good, a good one.
    pub(super) fn invoice(
        &mut self,
        owner: usize,
        amount: Sats,
        scene: &mut Scene<'_>,
    ) -> GivenInvoice {
        let right = amount.to_msat().unwrap();
        if scene.dice.percent(25) {
            return self.address(owner, right, scene);
        }
        if scene.line.is_good {
            return self.written(owner, Some(right), LONG_LIFE_SECS, scene);
        }
        if scene.dice.below(20) >= self.persons[owner].temper.slips() {
            return self.written(owner, Some(right), LIFE_SECS, scene);
        }
        scene.tally.add("strange invoice");
        match scene.dice.below(9) {
            0 => GivenInvoice::Unusable,
            1 => self.written(owner, Some(Msat(right.0 + 1)), LIFE_SECS, scene),
            2 => self.written(owner, Some(Msat(right.0 - 1_000)), LIFE_SECS, scene),
            // Too short to be taken, and just long enough.
            3 => self.written(owner, Some(right), 60, scene),
            4 | 5 => self.written(owner, Some(right), 3_700, scene),
            // The node names the amount.
            6 => self.written(owner, None, LIFE_SECS, scene),
            // Somebody else is paid, if he likes.
            7 => {
                let friend = self.anybody(scene.dice);
                self.written(friend, Some(right), LIFE_SECS, scene)
            }
            _ => match scene.dice.pick(&self.invoices) {
                Some(used) => used.clone(),
                None => GivenInvoice::Unusable,
            },
        }
    }

    /// Where to pay what only the node knows: to an invoice that leaves the
    /// amount to it, or to an address.
    pub(super) fn open_payout(&mut self, owner: usize, scene: &mut Scene<'_>) -> GivenInvoice {
        if scene.dice.percent(40) {
            let likely = Sats(20_000).to_msat().unwrap();
            return self.address(owner, likely, scene);
        }
        self.written(owner, None, LIFE_SECS, scene)
    }

    /// An address, as the node's look-up finds it.
    fn address(&mut self, owner: usize, amount: Msat, scene: &mut Scene<'_>) -> GivenInvoice {
        let text = address_of(&self.persons[owner].wallet);
        let takes = |least, most| Sendable { least, most };
        let any = takes(Msat(1_000), MOST);
        let roll = if scene.line.is_good {
            99
        } else {
            scene.dice.below(20)
        };
        let (name, sendable) = match roll {
            0 => {
                scene.tally.add("address not found");
                return GivenInvoice::Unusable;
            }
            1 => {
                scene.tally.add("address not looked up");
                return GivenInvoice::Unasked(text);
            }
            2 => ("address takes less", takes(Msat(1), Msat(amount.0 - 1))),
            3 => ("address takes exactly this", takes(amount, amount)),
            _ => ("address given", any),
        };
        scene.tally.add(name);
        GivenInvoice::Address { text, sendable }
    }

    fn written(
        &mut self,
        payee: usize,
        amount: Option<Msat>,
        expiry_secs: u64,
        scene: &mut Scene<'_>,
    ) -> GivenInvoice {
        let wallet = &self.persons[payee].wallet;
        let invoice = scene.line.invoice(wallet, amount, expiry_secs);
        let given = GivenInvoice::Readable(invoice);
        self.invoices.push(given.clone());
        given
    }

    pub(super) fn pay_hold(&mut self, seller: TradeKey, hash: PaymentHash, scene: &mut Scene<'_>) {
        let Some(hold) = scene.line.world.hold(hash) else {
            return;
        };
        if !matches!(hold.state, HoldState::Open { .. }) {
            return;
        }
        let wallet = &self.persons[self.selves[&seller].owner].wallet;
        pays_hold(scene.line, wallet, &hold, scene.dice, scene.tally);
    }
}
