//! How a wallet treats what the node pays to it: at once, late, never, or
//! only when it is told to.

use escrow_core::{Msat, PaymentHash, UnixTime};
use serde::{Deserialize, Serialize};

use super::acts::AnswerHeld;
use super::payments::{Payment, Progress, with_fee};
use super::wallets::{PayRefusal, WalletError};
use super::world::{World, credit};
use crate::backend::FailReason;

/// How a wallet treats payments of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Takes them at once.
    #[default]
    Pay,
    /// Takes them so much later.
    Slow {
        /// Seconds from the start of the payment.
        secs: u64,
    },
    /// Holds them until it is told to answer; at the end of their time lock
    /// they go back.
    Hold,
    /// Refuses them.
    Fail {
        /// What the node is told.
        reason: FailReason,
    },
    /// Cannot be reached: no route.
    Offline,
}

impl World {
    pub(super) fn behave(&mut self, wallet: &str, behaviour: Behaviour) -> Result<(), WalletError> {
        if !self.wallets.contains_key(wallet) {
            return Err(WalletError::NoSuchWallet);
        }
        self.behaviours.insert(wallet.to_owned(), behaviour);
        Ok(())
    }

    /// A wallet answers a payment that it holds.
    pub(super) fn answer_held(&mut self, act: &AnswerHeld) -> Result<(), PayRefusal> {
        let Some(&Payment {
            created_at: sent_at,
            progress: Progress::Held { fee, expiry_height },
            ..
        }) = self.payments.get(&act.hash)
        else {
            return Err(PayRefusal::UnknownInvoice);
        };
        self.fail_at_height.remove(&(expiry_height, act.hash));
        let progress = if act.takes {
            self.hand_over(act.hash, fee, sent_at)
        } else {
            self.comes_back(act.hash, fee, FailReason::WrongDetails)
        };
        self.progresses(act.hash, progress);
        Ok(())
    }

    /// Payments that wallets hold until they are told to answer.
    #[must_use]
    pub fn held_payments(&self) -> Vec<PaymentHash> {
        self.fail_at_height.iter().map(|(_, hash)| *hash).collect()
    }

    /// How the payee of an invoice treats payments; none if nobody knows him.
    pub(super) fn behaviour_of(&self, hash: PaymentHash) -> Option<Behaviour> {
        let payee = self.invoices.get(&hash)?.payee();
        Some(self.behaviours.get(payee).copied().unwrap_or_default())
    }

    /// When a payment that is started at this moment reaches its payee.
    pub(super) fn arrival(&self, hash: PaymentHash) -> UnixTime {
        match self.behaviour_of(hash) {
            Some(Behaviour::Slow { secs }) => self.now.plus(secs),
            Some(
                Behaviour::Pay | Behaviour::Hold | Behaviour::Fail { .. } | Behaviour::Offline,
            )
            | None => self.now,
        }
    }

    /// A payment reaches its payee, who does as he pleases.
    pub(super) fn reaches_payee(&mut self, hash: PaymentHash, fee: Msat) -> Progress {
        match self.behaviour_of(hash).unwrap_or_default() {
            Behaviour::Pay | Behaviour::Slow { .. } => self.hand_over(hash, fee, self.now),
            Behaviour::Fail { reason } => self.comes_back(hash, fee, reason),
            Behaviour::Offline => self.comes_back(hash, fee, FailReason::NoRoute),
            Behaviour::Hold => {
                let expiry_height = self.lock_ends_at(hash);
                self.fail_at_height.insert((expiry_height, hash));
                Progress::Held { fee, expiry_height }
            }
        }
    }

    /// The time lock of what a wallet held is over.
    pub(super) fn lock_ends(&mut self, hash: PaymentHash) {
        let Some(Payment {
            progress: Progress::Held { fee, .. },
            ..
        }) = self.payments.get(&hash)
        else {
            return;
        };
        let progress = self.comes_back(hash, *fee, FailReason::Timeout);
        self.progresses(hash, progress);
    }

    /// The payee takes the money or refuses it.
    fn hand_over(&mut self, hash: PaymentHash, fee: Msat, came_at: UnixTime) -> Progress {
        let amount = self.amount_on_its_way(hash);
        if let Ok(preimage) = self.invoice_takes(hash, amount, came_at) {
            credit(&mut self.routing_fees, fee);
            credit(&mut self.inbound, with_fee(amount, fee));
            Progress::Succeeded { preimage, fee }
        } else {
            self.comes_back(hash, fee, FailReason::WrongDetails)
        }
    }

    fn comes_back(&mut self, hash: PaymentHash, fee: Msat, reason: FailReason) -> Progress {
        let amount = self.amount_on_its_way(hash);
        credit(&mut self.outbound, with_fee(amount, fee));
        Progress::Failed(reason)
    }
}
