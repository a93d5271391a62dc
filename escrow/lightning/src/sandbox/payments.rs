//! The node's own payments: each hash is paid once, whatever is asked.

use std::str::FromStr;

use escrow_core::{Msat, PaymentHash, UnixTime};
use lightning_invoice::Bolt11Invoice;
use serde::{Deserialize, Serialize};

use super::acts::StartPaying;
use super::clockwork::Due;
use super::holds::MAX_AMOUNT;
use super::payees::Behaviour;
use super::pen::{Owner, Secret};
use super::wallets::plain_text;
use super::world::{Change, World, debit};
use crate::backend::{
    FailReason, LostPayment, Network, PaymentRecord, PaymentState, Preimage, RejectReason,
    StartPayment,
};
use crate::invoice_rules::{amount_of, network_of, payment_hash_of};

/// Highest CLTV limit a payment may carry.
pub(crate) const MAX_CLTV_LIMIT: u32 = 2_016;

/// What a payer adds to the final CLTV delta.
const CLTV_PADDING: u32 = 3;

/// A payment of the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Payment {
    index: u64,
    amount: Msat,
    pub(super) created_at: UnixTime,
    /// The final CLTV delta its invoice asks for, in blocks.
    #[serde(default)]
    cltv_delta: u32,
    pub(super) progress: Progress,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Progress {
    /// Nothing could be sent; the failure shows a moment later.
    Doomed(FailReason),
    /// On its way to an invoice of a wallet.
    Sent {
        fee: Msat,
    },
    /// With its payee, who takes his time.
    Held {
        fee: Msat,
        expiry_height: u32,
    },
    /// Noted as sent, although nothing ever left: no part of it is in any
    /// channel, and only the end of the channels shows that.
    Lost {
        locked_until: u32,
    },
    Succeeded {
        preimage: Secret,
        fee: Msat,
    },
    Failed(FailReason),
}

/// An invoice as the node reads it before it pays.
struct Target {
    hash: PaymentHash,
    amount: Option<Msat>,
    expires_at: UnixTime,
    cltv_delta: u32,
    ours: bool,
}

impl Payment {
    pub(super) fn state(&self) -> PaymentState {
        match &self.progress {
            Progress::Doomed(_) => PaymentState::InFlight { parts: 0 },
            Progress::Sent { .. } | Progress::Held { .. } | Progress::Lost { .. } => {
                PaymentState::InFlight { parts: 1 }
            }
            Progress::Succeeded { preimage, fee } => PaymentState::Succeeded {
                preimage: Preimage::new(preimage.0),
                fee: *fee,
            },
            Progress::Failed(reason) => PaymentState::Failed { reason: *reason },
        }
    }

    pub(super) fn record(&self, hash: PaymentHash) -> PaymentRecord {
        let Payment {
            index,
            amount,
            created_at,
            ..
        } = *self;
        PaymentRecord {
            index,
            hash,
            amount,
            created_at,
            state: self.state(),
        }
    }

    pub(super) fn on_its_way(&self) -> Msat {
        match self.progress {
            Progress::Sent { fee } | Progress::Held { fee, .. } => with_fee(self.amount, fee),
            Progress::Doomed(_)
            | Progress::Lost { .. }
            | Progress::Succeeded { .. }
            | Progress::Failed(_) => Msat(0),
        }
    }

    pub(super) fn lost(&self) -> Option<LostPayment> {
        match self.progress {
            Progress::Lost { locked_until } => Some(LostPayment { locked_until }),
            Progress::Doomed(_)
            | Progress::Sent { .. }
            | Progress::Held { .. }
            | Progress::Succeeded { .. }
            | Progress::Failed(_) => None,
        }
    }
}

impl World {
    /// Refusals come before the look at the hash, as in LND: an invoice that
    /// was paid and has expired since is refused as expired.
    pub(super) fn start_paying(&mut self, act: &StartPaying) -> StartPayment {
        let target = match self.read_target(&act.bolt11) {
            Ok(target) => target,
            Err(reason) => return StartPayment::Rejected(reason),
        };
        if let Err(reason) = judge_target(&target, act, self.now) {
            return StartPayment::Rejected(reason);
        }
        if self
            .payments
            .get(&target.hash)
            .is_some_and(Payment::is_live_or_paid)
        {
            return StartPayment::AlreadyKnown;
        }
        let progress = self.send(&target, act);
        let arrives_at = match progress {
            Progress::Sent { .. } => self.arrival(target.hash),
            Progress::Doomed(_)
            | Progress::Held { .. }
            | Progress::Lost { .. }
            | Progress::Succeeded { .. }
            | Progress::Failed(_) => self.now,
        };
        let index = self
            .history
            .last_key_value()
            .map_or(1, |(last, _)| last + 1);
        let payment = Payment {
            index,
            amount: act.amount,
            created_at: self.now,
            cltv_delta: target.cltv_delta,
            progress,
        };
        self.history.insert(index, target.hash);
        if let Some(failed_before) = self.payments.insert(target.hash, payment) {
            self.history.remove(&failed_before.index);
        }
        self.due
            .insert((arrives_at, Due::PaymentArrives(target.hash)));
        self.tell_payment(target.hash);
        StartPayment::Started
    }

