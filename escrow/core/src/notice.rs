//! What the node has to say to a trader, before it becomes a message.

use crate::dispute::DisputeId;
use crate::order::OrderId;
use crate::party::{Asker, IdentityKey, Party, TradeIndex, TradeKey};
use crate::user::User;
use crate::wire::{CantDo, RestoreData, SmallOrder, SolverDisputeInfo, Transport};

/// One message to one trade key.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Where it goes.
    pub to: TradeKey,
    /// How it travels.
    pub transport: Transport,
    /// The request it answers; a push has none.
    pub request_id: Option<u64>,
    /// The recipient's own index, where the protocol shows it (rule W8).
    pub trade_index: Option<TradeIndex>,
    /// The order it is about.
    pub order: Option<OrderId>,
    /// What it says.
    pub notice: Notice,
}

impl Letter {
    /// An answer, which echoes the request.
    #[must_use]
    pub fn answer(asker: &Asker, order: OrderId, notice: Notice) -> Letter {
        Letter {
            to: asker.trade_key,
            transport: asker.transport,
            request_id: asker.request_id,
            trade_index: None,
            order: Some(order),
            notice,
        }
    }

    /// The answer to a ruling, which shows the solver his own index (rule W8).
    #[must_use]
    pub fn ruling(asker: &Asker, order: OrderId, notice: Notice) -> Letter {
        Letter {
            trade_index: asker.trade_index,
            ..Letter::answer(asker, order, notice)
        }
    }

    /// A push, whose request id is null, always (rule W6).
    #[must_use]
    pub fn push(party: &Party, order: OrderId, notice: Notice) -> Letter {
        Letter {
            to: party.trade_key,
            transport: party.transport,
            request_id: None,
            trade_index: None,
            order: Some(order),
            notice,
        }
    }

    /// A refusal, with the request's own id (rule W7).
    #[must_use]
    pub fn refusal(asker: &Asker, order: Option<OrderId>, why: CantDo) -> Letter {
        Letter {
            to: asker.trade_key,
            transport: asker.transport,
            request_id: asker.request_id,
            trade_index: None,
            order,
            notice: Notice::Refused(why),
        }
    }

    /// The same letter, showing the recipient his own index.
    #[must_use]
    pub fn with_index(mut self, index: TradeIndex) -> Letter {
        self.trade_index = Some(index);
        self
    }
}

/// What a letter says. The wire's words for it stand in `wire`.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The order is in the book.
    OrderPublished(Box<SmallOrder>),
    /// The order is in the book again.
    BackInBook(Box<SmallOrder>),
    /// The buyer shall give an invoice.
    InvoiceWanted(Box<SmallOrder>),
    /// The seller waits for the buyer's invoice.
    WaitingBuyerInvoice,
    /// The seller shall pay the hold invoice.
    PaymentWanted {
        /// The order as the seller sees it.
        order: Box<SmallOrder>,
        /// The hold invoice.
        bolt11: String,
    },
    /// The maker learns the reputation of his taker.
    TakerReputation {
        /// In the words for a selling or a buying maker.
        to_seller: bool,
        /// The taker's figures; none in full privacy.
        taker: Reputation,
    },
    /// The buyer waits for the seller's payment.
    WaitingSellerToPay,
    /// To the buyer: the escrow is locked.
    EscrowLocked(Box<SmallOrder>),
    /// To the seller: the trade runs.
    BuyerTookOrder(Box<SmallOrder>),
    /// The buyer says that the fiat is sent; shows the counterpart's trade key.
    FiatSent {
        /// Trade key of the other side.
        peer: TradeKey,
    },
    /// To the buyer: the seller released.
    Released,
    /// To the seller: the escrow is settled.
    EscrowSettled,
    /// The escrow went back to the seller.
    EscrowCanceled,
    /// To the buyer: he is paid.
    PurchaseCompleted,
    /// To the buyer: a try to pay him failed.
    PaymentFailed {
        /// Counted tries left with this invoice.
        attempts_left: u32,
        /// Seconds between tries.
        retry_secs: u64,
    },
    /// To the buyer: his new invoice is taken.
    InvoiceUpdated,
    /// Please rate the counterpart.
    Rate,
    /// The vote is counted.
    RateReceived {
        /// As given.
        stars: u8,
    },
    /// The order ended before its time.
    Canceled,
    /// His wish to cancel waits for the other side.
    CancelAskedByYou,
    /// The other side wishes to cancel.
    CancelAskedByPeer,
    /// Both wished to cancel, and the sats are back.
    CancelAgreed,
    /// His dispute is open.
    DisputeOpenedByYou(DisputeId),
    /// The other side opened a dispute.
    DisputeOpenedByPeer(DisputeId),
    /// To a solver: the dispute is his, and what it is about.
    DisputeTaken {
        /// Which.
        id: DisputeId,
        /// What he needs to judge it.
        info: Box<SolverDisputeInfo>,
    },
    /// Who judges the dispute.
    SolverTook {
        /// His key.
        solver: IdentityKey,
    },
    /// To the solver: the seller released.
    ReleasedInDispute(DisputeId),
    /// To the solver: the sats went back without him.
    CanceledInDispute(DisputeId),
    /// A solver gave the sats to the buyer.
    AdminSettled,
    /// A solver gave the sats back, or the operator withdrew the order.
    AdminCanceled,
    /// To the operator: the solver is registered.
    SolverAdded,
    /// His order has moved to another trade key.
    KeyMoved,
    /// Where all his trades stand.
    Restored(Box<RestoreData>),
    /// The highest index he has used, which is shown as the letter's index.
    LastTradeIndex,
    /// Orders of his.
    Orders(Vec<SmallOrder>),
    /// His own figures.
    UserInfo(Reputation),
    /// What the protocol has no word for: one English sentence (rule W9).
    Plain(String),
    /// A fair refusal.
    Refused(CantDo),
}

/// Figures of a person, as traders see them (rule K7).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reputation {
    /// 0 … 5.
    pub rating: f64,
    /// How many votes.
    pub reviews: u32,
    /// Whole days since the first trade.
    pub operating_days: u64,
    /// First trade, cut to its UTC day; none if unknown.
    pub since: Option<u64>,
}

impl Reputation {
    /// The figures of a user at a moment; zeros for an unknown one.
    #[must_use]
    pub fn of(user: Option<&User>, now: crate::time::UnixTime) -> Reputation {
        const DAY: u64 = 86_400;
        let Some(user) = user else {
            return Reputation::default();
        };
        Reputation {
            rating: user.rating.total,
            reviews: user.rating.reviews,
            operating_days: now.secs_since(user.first_seen) / DAY,
            since: Some((user.first_seen.0 / DAY).saturating_mul(DAY)),
        }
    }
}
