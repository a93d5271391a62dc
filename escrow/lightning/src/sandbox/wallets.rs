//! The simulated people: wallets that are funded, write invoices and pay.

use escrow_core::{Msat, PaymentHash, Sats, UnixTime};
use serde::{Deserialize, Serialize};

use super::acts::{CreateInvoice, WalletPays};
use super::holds::{Hold, MAX_AMOUNT};
use super::pen::{Owner, Secret, Terms};
use super::world::{World, credit, debit};

/// What a wallet's payment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WalletPayment {
    /// The node holds the money.
    HoldAccepted,
    /// The node holds this part and waits for the rest.
    PartHeld,
    /// The payee has the money.
    Paid,
}

/// Why a wallet could not pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayRefusal {
    /// Only invoices written in the sandbox can be paid there.
    #[error("not an invoice of this sandbox")]
    UnknownInvoice,
    /// There is no wallet of that name.
    #[error("no wallet of that name: fund it first")]
    NoSuchWallet,
    /// The wallet does not hold so much.
    #[error("the wallet does not hold so much")]
    InsufficientBalance,
    /// The invoice's time is over.
    #[error("the invoice has expired")]
    Expired,
    /// The invoice names no amount and the payer none either.
    #[error("the invoice names no amount: say how much to pay")]
    NoAmount,
    /// Already paid or closed, or not the sum it asks for.
    #[error("the payee refuses: already paid or canceled, or another sum was asked for")]
    WrongDetails,
    /// Payee and payer are the same.
    #[error("the invoice is the wallet's own")]
    SelfPayment,
    /// The node's channels cannot take so much.
    #[error("no route: the node cannot receive so much")]
    NoRoute,
}

/// Why a wallet could not be funded or write an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// Not 1 to 32 of `a-z`, `0-9`, `-`, `_`.
    #[error("a wallet's name is 1 to 32 of a-z, 0-9, - and _")]
    Name,
    /// There is no wallet of that name.
    #[error("no wallet of that name: fund it first")]
    NoSuchWallet,
    /// Zero, or more than there can be.
    #[error("the amount is zero or too large")]
    Amount,
    /// Shorter than a second or longer than a year.
    #[error("an invoice lives for 1 second to 1 year")]
    Expiry,
}

/// An invoice of a wallet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Invoice {
    payee: String,
    pub(super) amount: Option<Msat>,
    pub(super) expires_at: UnixTime,
    pub(super) cltv_delta: u32,
    preimage: Secret,
    paid: bool,
}

impl Invoice {
    pub(super) fn payee(&self) -> &str {
        &self.payee
    }
}

