//! Hold invoices, as an LND node keeps them.

use escrow_core::{Msat, PaymentHash, UnixTime};
use serde::{Deserialize, Serialize};

use super::acts::CreateHold;
use super::clockwork::Due;
use super::pen::{MAX_MEMO_BYTES, Owner, Secret, Terms};
use super::wallets::{PayRefusal, WalletPayment};
use super::world::{Change, World, credit, debit};
use crate::backend::{Acceptance, CancelOutcome, HoldSnapshot, HoldState, SettleOutcome};

/// The node cancels an accepted hold this many blocks before its first part
/// expires.
pub(crate) const AUTO_CANCEL_MARGIN: u32 = 18;
/// The CLTV deltas a hold may ask for.
pub(crate) const MIN_CLTV_DELTA: u32 = 24;
/// See [`MIN_CLTV_DELTA`].
pub(crate) const MAX_CLTV_DELTA: u32 = 65_535;

/// Parts wait so long for the rest, in seconds.
const PARTS_WAIT_SECS: u64 = 120;
/// What a payer adds at least to the final CLTV delta, in blocks.
const PAYER_PADDING: u32 = 3;
/// A payer adds fewer than so many blocks more, by chance.
const RANDOM_PADDING: u32 = 10;
/// An invoice lives at most a year.
const MAX_LIFE_SECS: u64 = 365 * 86_400;
/// 100,000 bitcoin.
pub(super) const MAX_AMOUNT: Msat = Msat(10_000_000_000_000_000);

/// Why a hold was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldRefusal {
    /// The hash stands for a hold with another amount or CLTV delta.
    #[error("the payment hash is taken by a hold with other terms")]
    OtherTerms,
    /// Zero, or more than 100,000 bitcoin.
    #[error("the amount is zero or too large")]
    Amount,
    /// Not within 24 to 65,535 blocks.
    #[error("the CLTV delta must be {MIN_CLTV_DELTA} to {MAX_CLTV_DELTA} blocks")]
    CltvDelta,
    /// More than a BOLT11 description holds.
    #[error("the memo is longer than {MAX_MEMO_BYTES} bytes")]
    Memo,
}

/// A hold invoice and the payments locked in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Hold {
    bolt11: String,
    value: Msat,
    cltv_delta: u32,
    state: HoldState,
    /// Empty once the hold is settled or canceled.
    parts: Vec<Part>,
}

/// A payment, or a part of one, locked in a hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    payer: String,
    amount: Msat,
    /// What the payer says all parts will come to.
    total: Msat,
    expiry_height: u32,
    arrived_at: UnixTime,
}

impl Hold {
    pub(super) fn snapshot(&self, hash: PaymentHash) -> HoldSnapshot {
        HoldSnapshot {
            hash,
            bolt11: self.bolt11.clone(),
            value: self.value,
            state: self.state,
        }
    }

    pub(super) fn locked(&self) -> Msat {
        Msat(self.parts.iter().map(|part| part.amount.0).sum())
    }

    pub(super) fn value(&self) -> Msat {
        self.value
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, HoldState::Open { .. })
    }

    fn min_expiry_height(&self) -> Option<u32> {
        self.parts.iter().map(|part| part.expiry_height).min()
    }
}

impl World {
    pub(super) fn create_hold(&mut self, act: &CreateHold) -> Result<HoldSnapshot, HoldRefusal> {
        if let Some(hold) = self.holds.get(&act.hash) {
            let equal = hold.value == act.amount && hold.cltv_delta == act.cltv_delta;
            return if equal {
                Ok(hold.snapshot(act.hash))
            } else {
                Err(HoldRefusal::OtherTerms)
            };
        }
        judge_terms(act)?;
        let latest = self.now.plus(MAX_LIFE_SECS);
        let expires_at = act.expires_at.clamp(self.now.plus(1), latest);
        let terms = Terms {
            hash: act.hash,
            amount: Some(act.amount),
            memo: &act.memo,
            written_at: self.now,
            expires_at,
            cltv_delta: act.cltv_delta,
        };
        let bolt11 = self
            .pen
            .write(&self.dice.key(&Owner::Node), &terms, self.dice.throw());
        self.written.insert(bolt11.clone(), (Owner::Node, act.hash));
        self.due.insert((expires_at, Due::HoldExpires(act.hash)));
        let hold = Hold {
            bolt11,
            value: act.amount,
            cltv_delta: act.cltv_delta,
            state: HoldState::Open { partial: Msat(0) },
            parts: Vec::new(),
        };
        let snapshot = hold.snapshot(act.hash);
        self.holds.insert(act.hash, hold);
        self.changes.push(Change::Hold(snapshot.clone()));
        Ok(snapshot)
    }

    pub(super) fn settle_hold(&mut self, preimage: &Secret) -> SettleOutcome {
        let hash = preimage.hash();
        let Some(hold) = self.holds.get_mut(&hash) else {
            return SettleOutcome::NoSuchHold;
        };
        match hold.state {
            HoldState::Open { .. } => SettleOutcome::NotAccepted,
            HoldState::Settled { .. } => SettleOutcome::Settled,
            HoldState::Canceled => SettleOutcome::AlreadyCanceled,
            HoldState::Accepted(acceptance) => {
                credit(&mut self.outbound, acceptance.paid);
                hold.parts.clear();
                hold.state = HoldState::Settled {
                    paid: acceptance.paid,
                };
                self.forget_height(hash, acceptance.min_expiry_height);
                self.tell_hold(hash);
                SettleOutcome::Settled
            }
        }
    }

