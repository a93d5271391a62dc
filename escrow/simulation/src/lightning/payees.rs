//! What traders' wallets ask to be paid with: invoices, and the servers of
//! their Lightning addresses, some of which are away, slow, or lie.

use escrow_core::command::AddressAnswer;
use escrow_core::{Msat, PaymentHash, PayoutInvoice};
use escrow_lightning::read_payout_invoice;
use escrow_lightning::sandbox::CreateInvoice;

use super::line::Line;
use crate::dice::Dice;
use crate::tally::Tally;

/// The wallet of those who develop the software.
pub(crate) const DEVELOPMENT: &str = "development";

/// Where the addresses of a town are.
const HOST: &str = "@town.example";

/// How long the node waits for a server, in seconds.
pub(super) const ANSWER_SECS: u64 = 4;

/// Life of an invoice that a server gives, in seconds.
const LIFE_SECS: u64 = 600;

/// The address of a wallet.
pub(crate) fn address_of(wallet: &str) -> String {
    format!("{wallet}{HOST}")
}

/// What asking an address comes to, and after how many seconds.
pub(super) struct Reply {
    pub(super) answer: AddressAnswer,
    pub(super) secs: u64,
}

impl Line {
    /// A wallet writes an invoice.
    pub(crate) fn invoice(
        &mut self,
        wallet: &str,
        amount: Option<Msat>,
        expiry_secs: u64,
    ) -> PayoutInvoice {
        let text = self.act(CreateInvoice {
            wallet: wallet.to_owned(),
            amount,
            memo: "payout".into(),
            expiry_secs,
            cltv_delta: 40,
        });
        let invoice = read_payout_invoice(&text.unwrap(), &self.rules).unwrap();
        self.payees.insert(invoice.hash, wallet.to_owned());
        invoice
    }

    /// Whom a payment to this hash pays.
    pub(crate) fn payee(&self, hash: PaymentHash) -> &str {
        &self.payees[&hash]
    }

    /// Asks an address for an invoice of this amount.
    pub(super) fn ask_address(
        &mut self,
        address: &str,
        amount: Msat,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Reply {
        let wallet = address.strip_suffix(HOST).expect("an address of the town");
        let roll = if self.is_good { 99 } else { dice.below(24) };
        let (name, answer, secs) = match roll {
            0 => ("address gives nothing", AddressAnswer::Refused, 0),
            1 => ("address hangs", AddressAnswer::Refused, ANSWER_SECS),
            2 => ("address cannot be asked", AddressAnswer::Unasked, 0),
            3 => {
                let more = Msat(amount.0 + 1 + dice.below(amount.0));
                ("address asks for more", self.gives(wallet, Some(more)), 0)
            }
            4 => {
                let less = Msat(amount.0 - 1);
                ("address asks for less", self.gives(wallet, Some(less)), 0)
            }
            5 => ("address names no amount", self.gives(wallet, None), 0),
            6 => {
                let dying = self.invoice(wallet, Some(amount), 1 + dice.below(59));
                let answer = AddressAnswer::Invoice(dying);
                ("address gives a dying invoice", answer, 0)
            }
            7 | 8 => match dice.pick(&self.given).cloned() {
                Some(used) => ("address gives a used invoice", used, 0),
                None => ("address gives nothing", AddressAnswer::Refused, 0),
            },
            9..12 => {
                let secs = 1 + dice.below(ANSWER_SECS);
                ("address is slow", self.gives(wallet, Some(amount)), secs)
            }
            _ => ("address answers", self.gives(wallet, Some(amount)), 0),
        };
        tally.add(name);
        Reply { answer, secs }
    }

    fn gives(&mut self, wallet: &str, amount: Option<Msat>) -> AddressAnswer {
        let invoice = AddressAnswer::Invoice(self.invoice(wallet, amount, LIFE_SECS));
        self.given.push(invoice.clone());
        invoice
    }
}