impl World {
    pub(super) fn fund(&mut self, wallet: &str, amount: Sats) -> Result<Msat, WalletError> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !(1..=32).contains(&wallet.len()) || !wallet.chars().all(good) {
            return Err(WalletError::Name);
        }
        let amount = self.mint(amount).ok_or(WalletError::Amount)?;
        let balance = self.wallets.entry(wallet.to_owned()).or_default();
        credit(balance, amount);
        Ok(*balance)
    }

    pub(super) fn create_invoice(&mut self, act: &CreateInvoice) -> Result<String, WalletError> {
        if !self.wallets.contains_key(&act.wallet) {
            return Err(WalletError::NoSuchWallet);
        }
        if act
            .amount
            .is_some_and(|amount| amount == Msat(0) || amount > MAX_AMOUNT)
        {
            return Err(WalletError::Amount);
        }
        if !(1..=365 * 86_400).contains(&act.expiry_secs) {
            return Err(WalletError::Expiry);
        }
        let owner = Owner::Wallet(act.wallet.clone());
        let preimage = Secret(self.dice.throw());
        let expires_at = self.now.plus(act.expiry_secs);
        let terms = Terms {
            hash: preimage.hash(),
            amount: act.amount,
            memo: &act.memo,
            written_at: self.now,
            expires_at,
            cltv_delta: act.cltv_delta,
        };
        let bolt11 = self
            .pen
            .write(&self.dice.key(&owner), &terms, self.dice.throw());
        self.written.insert(bolt11.clone(), (owner, terms.hash));
        let invoice = Invoice {
            payee: act.wallet.clone(),
            amount: act.amount,
            expires_at,
            cltv_delta: act.cltv_delta,
            preimage,
            paid: false,
        };
        self.invoices.insert(invoice.preimage.hash(), invoice);
        Ok(bolt11)
    }

    pub(super) fn wallet_pays(&mut self, act: &WalletPays) -> Result<WalletPayment, PayRefusal> {
        if !self.wallets.contains_key(&act.wallet) {
            return Err(PayRefusal::NoSuchWallet);
        }
        let written = self.written.get(&plain_text(&act.bolt11)).cloned();
        match written.ok_or(PayRefusal::UnknownInvoice)? {
            (Owner::Node, hash) => self.wallet_pays_hold(act, hash),
            (Owner::Wallet(payee), _) if payee == act.wallet => Err(PayRefusal::SelfPayment),
            (Owner::Wallet(_), hash) => self.wallet_pays_wallet(act, hash),
        }
    }

    fn wallet_pays_hold(
        &mut self,
        act: &WalletPays,
        hash: PaymentHash,
    ) -> Result<WalletPayment, PayRefusal> {
        let hold = self.holds.get(&hash).ok_or(PayRefusal::UnknownInvoice)?;
        let total = act.total.unwrap_or(hold.value());
        let part = act.part.unwrap_or(total);
        if !Hold::is_open(hold) || total < hold.value() || part == Msat(0) || part > total {
            return Err(PayRefusal::WrongDetails);
        }
        self.part_arrives(hash, &act.wallet, part, total)
    }

    fn wallet_pays_wallet(
        &mut self,
        act: &WalletPays,
        hash: PaymentHash,
    ) -> Result<WalletPayment, PayRefusal> {
        let invoice = self.invoices.get(&hash).ok_or(PayRefusal::UnknownInvoice)?;
        let amount = act.total.or(invoice.amount).ok_or(PayRefusal::NoAmount)?;
        if amount == Msat(0) {
            return Err(PayRefusal::NoAmount);
        }
        if self.balance(&act.wallet) < amount {
            return Err(PayRefusal::InsufficientBalance);
        }
        self.invoice_takes(hash, amount, self.now)?;
        let balance = self
            .wallets
            .get_mut(&act.wallet)
            .ok_or(PayRefusal::NoSuchWallet)?;
        let taken = debit(balance, amount);
        debug_assert!(taken, "it was compared before, and payee and payer differ");
        Ok(WalletPayment::Paid)
    }

    /// The payee of an invoice takes the money and hands out the preimage.
    /// Whoever calls takes the same sum from the payer. What `came_at` before
    /// the invoice's time was over may be taken later.
    pub(super) fn invoice_takes(
        &mut self,
        hash: PaymentHash,
        amount: Msat,
        came_at: UnixTime,
    ) -> Result<Secret, PayRefusal> {
        let invoice = self
            .invoices
            .get_mut(&hash)
            .ok_or(PayRefusal::UnknownInvoice)?;
        if invoice.paid || invoice.amount.is_some_and(|asked| amount < asked) {
            return Err(PayRefusal::WrongDetails);
        }
        if came_at >= invoice.expires_at {
            return Err(PayRefusal::Expired);
        }
        let balance = self
            .wallets
            .get_mut(&invoice.payee)
            .ok_or(PayRefusal::NoSuchWallet)?;
        credit(balance, amount);
        invoice.paid = true;
        Ok(invoice.preimage.clone())
    }
}

/// An invoice as it was written: people paste it with spaces, in capitals or
/// as a link.
pub(super) fn plain_text(bolt11: &str) -> String {
    let lower = bolt11.trim().to_ascii_lowercase();
    lower
        .strip_prefix("lightning:")
        .map_or(lower.clone(), str::to_owned)
}
