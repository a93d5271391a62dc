//! What a payout invoice must be before the escrow looks at it.
//!
//! Here everything is judged that can be read from the invoice alone. Amount,
//! time left and reuse of its hash are judged by the escrow against the order.

use std::str::FromStr;

use escrow_core::{Msat, PaymentHash, PayoutInvoice, UnixTime};
use lightning_invoice::{Bolt11Invoice, Bolt11SemanticError, Currency, ParseOrSemanticError};

use crate::backend::Network;

/// Longest invoice that is read, in bytes.
pub const MAX_INVOICE_BYTES: usize = 2_048;

/// What invoices are measured against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvoiceRules {
    /// The chain the node is on.
    pub network: Network,
    /// Highest final CLTV delta accepted, in blocks: how long a payee could
    /// keep a payment hanging.
    pub max_final_cltv_expiry_delta: u32,
    /// Identity key of the node, 66 lower-case hex digits.
    pub own_node_pubkey: String,
}

/// Why a text is not an invoice to pay out to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceRefusal {
    /// Longer than [`MAX_INVOICE_BYTES`].
    #[error("longer than {MAX_INVOICE_BYTES} bytes")]
    TooLong,
    /// A Lightning address or an LNURL; these are not resolved.
    #[error("Lightning addresses and LNURLs are not accepted here, only a BOLT11 invoice")]
    Address,
    /// Not a BOLT11 invoice, or one that contradicts itself.
    #[error("not a valid BOLT11 invoice")]
    Unreadable,
    /// Nobody could pay it safely: any hop could steal a part.
    #[error("the invoice has no payment secret")]
    NoPaymentSecret,
    /// Written for another chain.
    #[error("the invoice is not for {0}")]
    WrongNetwork(Network),
    /// The payee could keep the payment hanging for too long.
    #[error(
        "the invoice asks for a final CLTV delta of {asked} blocks, at most {most} are accepted"
    )]
    FinalCltvTooLong {
        /// What the invoice asks for.
        asked: u64,
        /// What the rules allow.
        most: u32,
    },
    /// The payee is the node itself, which cannot pay itself.
    #[error("the invoice is the escrow node's own")]
    OwnNode,
}

/// Reads a BOLT11 invoice that a buyer wants to be paid to.
///
/// # Errors
/// Says which rule the text breaks; asking again is of no use.
pub fn read_payout_invoice(
    text: &str,
    rules: &InvoiceRules,
) -> Result<PayoutInvoice, InvoiceRefusal> {
    if text.len() > MAX_INVOICE_BYTES {
        return Err(InvoiceRefusal::TooLong);
    }
    if is_address(text) {
        return Err(InvoiceRefusal::Address);
    }
    let invoice = Bolt11Invoice::from_str(text).map_err(|error| parse_refusal(&error))?;
    if network_of(&invoice) != Some(rules.network) {
        return Err(InvoiceRefusal::WrongNetwork(rules.network));
    }
    let asked = invoice.min_final_cltv_expiry_delta();
    let most = rules.max_final_cltv_expiry_delta;
    if asked > u64::from(most) {
        return Err(InvoiceRefusal::FinalCltvTooLong { asked, most });
    }
    let payee = invoice.get_payee_pub_key().to_string();
    if payee == rules.own_node_pubkey {
        return Err(InvoiceRefusal::OwnNode);
    }
    let expires_at = invoice.expires_at().ok_or(InvoiceRefusal::Unreadable)?;
    Ok(PayoutInvoice {
        bolt11: text.to_owned(),
        hash: payment_hash_of(&invoice),
        payee,
        amount: invoice.amount_milli_satoshis().map(Msat),
        expires_at: UnixTime(expires_at.as_secs()),
    })
}

/// The payment hash an invoice names.
pub(crate) fn payment_hash_of(invoice: &Bolt11Invoice) -> PaymentHash {
    let bytes: &[u8; 32] = invoice.payment_hash().as_ref();
    PaymentHash(*bytes)
}

/// The chain an invoice is for, if it is one we know.
pub(crate) fn network_of(invoice: &Bolt11Invoice) -> Option<Network> {
    match invoice.currency() {
        Currency::Bitcoin => Some(Network::Mainnet),
        Currency::BitcoinTestnet => Some(Network::Testnet),
        Currency::Signet => Some(Network::Signet),
        Currency::Regtest => Some(Network::Regtest),
        Currency::Simnet => None,
    }
}

fn is_address(text: &str) -> bool {
    let lower = text.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("lightning:").unwrap_or(&lower);
    bare.contains('@') || bare.starts_with("lnurl")
}

fn parse_refusal(error: &ParseOrSemanticError) -> InvoiceRefusal {
    match error {
        ParseOrSemanticError::SemanticError(Bolt11SemanticError::NoPaymentSecret) => {
            InvoiceRefusal::NoPaymentSecret
        }
        ParseOrSemanticError::SemanticError(_) | ParseOrSemanticError::ParseError(_) => {
            InvoiceRefusal::Unreadable
        }
    }
}
