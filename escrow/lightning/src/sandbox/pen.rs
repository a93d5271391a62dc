//! Keys, chance and handwriting: how the sandbox signs its invoices.

use std::fmt;
use std::time::Duration;

use bitcoin::hashes::{Hash, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey, SignOnly};
use escrow_core::{Msat, PaymentHash, UnixTime};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// What a BOLT11 description can hold, in bytes.
pub(super) const MAX_MEMO_BYTES: usize = 639;

/// Stands at the head of every description, so that nobody mistakes the
/// invoice for one that moves money.
const MEMO_PREFIX: &str = "SANDBOX ";

/// 32 secret bytes as they lie in the log; `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) [u8; 32]);

impl Secret {
    pub(super) fn hash(&self) -> PaymentHash {
        PaymentHash(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Written as 64 hex digits.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PaymentHash(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        PaymentHash::deserialize(deserializer).map(|bytes| Secret(bytes.0))
    }
}

/// All chance of a world: the same seed throws the same dice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Dice {
    seed: Secret,
    thrown: u64,
}

impl Dice {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Dice {
            seed: Secret(seed),
            thrown: 0,
        }
    }

    /// The next 32 bytes.
    pub(super) fn throw(&mut self) -> [u8; 32] {
        self.thrown += 1;
        self.derive("dice", &self.thrown.to_be_bytes())
    }

    /// A number below `bound`, which must not be zero.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        let [a, b, c, d, ..] = self.throw();
        u32::from_be_bytes([a, b, c, d]) % bound
    }

    /// The signing key of the node or of a wallet.
    pub(super) fn key(&self, owner: &Owner) -> SecretKey {
        let bytes = match owner {
            Owner::Node => self.derive("node", &[]),
            Owner::Wallet(name) => self.derive("wallet", name.as_bytes()),
        };
        SecretKey::from_slice(&bytes).expect("a hash is a valid key but for one in 2^128")
    }

    fn derive(&self, kind: &str, name: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.seed.0)
            .chain_update(kind)
            .chain_update([0])
            .chain_update(name)
            .finalize()
            .into()
    }
}

/// Who signs an invoice and is paid by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Owner {
    Node,
    Wallet(String),
}

/// What an invoice says.
pub(super) struct Terms<'a> {
    pub(super) hash: PaymentHash,
    pub(super) amount: Option<Msat>,
    pub(super) memo: &'a str,
    pub(super) written_at: UnixTime,
    pub(super) expires_at: UnixTime,
    pub(super) cltv_delta: u32,
}

/// The tables of the signature scheme; made once, because that takes a
/// thousand times as long as a signature.
#[derive(Clone, Debug)]
pub(super) struct Pen(Secp256k1<SignOnly>);

impl Default for Pen {
    fn default() -> Self {
        Pen(Secp256k1::signing_only())
    }
}

impl Pen {
    pub(super) fn public_key(&self, key: &SecretKey) -> PublicKey {
        key.public_key(&self.0)
    }

    /// Writes and signs a regtest invoice.
    pub(super) fn write(&self, key: &SecretKey, terms: &Terms<'_>, secret: [u8; 32]) -> String {
        let draft = InvoiceBuilder::new(Currency::Regtest)
            .description(description(terms.memo))
            .payment_hash(sha256::Hash::from_byte_array(terms.hash.0))
            .payment_secret(PaymentSecret(secret))
            .duration_since_epoch(Duration::from_secs(terms.written_at.0))
            .expiry_time(Duration::from_secs(
                terms.expires_at.secs_since(terms.written_at),
            ))
            .min_final_cltv_expiry_delta(u64::from(terms.cltv_delta))
            .basic_mpp();
        let draft = match terms.amount {
            Some(amount) => draft.amount_milli_satoshis(amount.0),
            None => draft,
        };
        draft
            .build_signed(|message| self.0.sign_ecdsa_recoverable(message, key))
            .expect("memo, amount and time were bounded before")
            .to_string()
    }
}

fn description(memo: &str) -> String {
    let mut text = format!("{MEMO_PREFIX}{memo}");
    let mut end = text.len().min(MAX_MEMO_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