    pub(super) fn cancel_hold(&mut self, hash: PaymentHash) -> CancelOutcome {
        let Some(hold) = self.holds.get_mut(&hash) else {
            return CancelOutcome::NoSuchHold;
        };
        match hold.state {
            HoldState::Settled { .. } => CancelOutcome::AlreadySettled,
            HoldState::Canceled => CancelOutcome::Canceled,
            HoldState::Open { .. } | HoldState::Accepted(_) => {
                hold.state = HoldState::Canceled;
                let height = hold.min_expiry_height();
                let parts = std::mem::take(&mut hold.parts);
                self.give_back(parts);
                if let Some(height) = height {
                    self.forget_height(hash, height);
                }
                self.tell_hold(hash);
                CancelOutcome::Canceled
            }
        }
    }

    /// A payment, or a part of one, reaches the node. The caller has seen
    /// that the hold is open and `total` is no less than it asks for.
    pub(super) fn part_arrives(
        &mut self,
        hash: PaymentHash,
        payer: &str,
        amount: Msat,
        total: Msat,
    ) -> Result<WalletPayment, PayRefusal> {
        let padding = PAYER_PADDING + self.dice.below(RANDOM_PADDING);
        let hold = self
            .holds
            .get_mut(&hash)
            .ok_or(PayRefusal::UnknownInvoice)?;
        if hold.parts.iter().any(|part| part.total != total) {
            return Err(PayRefusal::WrongDetails);
        }
        let balance = self
            .wallets
            .get_mut(payer)
            .ok_or(PayRefusal::NoSuchWallet)?;
        if self.inbound < amount {
            return Err(PayRefusal::NoRoute);
        }
        if !debit(balance, amount) {
            return Err(PayRefusal::InsufficientBalance);
        }
        let taken = debit(&mut self.inbound, amount);
        debug_assert!(taken, "it was compared before");
        let expiry_height = self
            .height
            .saturating_add(hold.cltv_delta)
            .saturating_add(padding);
        let (payer, arrived_at) = (payer.to_owned(), self.now);
        hold.parts.push(Part {
            payer,
            amount,
            total,
            expiry_height,
            arrived_at,
        });
        Ok(self.count_parts(hash, total))
    }

    /// Accepts the hold if its parts are complete.
    fn count_parts(&mut self, hash: PaymentHash, total: Msat) -> WalletPayment {
        let Some(hold) = self.holds.get_mut(&hash) else {
            return WalletPayment::PartHeld;
        };
        let paid = hold.locked();
        let min_expiry_height = hold.min_expiry_height().unwrap_or(self.height);
        if paid < total {
            hold.state = HoldState::Open { partial: paid };
            self.due
                .insert((self.now.plus(PARTS_WAIT_SECS), Due::PartsGoBack(hash)));
            return WalletPayment::PartHeld;
        }
        let parts = u32::try_from(hold.parts.len()).unwrap_or(u32::MAX);
        let at = self.now;
        hold.state = HoldState::Accepted(Acceptance {
            paid,
            parts,
            min_expiry_height,
            at,
        });
        let cancel_at = min_expiry_height.saturating_sub(AUTO_CANCEL_MARGIN);
        self.cancel_at_height.insert((cancel_at, hash));
        self.tell_hold(hash);
        WalletPayment::HoldAccepted
    }

    /// Time closes an open invoice only; an accepted one is closed by height.
    pub(super) fn hold_expires(&mut self, hash: PaymentHash) {
        if self.holds.get(&hash).is_some_and(Hold::is_open) {
            self.cancel_hold(hash);
        }
    }

    /// Gives back the parts that waited too long. Watchers are not told:
    /// parts show in look-ups only.
    pub(super) fn parts_go_back(&mut self, hash: PaymentHash) {
        let now = self.now;
        let Some(hold) = self.holds.get_mut(&hash).filter(|hold| hold.is_open()) else {
            return;
        };
        let waited = |part: &mut Part| now.secs_since(part.arrived_at) >= PARTS_WAIT_SECS;
        let late: Vec<Part> = hold.parts.extract_if(.., waited).collect();
        hold.state = HoldState::Open {
            partial: hold.locked(),
        };
        self.give_back(late);
    }

    fn give_back(&mut self, parts: Vec<Part>) {
        for part in parts {
            credit(&mut self.inbound, part.amount);
            credit(self.wallets.entry(part.payer).or_default(), part.amount);
        }
    }

    fn forget_height(&mut self, hash: PaymentHash, min_expiry_height: u32) {
        let cancel_at = min_expiry_height.saturating_sub(AUTO_CANCEL_MARGIN);
        self.cancel_at_height.remove(&(cancel_at, hash));
    }

    fn tell_hold(&mut self, hash: PaymentHash) {
        if let Some(snapshot) = self.hold(hash) {
            self.changes.push(Change::Hold(snapshot));
        }
    }
}

fn judge_terms(act: &CreateHold) -> Result<(), HoldRefusal> {
    if act.amount == Msat(0) || act.amount > MAX_AMOUNT {
        return Err(HoldRefusal::Amount);
    }
    if !(MIN_CLTV_DELTA..=MAX_CLTV_DELTA).contains(&act.cltv_delta) {
        return Err(HoldRefusal::CltvDelta);
    }
    if act.memo.len() > MAX_MEMO_BYTES {
        return Err(HoldRefusal::Memo);
    }
    Ok(())
}
