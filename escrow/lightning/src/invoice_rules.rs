//! What a payout invoice must be before the escrow looks at it.
//!
//! Here everything is judged that can be read from the invoice alone. Amount,
//! time left and reuse of its hash are judged by the escrow against the order.

use std::str::FromStr;

use escrow_core::{Msat, PaymentHash, PayoutInvoice, UnixTime};
use lightning_invoice::{Bolt11Invoice, Bolt11SemanticError, Currency, ParseOrSemanticError};

use crate::backend::Network;
use crate::lnurl::is_address;

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
        amount: amount_of(&invoice)?,
        expires_at: UnixTime(expires_at.as_secs()),
    })
}

/// What an invoice asks for, in millisats; none if it leaves that to the payer or
/// cannot be read.
#[must_use]
pub fn amount_asked(bolt11: &str) -> Option<Msat> {
    amount_of(&Bolt11Invoice::from_str(bolt11).ok()?).ok()?
}

/// What an invoice asks for. An amount beyond what a number holds must not be
/// taken for none, which would let the payer choose.
pub(crate) fn amount_of(invoice: &Bolt11Invoice) -> Result<Option<Msat>, InvoiceRefusal> {
    let raw = invoice.clone().into_signed_raw();
    let named = raw.raw_invoice().hrp.raw_amount.is_some();
    match invoice.amount_milli_satoshis() {
        None if named => Err(InvoiceRefusal::Unreadable),
        amount => Ok(amount.map(Msat)),
    }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bitcoin::hashes::{Hash, sha256};
    use bitcoin::secp256k1::{Secp256k1, SecretKey};
    use lightning_invoice::{InvoiceBuilder, PaymentSecret, SignedRawBolt11Invoice};

    use super::*;

    const WRITTEN_AT: u64 = 1_700_000_000;

    struct Draft {
        currency: Currency,
        cltv_delta: u64,
        key: [u8; 32],
        memo: String,
        msat: Option<u64>,
    }

    fn draft() -> Draft {
        Draft {
            currency: Currency::Regtest,
            cltv_delta: 144,
            key: [1; 32],
            memo: "coffee".into(),
            msat: Some(21_000_500),
        }
    }

    impl Draft {
        fn with(mut self, change: impl FnOnce(&mut Draft)) -> String {
            change(&mut self);
            let key = SecretKey::from_slice(&self.key).unwrap();
            let invoice = InvoiceBuilder::new(self.currency)
                .description(self.memo)
                .payment_hash(sha256::Hash::from_byte_array([9; 32]))
                .payment_secret(PaymentSecret([8; 32]))
                .duration_since_epoch(Duration::from_secs(WRITTEN_AT))
                .expiry_time(Duration::from_secs(3_600))
                .min_final_cltv_expiry_delta(self.cltv_delta);
            let invoice = match self.msat {
                Some(msat) => invoice.amount_milli_satoshis(msat),
                None => invoice,
            };
            let sign = |message: &_| Secp256k1::new().sign_ecdsa_recoverable(message, &key);
            invoice.build_signed(sign).unwrap().to_string()
        }
    }

    fn pubkey(key: [u8; 32]) -> String {
        SecretKey::from_slice(&key)
            .unwrap()
            .public_key(&Secp256k1::new())
            .to_string()
    }

    fn rules() -> InvoiceRules {
        InvoiceRules {
            network: Network::Regtest,
            max_final_cltv_expiry_delta: 144,
            own_node_pubkey: pubkey([2; 32]),
        }
    }

    /// The "cup of coffee" among the first examples of BOLT11, from the time
    /// before payment secrets.
    fn without_payment_secret() -> &'static str {
        "lnbc2500u1pvjluezpp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7\
         enxv4jsxqzpuaztrnwngzn3kdzw5hydlzf03qdgm2hdq27cqv3agm2awhz5se903vruatfhq77w3ls4evs3ch9z\
         w97j25emudupq63nyw24cg27h2rspfj9srp"
    }

    #[test]
    fn v3_a_good_invoice_is_read() {
        let text = draft().with(|_| {});
        let invoice = read_payout_invoice(&text, &rules()).unwrap();
        assert_eq!(invoice.bolt11, text);
        assert_eq!(invoice.hash, PaymentHash([9; 32]));
        assert_eq!(invoice.payee, pubkey([1; 32]));
        assert_eq!(invoice.amount, Some(Msat(21_000_500)));
        assert_eq!(invoice.expires_at, UnixTime(WRITTEN_AT + 3_600));

        let open = draft().with(|d| d.msat = None);
        assert_eq!(read_payout_invoice(&open, &rules()).unwrap().amount, None);
        let capitals = text.to_ascii_uppercase();
        assert_eq!(
            read_payout_invoice(&capitals, &rules()).unwrap().hash,
            invoice.hash
        );
    }

    #[test]
    fn v2_v3_v4_v6_up_m13_up_m15_a_bad_invoice_is_refused() {
        let mut misspelt = draft().with(|_| {});
        misspelt.replace_range(
            30..31,
            if misspelt.as_bytes()[30] == b'q' {
                "p"
            } else {
                "q"
            },
        );
        let wrong_network = InvoiceRefusal::WrongNetwork(Network::Regtest);
        let table = [
            (
                "v2 an address",
                "alice@example.com".into(),
                InvoiceRefusal::Address,
            ),
            (
                "v2 an LNURL",
                "LNURL1DP68GURN8GHJ7".into(),
                InvoiceRefusal::Address,
            ),
            (
                "v2 an LNURL link",
                "lightning:lnurl1dp68gurn".into(),
                InvoiceRefusal::Address,
            ),
            ("v3 nothing", String::new(), InvoiceRefusal::Unreadable),
            (
                "v3 words",
                "pay me please".into(),
                InvoiceRefusal::Unreadable,
            ),
            ("v3 a wrong letter", misspelt, InvoiceRefusal::Unreadable),
            (
                "v3 mainnet",
                draft().with(|d| d.currency = Currency::Bitcoin),
                wrong_network.clone(),
            ),
            (
                "v3 signet",
                draft().with(|d| d.currency = Currency::Signet),
                wrong_network.clone(),
            ),
            (
                "v3 simnet",
                draft().with(|d| d.currency = Currency::Simnet),
                wrong_network,
            ),
            (
                "v3 no secret",
                without_payment_secret().into(),
                InvoiceRefusal::NoPaymentSecret,
            ),
            (
                "v3 a final CLTV delta of 145",
                draft().with(|d| d.cltv_delta = 145),
                InvoiceRefusal::FinalCltvTooLong {
                    asked: 145,
                    most: 144,
                },
            ),
            (
                "v4 our own node",
                draft().with(|d| d.key = [2; 32]),
                InvoiceRefusal::OwnNode,
            ),
            ("v6 2,049 bytes", "l".repeat(2_049), InvoiceRefusal::TooLong),
        ];
        for (case, text, refusal) in table {
            assert_eq!(read_payout_invoice(&text, &rules()), Err(refusal), "{case}");
        }
    }

    #[test]
    fn v3_an_amount_too_large_for_a_number_is_not_no_amount() {
        let text = draft().with(|_| {});
        let mut raw = text
            .parse::<SignedRawBolt11Invoice>()
            .unwrap()
            .into_parts()
            .0;
        raw.hrp.raw_amount = Some(20_000_000);
        raw.hrp.si_prefix = None;
        let key = SecretKey::from_slice(&[1; 32]).unwrap();
        let sign =
            |message: &_| Ok::<_, ()>(Secp256k1::new().sign_ecdsa_recoverable(message, &key));
        let text = raw.sign(sign).unwrap().to_string();
        assert!(text.starts_with("lnbcrt200000001"), "{text}");
        assert_eq!(
            read_payout_invoice(&text, &rules()),
            Err(InvoiceRefusal::Unreadable)
        );
    }

    #[test]
    fn v6_an_invoice_of_2048_bytes_is_still_read() {
        let blank = "l".repeat(MAX_INVOICE_BYTES);
        assert_eq!(
            read_payout_invoice(&blank, &rules()),
            Err(InvoiceRefusal::Unreadable)
        );
    }
}
