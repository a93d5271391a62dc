//! What the escrow asks of a Lightning node.
//!
//! Every call may be repeated after a crash or a time-out with the same
//! arguments: a payment hash names a hold or a payment once and for all.
//! Outcomes are definite; doubt is an error ([`LnError::Ambiguous`],
//! [`LnError::Unavailable`]) and is resolved by a look-up, never by reading an
//! error's text.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::{Msat, PaymentHash, UnixTime};
use futures_util::stream::BoxStream;
use secrecy::{ExposeSecret, SecretBox};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A Lightning node with hold invoices: the only door to real money.
///
/// The caller limits the time of every call; a call that was cut short counts
/// as [`LnError::Ambiguous`].
#[async_trait]
pub trait LightningBackend: Send + Sync + 'static {
    /// Which backend this is.
    fn kind(&self) -> BackendKind;

    /// What the backend promises; checked once at start.
    fn capabilities(&self) -> &Capabilities;

    /// Identity, network, chain height and readiness.
    async fn info(&self) -> LnResult<NodeInfo>;

    /// What the node could send and receive at this moment.
    async fn liquidity(&self) -> LnResult<Liquidity>;

    /// Opens a hold invoice, or returns the one that exists for the hash.
    ///
    /// Equal terms are the same amount and the same CLTV delta; memo and
    /// expiry of the first call stay.
    ///
    /// # Errors
    /// [`LnError::Contract`] if the hash is taken with other terms.
    async fn create_hold(&self, request: &HoldRequest) -> LnResult<HoldSnapshot>;

    /// The hold as it is, or none if the node does not know the hash.
    async fn lookup_hold(&self, hash: PaymentHash) -> LnResult<Option<HoldSnapshot>>;

    /// The current state first, then each change; changes that follow each
    /// other closely may arrive as one.
    ///
    /// Ends after a final state. Ends without one when the hash is unknown or
    /// the source was lost: look the hold up, then watch again.
    fn watch_hold(&self, hash: PaymentHash) -> BoxStream<'static, HoldSnapshot>;

    /// Takes the money of an accepted hold. Success if it is settled already.
    async fn settle_hold(&self, preimage: &Preimage) -> LnResult<SettleOutcome>;

    /// Gives the money back, or closes an unpaid invoice. Success if that is
    /// already so.
    async fn cancel_hold(&self, hash: PaymentHash) -> LnResult<CancelOutcome>;

    /// Starts a payment; returns once the node has durably taken or refused
    /// it, and does not wait for its result.
    ///
    /// The node refuses a hash that is paid or on its way
    /// ([`StartPayment::AlreadyKnown`]); after a failure the same invoice may
    /// be started again.
    async fn start_payment(&self, request: &PayRequest) -> LnResult<StartPayment>;

    /// The payment as it is. [`PaymentState::NotFound`] never means "not
    /// paid": a node forgets when its operator prunes or restores it.
    async fn lookup_payment(&self, hash: PaymentHash) -> LnResult<PaymentState>;

    /// The current state first, then each change, as [`Self::watch_hold`].
    fn watch_payment(&self, hash: PaymentHash) -> BoxStream<'static, PaymentState>;

    /// Whether a payment in flight is lost: the node has recorded it as sent,
    /// but the open and active channel that was to carry it knows nothing of
    /// it, so the payee never gets it and the node never calls it failed.
    ///
    /// None for a payment that is on its way, for any other state, and
    /// whenever the node cannot tell for sure, as with a closed channel. One
    /// such answer proves nothing either: a part is recorded a moment before
    /// it is sent.
    async fn lost_payment(&self, hash: PaymentHash) -> LnResult<Option<LostPayment>> {
        let _ = hash;
        Ok(None)
    }

    /// At most `max` payments with an index above `index`, oldest first.
    async fn list_payments_since(&self, index: u64, max: u32) -> LnResult<Vec<PaymentRecord>>;

    /// The height of the chain first, then each new one. Ends when the source
    /// was lost.
    fn watch_blocks(&self) -> BoxStream<'static, u32>;
}

/// The backends there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// Simulated wallets in this process; no real money.
    Sandbox,
    /// An LND node over gRPC.
    Lnd,
}

/// What a backend promises; the node refuses to start on one too weak.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Final CLTV deltas a hold may ask for, in blocks.
    pub hold_cltv_delta: RangeInclusive<u32>,
    /// The node cancels an accepted hold by itself this many blocks before
    /// the first of its parts expires.
    pub auto_cancel_margin: u32,
    /// Highest CLTV limit a payment may carry, in blocks.
    pub max_cltv_limit: u32,
    /// No real money: shown to users, never together with mainnet.
    pub simulated: bool,
}

