//! What a message carries.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::reason::CantDo;
use super::small_order::SmallOrder;
use super::status::{DisputeStatus, Initiator, OrderKind, Status};
use super::words::words;

/// The payload of a message: on the wire an object with exactly one key.
///
/// The last five are unknown to older clients and go only to those who asked
/// for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The terms of an order.
    Order(SmallOrder),
    /// An order, a BOLT11 invoice, Lightning address or LNURL, and an amount.
    PaymentRequest(Option<SmallOrder>, String, Option<i64>),
    /// Plain text.
    TextMessage(String),
    /// The other side.
    Peer(Peer),
    /// Stars, 1 to 5.
    RatingUser(u8),
    /// The fiat amount chosen from a range.
    Amount(i64),
    /// A dispute, and for solvers what it is about.
    Dispute(Uuid, Option<SolverDisputeInfo>),
    /// The reason of a refusal.
    CantDo(Option<CantDo>),
    /// Key (hex) and index for the remainder of a range.
    NextTrade(String, u32),
    /// How often and when a failed payment is tried again.
    PaymentFailed(PaymentFailed),
    /// Orders and disputes of an identity.
    RestoreData(RestoreData),
    /// Order ids.
    Ids(Vec<Uuid>),
    /// Orders.
    Orders(Vec<SmallOrder>),
    /// Whose bond is lost.
    BondResolution(BondResolution),
    /// A share of a slashed bond waits for an invoice.
    BondPayoutRequest(BondPayoutRequest),
    /// A locked Cashu token.
    CashuLockProof(CashuLockProof),
    /// Signatures over a Cashu token.
    CashuSignatures(Vec<CashuSignature>),
    /// The reputation of the asker.
    UserInfo(UserInfo),
    /// A fiat payer.
    PayerDeclaration(PayerDeclaration),
    /// What is known of a fiat payer.
    PaymentHistory(PaymentHistory),
    /// For whom reputation is exported.
    ReputationExportRequest(ReputationExportRequest),
    /// An attestation, the JSON of its event.
    ReputationAttestation(String),
}

/// The other side of a trade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Trade key, hex, or empty where only the reputation is told.
    pub pubkey: String,
    /// What is known of him.
    pub reputation: Option<UserInfo>,
}

/// A user's reputation; all zero if unknown or in full privacy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserInfo {
    /// Mean of the stars.
    pub rating: f64,
    /// Number of ratings.
    pub reviews: i64,
    /// Days since the first trade.
    pub operating_days: u64,
    /// Day of the first trade, unix seconds at 0:00 UTC; left out when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// How a failed payment goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFailed {
    /// How often it will be tried.
    pub payment_attempts: u32,
    /// Seconds between two tries.
    pub payment_retries_interval: u32,
}

/// What a client needs to pick up its trades.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreData {
    /// Open orders.
    pub orders: Vec<RestoredOrder>,
    /// Open disputes.
    pub disputes: Vec<RestoredDispute>,
}

/// One open order of the asker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredOrder {
    /// Order id.
    pub order_id: Uuid,
    /// The asker's index, 0 when unknown.
    pub trade_index: i64,
    /// Its status.
    pub status: Status,
    /// The other side's trade key, hex.
    pub counterparty_trade_pubkey: Option<String>,
}

/// One open dispute of the asker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredDispute {
    /// Dispute id.
    pub dispute_id: Uuid,
    /// Order id.
    pub order_id: Uuid,
    /// The asker's index, 0 when unknown.
    pub trade_index: i64,
    /// Its status.
    pub status: DisputeStatus,
    /// Who opened it.
    pub initiator: Option<Initiator>,
    /// The solver's key, hex.
    pub solver_pubkey: Option<String>,
}

/// What a solver is told when he takes a dispute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SolverDisputeInfo {
    /// Order id.
    pub id: Uuid,
    /// Which side the maker is on.
    pub kind: OrderKind,
    /// Status of the order.
    pub status: Status,
    /// Always null: the solver needs no payment hash.
    pub hash: Option<String>,
    /// Always null: the escrow's secret is not told.
    pub preimage: Option<String>,
    /// Status before the dispute.
    pub order_previous_status: Status,
    /// Trade key of who opened the dispute, hex.
    pub initiator_pubkey: String,
    /// Trade key of the buyer, hex.
    pub buyer_pubkey: Option<String>,
    /// Trade key of the seller, hex.
    pub seller_pubkey: Option<String>,
    /// Whether the initiator trades in full privacy.
    pub initiator_full_privacy: bool,
    /// Whether the other side trades in full privacy.
    pub counterpart_full_privacy: bool,
    /// Reputation of the initiator.
    pub initiator_info: Option<UserInfo>,
    /// Reputation of the other side.
    pub counterpart_info: Option<UserInfo>,
    /// Percent on the market price.
    pub premium: i64,
    /// Payment methods.
    pub payment_method: String,
    /// The bare sats of the trade.
    pub amount: i64,
    /// Fiat amount.
    pub fiat_amount: i64,
    /// Fee of one side, sats.
    pub fee: i64,
    /// Routing fee, sats.
    pub routing_fee: i64,
    /// Where the buyer is paid.
    pub buyer_invoice: Option<String>,
    /// When the escrow was funded, unix seconds.
    pub invoice_held_at: i64,
    /// When the order was taken, unix seconds.
    pub taken_at: i64,
    /// When the order was made, unix seconds.
    pub created_at: i64,
}

/// Whose bond a solver wants slashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondResolution {
    /// The seller's.
    pub slash_seller: bool,
    /// The buyer's.
    pub slash_buyer: bool,
}

/// Asks the winner of a slashed bond for an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BondPayoutRequest {
    /// The order, its amount the share.
    pub order: SmallOrder,
    /// When the bond was slashed, unix seconds.
    pub slashed_at: i64,
}

/// A Cashu token locked to two of buyer, seller and node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CashuLockProof {
    /// The token.
    pub token: String,
    /// Its mint.
    pub mint_url: String,
    /// Key of the buyer, hex.
    pub buyer_pubkey: String,
    /// Key of the seller, hex.
    pub seller_pubkey: String,
    /// Key of the node, hex.
    pub mostro_pubkey: String,
    /// A token with the fee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee_token: Option<String>,
}

/// A signature over one proof of a Cashu token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CashuSignature {
    /// The proof.
    pub secret: String,
    /// The signature, hex.
    pub signature: String,
}

/// A fiat payer, known by a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayerDeclaration {
    /// 64 hex digits.
    pub payment_hash: String,
}

words! {
    /// How a fiat payer's buyer trades.
    BuyerMode {
        /// With an identity.
        Reputation = "reputation",
        /// With a trade key only.
        FullPrivacy = "full_privacy",
        /// Nobody knows.
        Unknown = "unknown",
    }
}

/// What is known of a fiat payer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentHistory {
    /// 64 hex digits.
    pub payment_hash: String,
    /// How the buyer trades.
    pub buyer_mode: BuyerMode,
    /// Trades that went well.
    pub successful_trades: u64,
    /// With how many others.
    pub distinct_counterparties: u64,
    /// With how many experienced others.
    pub experienced_counterparties: u64,
    /// The first success, unix seconds.
    pub first_success_at: Option<i64>,
    /// The last success, unix seconds.
    pub last_success_at: Option<i64>,
}

/// For whom reputation is exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReputationExportRequest {
    /// Key of the node that shall take it over, hex.
    pub destination: String,
    /// JSON of the event that moves it to another identity.
    pub rebind: Option<String>,
}