    /// The payment comes to its end.
    pub(super) fn payment_arrives(&mut self, hash: PaymentHash) {
        let Some(payment) = self.payments.get(&hash) else {
            return;
        };
        let progress = match payment.progress {
            Progress::Doomed(reason) => Progress::Failed(reason),
            Progress::Sent { fee } => self.reaches_payee(hash, fee),
            Progress::Held { .. }
            | Progress::Lost { .. }
            | Progress::Succeeded { .. }
            | Progress::Failed(_) => return,
        };
        self.progresses(hash, progress);
    }

    /// Notes how a payment stands, and tells who watches it.
    pub(super) fn progresses(&mut self, hash: PaymentHash, progress: Progress) {
        if let Some(payment) = self.payments.get_mut(&hash) {
            payment.progress = progress;
        }
        self.tell_payment(hash);
    }

    pub(super) fn amount_on_its_way(&self, hash: PaymentHash) -> Msat {
        self.payments.get(&hash).map_or(Msat(0), |it| it.amount)
    }

    /// The height at which a payment comes back by itself.
    pub(super) fn lock_ends_at(&self, hash: PaymentHash) -> u32 {
        let delta = self.payments.get(&hash).map_or(0, |it| it.cltv_delta);
        self.height
            .saturating_add(delta)
            .saturating_add(CLTV_PADDING)
    }

    pub(super) fn fail_payments(&mut self, count: u32) {
        self.failing = count;
    }

    /// Locks the money for a payment, or says why none can be sent.
    fn send(&mut self, target: &Target, act: &StartPaying) -> Progress {
        if self.failing > 0 {
            self.failing -= 1;
            return Progress::Doomed(FailReason::NoRoute);
        }
        if self.peers_are_away {
            return Progress::Doomed(FailReason::InsufficientBalance);
        }
        if self.losing > 0 {
            self.losing -= 1;
            let lock = target.cltv_delta.saturating_add(CLTV_PADDING);
            let locked_until = self.height.saturating_add(lock);
            return Progress::Lost { locked_until };
        }
        let fee = routing_fee(act.amount);
        let payee = self.behaviour_of(target.hash);
        if payee.is_none_or(|it| it == Behaviour::Offline) || fee > act.fee_limit {
            return Progress::Doomed(FailReason::NoRoute);
        }
        if debit(&mut self.outbound, with_fee(act.amount, fee)) {
            Progress::Sent { fee }
        } else {
            Progress::Doomed(FailReason::InsufficientBalance)
        }
    }

    /// Reads an invoice. The text of one that was written here is known, so
    /// that only a stranger's costs the reading.
    fn read_target(&self, bolt11: &str) -> Result<Target, RejectReason> {
        let text = plain_text(bolt11);
        if let Some((Owner::Wallet(_), hash)) = self.written.get(&text)
            && let Some(invoice) = self.invoices.get(hash)
        {
            return Ok(Target {
                hash: *hash,
                amount: invoice.amount,
                expires_at: invoice.expires_at,
                cltv_delta: invoice.cltv_delta,
                ours: false,
            });
        }
        let invoice = Bolt11Invoice::from_str(&text)
            .map_err(|error| RejectReason::BadInvoice(error.to_string()))?;
        if network_of(&invoice) != Some(Network::Regtest) {
            return Err(RejectReason::BadInvoice("not for regtest".into()));
        }
        let amount =
            amount_of(&invoice).map_err(|error| RejectReason::BadInvoice(error.to_string()))?;
        let expires_at = invoice.expires_at().map_or(u64::MAX, |at| at.as_secs());
        Ok(Target {
            hash: payment_hash_of(&invoice),
            amount,
            expires_at: UnixTime(expires_at),
            cltv_delta: u32::try_from(invoice.min_final_cltv_expiry_delta()).unwrap_or(u32::MAX),
            ours: invoice.get_payee_pub_key() == self.node_key(),
        })
    }

    fn tell_payment(&mut self, hash: PaymentHash) {
        let state = self.payment(hash);
        self.changes.push(Change::Payment(hash, state));
    }
}

impl Payment {
    fn is_live_or_paid(&self) -> bool {
        match self.progress {
            Progress::Doomed(_)
            | Progress::Sent { .. }
            | Progress::Held { .. }
            | Progress::Lost { .. }
            | Progress::Succeeded { .. } => true,
            Progress::Failed(_) => false,
        }
    }
}

fn judge_target(target: &Target, act: &StartPaying, now: UnixTime) -> Result<(), RejectReason> {
    if now >= target.expires_at {
        return Err(RejectReason::InvoiceExpired);
    }
    let asks_otherwise = target.amount.is_some_and(|amount| amount != act.amount);
    if asks_otherwise || act.amount == Msat(0) || act.amount > MAX_AMOUNT {
        return Err(RejectReason::BadInvoice(
            "the amount is not the invoice's".into(),
        ));
    }
    if target.ours {
        return Err(RejectReason::SelfPayment);
    }
    let needed = target.cltv_delta.saturating_add(CLTV_PADDING);
    if act.cltv_limit > MAX_CLTV_LIMIT || act.cltv_limit <= needed {
        return Err(RejectReason::CltvLimit);
    }
    Ok(())
}

/// One sat and 100 parts per million.
fn routing_fee(amount: Msat) -> Msat {
    Msat(1_000 + amount.0 / 10_000)
}

pub(super) fn with_fee(amount: Msat, fee: Msat) -> Msat {
    amount
        .checked_add(fee)
        .expect("amounts are bounded far below")
}