/// Who the node is and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Identity key, 66 hex digits.
    pub pubkey: String,
    /// The name it gives itself.
    pub alias: String,
    /// Its software's version.
    pub version: String,
    /// The chain it is on.
    pub network: Network,
    /// Height of the best block it knows.
    pub block_height: u32,
    /// Time in the header of that block.
    pub best_block_time: UnixTime,
    /// Whether it considers itself caught up.
    pub synced_to_chain: bool,
    /// Channels that can carry a payment at this moment.
    pub active_channels: u32,
}

/// Which node it is: money lies with this one and no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightningIdentity {
    /// Identity key, 66 hex digits.
    pub pubkey: String,
    /// The chain it is on.
    pub network: Network,
}

impl From<&NodeInfo> for LightningIdentity {
    fn from(info: &NodeInfo) -> Self {
        LightningIdentity {
            pubkey: info.pubkey.clone(),
            network: info.network,
        }
    }
}

/// A chain that invoices are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Real money, `lnbc…`.
    Mainnet,
    /// `lntb…`.
    Testnet,
    /// `lntbs…`.
    Signet,
    /// `lnbcrt…`; the sandbox lives here.
    Regtest,
}

impl Network {
    /// The chain of this name, if it is one we know.
    #[must_use]
    pub fn named(name: &str) -> Option<Network> {
        let all = [
            Network::Mainnet,
            Network::Testnet,
            Network::Signet,
            Network::Regtest,
        ];
        all.into_iter().find(|network| network.as_str() == name)
    }

    /// The word used in settings and in events about the node.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Network::Mainnet => "mainnet",
            Network::Testnet => "testnet",
            Network::Signet => "signet",
            Network::Regtest => "regtest",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the node's channels hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Liquidity {
    /// Can be sent.
    pub outbound: Msat,
    /// Can be received.
    pub inbound: Msat,
    /// Locked by others in our holds.
    pub held_in: Msat,
    /// Locked by us in payments on their way.
    pub held_out: Msat,
}

/// The terms of a hold invoice to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRequest {
    /// Chosen and stored by the caller before the call.
    pub hash: PaymentHash,
    /// What the payer is asked for.
    pub amount: Msat,
    /// What the payer's wallet shows; at most 639 bytes.
    pub memo: String,
    /// An unpaid invoice closes at this moment. If it has passed already, the
    /// invoice lives for one second.
    pub expires_at: UnixTime,
    /// Blocks the payer's money must at least stay locked for.
    pub cltv_delta: u32,
    /// Whether the invoice names private channels.
    pub private_hints: bool,
}

/// A hold invoice at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldSnapshot {
    /// Its payment hash.
    pub hash: PaymentHash,
    /// The invoice to hand to the payer.
    pub bolt11: String,
    /// What it asks for.
    pub value: Msat,
    /// Where it stands.
    pub state: HoldState,
}

/// Where a hold stands: open, then accepted, then settled or canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldState {
    /// Waits to be paid.
    Open {
        /// Sum of the parts of an incomplete payment that are held.
        partial: Msat,
    },
    /// Paid in full, the money is locked and neither taken nor given back.
    Accepted(Acceptance),
    /// The money was taken.
    Settled {
        /// What was really paid; may exceed the value.
        paid: Msat,
    },
    /// Closed; whatever was locked went back to the payer.
    Canceled,
}

impl HoldState {
    /// Whether it can change no more.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            HoldState::Open { .. } | HoldState::Accepted(_) => false,
            HoldState::Settled { .. } | HoldState::Canceled => true,
        }
    }
}

/// How a hold was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Sum of the locked parts; may exceed the value.
    pub paid: Msat,
    /// Number of the locked parts.
    pub parts: u32,
    /// The height at which the first of the parts expires.
    pub min_expiry_height: u32,
    /// When the last part arrived.
    pub at: UnixTime,
}

/// The definite answers to settling a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettleOutcome {
    /// The money is ours, by this call or an earlier one.
    Settled,
    /// Nobody has paid it in full.
    NotAccepted,
    /// The money went back to the payer.
    AlreadyCanceled,
    /// The node does not know the hash.
    NoSuchHold,
}

/// The definite answers to canceling a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelOutcome {
    /// It is closed, by this call or an earlier one.
    Canceled,
    /// The money was taken.
    AlreadySettled,
    /// The node does not know the hash.
    NoSuchHold,
}

/// A payment to make: the same bytes each time it is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayRequest {
    /// The invoice to pay.
    pub bolt11: String,
    /// The invoice's amount, or the amount for an invoice without one.
    pub amount: Msat,
    /// Most that routing may cost; zero means no fee at all.
    pub fee_limit: Msat,
    /// Most blocks the money may be locked for.
    pub cltv_limit: u32,
    /// Most parts the payment may be split into.
    pub max_parts: u32,
    /// How long the node looks for routes; parts on their way are not ended
    /// by it.
    pub timeout: Duration,
}

