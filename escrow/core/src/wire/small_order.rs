//! An order as messages carry it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::status::{OrderKind, Status};

/// The terms of an order in a message.
///
/// Field order, and which fields are null and which left out when there is
/// nothing to say, are part of the format. An unknown field is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallOrder {
    /// Order id; left out before the node has given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Which side the maker is on.
    pub kind: Option<OrderKind>,
    /// Status, in the words of clients.
    pub status: Option<Status>,
    /// Sats; 0 at market price. What the recipient pays or gets, fee included.
    pub amount: i64,
    /// Currency.
    pub fiat_code: String,
    /// Lowest fiat amount of a range.
    pub min_amount: Option<i64>,
    /// Highest fiat amount of a range.
    pub max_amount: Option<i64>,
    /// Fiat amount; 0 for a range nobody has taken.
    pub fiat_amount: i64,
    /// Payment methods, separated by commas.
    pub payment_method: String,
    /// Percent on the market price.
    pub premium: i64,
    /// Trade key of the buyer, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buyer_trade_pubkey: Option<String>,
    /// Trade key of the seller, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller_trade_pubkey: Option<String>,
    /// Where the buyer is paid: BOLT11, Lightning address or LNURL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buyer_invoice: Option<String>,
    /// When the order was made, unix seconds.
    pub created_at: Option<i64>,
    /// When the order leaves the book, unix seconds.
    pub expires_at: Option<i64>,
    /// Mint of a Cashu order. Breaks older clients: never in a Lightning order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cashu_mint_url: Option<String>,
}
