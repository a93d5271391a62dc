//! An order in the public book: kind 38383.

use nostr::event::Tag;
use nostr::key::PublicKey;
use uuid::Uuid;

use super::status::OrderKind;
use super::tags::{expiration, instance, tag};
use super::words::words;
use crate::amount::{Fiat, Sats};
use crate::time::UnixTime;

/// Kind of an order in the book.
pub const ORDER: u16 = 38_383;

words! {
    /// What the book says of an order. Another word would break clients.
    BookStatus {
        /// Can be taken.
        Pending = "pending",
        /// Is taken.
        InProgress = "in-progress",
        /// The buyer is paid.
        Success = "success",
        /// Will not be traded.
        Canceled = "canceled",
    }
}

/// An order as the book shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderEvent<'a> {
    /// Order id.
    pub id: Uuid,
    /// Which side the maker is on.
    pub kind: OrderKind,
    /// Currency.
    pub fiat_code: &'a str,
    /// Status, and what only a pending order shows.
    pub shown: Shown<'a>,
    /// The bare sats; 0 while a market or range order is pending.
    pub amount: Sats,
    /// Fiat amount.
    pub fiat: BookFiat,
    /// Payment methods, separated by commas.
    pub payment_method: &'a str,
    /// Percent on the market price.
    pub premium: i64,
    /// Network of the Lightning node: `mainnet`, `testnet`, `signet`, `regtest`.
    pub network: &'a str,
    /// When the order was made; the same in every revision.
    pub created_at: UnixTime,
    /// When it leaves the book if nobody takes it.
    pub expires_at: UnixTime,
    /// Name of the operator's instance, if it has one.
    pub instance: Option<&'a str>,
}

/// The fiat amount in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookFiat {
    /// One amount.
    Fixed(Fiat),
    /// Lowest and highest, while a range order is pending.
    Range(Fiat, Fiat),
}

/// The status in the book, with what goes with it.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown<'a> {
    /// In the book, to be taken.
    Pending {
        /// What is known of the maker.
        maker: MakerRating,
        /// Where a taker finds the node: the public URL first.
        relays: &'a [String],
        /// The node.
        node: PublicKey,
    },
    /// Taken; relays may drop it at the given time.
    InProgress(UnixTime),
    /// The buyer is paid; relays may drop it at the given time.
    Success(UnixTime),
    /// Will not be traded; relays may drop it at the given time.
    Canceled(UnixTime),
}

impl Shown<'_> {
    /// The word for it.
    #[must_use]
    pub fn status(&self) -> BookStatus {
        match self {
            Shown::Pending { .. } => BookStatus::Pending,
            Shown::InProgress(_) => BookStatus::InProgress,
            Shown::Success(_) => BookStatus::Success,
            Shown::Canceled(_) => BookStatus::Canceled,
        }
    }
}

/// The maker's reputation in the book; all zero if unknown or in full privacy.
///
/// The order of fields is the order on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct MakerRating {
    /// Days since his first trade.
    pub days: u64,
    /// Day of his first trade, unix seconds at 0:00 UTC; left out when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Mean of his stars.
    pub total_rating: f64,
    /// Number of ratings.
    pub total_reviews: i64,
}

impl OrderEvent<'_> {
    /// The tags of this revision; the content is empty.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![
            tag("d", [self.id]),
            tag("k", [self.kind]),
            tag("f", [self.fiat_code]),
            tag("s", [self.shown.status()]),
            tag("amt", [self.amount.0]),
            match self.fiat {
                BookFiat::Fixed(amount) => tag("fa", [amount.0]),
                BookFiat::Range(min, max) => tag("fa", [min.0, max.0]),
            },
            tag(
                "pm",
                self.payment_method
                    .split(',')
                    .filter(|method| !method.is_empty()),
            ),
            tag("premium", [self.premium]),
        ];
        if let Shown::Pending {
            maker,
            relays,
            node,
        } = &self.shown
        {
            tags.push(tag("rating", [maker.to_json()]));
            tags.push(tag("source", [self.source(relays, node)]));
        }
        tags.extend([
            tag("network", [self.network]),
            tag("layer", ["lightning"]),
            tag("published_at", [self.created_at.0]),
            tag("expires_at", [self.expires_at.0]),
            expiration(match self.shown {
                Shown::Pending { .. } => self.expires_at,
                Shown::InProgress(until) | Shown::Success(until) | Shown::Canceled(until) => until,
            }),
            instance(self.instance),
            tag("z", ["order"]),
        ]);
        tags
    }

    /// The link to the order; clients expect it without URL encoding.
    fn source(&self, relays: &[String], node: &PublicKey) -> String {
        format!(
            "mostro:{}?relays={}&mostro={}",
            self.id,
            relays.join(","),
            node.to_hex()
        )
    }
}

impl MakerRating {
    fn to_json(self) -> String {
        serde_json::to_string(&("rating", self)).expect("numbers can always be written")
    }
}