/// The definite answers to starting a payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartPayment {
    /// The node has taken it.
    Started,
    /// The node has this hash on its way or paid; nothing was started.
    AlreadyKnown,
    /// Refused before anything was done. Only to be believed if a look-up
    /// finds no payment for the hash: a paid invoice that has expired since
    /// is refused in the same way.
    Rejected(RejectReason),
}

/// Why a payment was refused before anything was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectReason {
    /// The invoice is past its expiry.
    InvoiceExpired,
    /// The invoice is the node's own.
    SelfPayment,
    /// The CLTV limit is below what the invoice needs or above the node's own.
    CltvLimit,
    /// The invoice cannot be paid by anybody here.
    BadInvoice(String),
    /// The node's own rules forbid it.
    Policy(String),
}

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// The node knows nothing of the hash.
    NotFound,
    /// Not decided.
    InFlight {
        /// Parts on their way; zero means nothing was sent yet.
        parts: u32,
    },
    /// Paid.
    Succeeded {
        /// The payee's receipt.
        preimage: Preimage,
        /// What routing cost.
        fee: Msat,
    },
    /// Not paid, and no part is on its way.
    Failed {
        /// What the node says of it.
        reason: FailReason,
    },
}

impl PaymentState {
    /// Whether it can change no more, unless the payment is started again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            PaymentState::NotFound | PaymentState::InFlight { .. } => false,
            PaymentState::Succeeded { .. } | PaymentState::Failed { .. } => true,
        }
    }
}

/// A payment that is in flight by the node's books alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostPayment {
    /// The height at which the last of its time locks ends. Well after it
    /// nothing of the payment can be claimed any more.
    pub locked_until: u32,
}

/// Why a payment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailReason {
    /// No way to the payee within fee and CLTV limits.
    NoRoute,
    /// No way was found in time.
    Timeout,
    /// The payee refused: already paid, expired or other terms.
    WrongDetails,
    /// Our own channels could not carry it; not the payee's fault.
    InsufficientBalance,
    /// Stopped by us.
    Canceled,
    /// Anything else.
    Error,
}

/// A payment in the node's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRecord {
    /// Grows with each payment; a hint, not an identity.
    pub index: u64,
    /// Its payment hash.
    pub hash: PaymentHash,
    /// What the payee gets.
    pub amount: Msat,
    /// When it was started.
    pub created_at: UnixTime,
    /// Where it stands.
    pub state: PaymentState,
}

/// The secret that settles a hold, or the receipt of a payment. Overwritten
/// in memory when dropped; `Debug` hides it.
pub struct Preimage(SecretBox<[u8; 32]>);

impl Preimage {
    /// Wraps the 32 bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Preimage(SecretBox::new(Box::new(bytes)))
    }

    /// The 32 bytes, for the wire to the node and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }

    /// Its SHA-256.
    #[must_use]
    pub fn hash(&self) -> PaymentHash {
        PaymentHash(Sha256::digest(self.expose()).into())
    }
}

impl Clone for Preimage {
    fn clone(&self) -> Self {
        Preimage::new(*self.expose())
    }
}

impl fmt::Debug for Preimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preimage([REDACTED])")
    }
}

impl PartialEq for Preimage {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Preimage {}

/// Why a call has no definite answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LnError {
    /// Nothing was sent; try again later.
    #[error("Lightning node unreachable or not ready: {0}")]
    Unavailable(String),
    /// It may have happened; look it up.
    #[error("outcome unknown: {0}")]
    Ambiguous(String),
    /// The operator must mend it.
    #[error("credentials refused: {0}")]
    Auth(String),
    /// Another node answers than the one the escrow's money lies with.
    #[error("Lightning node identity changed")]
    IdentityChanged,
    /// Asking again is of no use.
    #[error("backend broke its contract: {0}")]
    Contract(String),
}

/// The answer of a backend.
pub type LnResult<T> = Result<T, LnError>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preimage_never_shows_in_debug_output() {
        let state = PaymentState::Succeeded {
            preimage: Preimage::new([0xab; 32]),
            fee: Msat(1),
        };
        let shown = format!("{state:?}");
        assert!(shown.contains("REDACTED"), "{shown}");
        assert!(!shown.contains("171") && !shown.contains("ab, "), "{shown}");
    }

    #[test]
    fn the_trait_can_stand_behind_a_pointer() {
        fn takes(_: Option<&dyn LightningBackend>) {}
        takes(None);
    }
}
