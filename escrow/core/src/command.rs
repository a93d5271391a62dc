//! Everything that can happen to a trade enters by this gate.

use crate::amount::Msat;
use crate::dispute::DisputeId;
use crate::lightning::{PaymentHash, PayoutInvoice, Sendable};
use crate::order::{NextTrade, OrderId, Side};
use crate::party::{Asker, Identity, IdentityKey, TradeIndex, TradeKey};
use crate::payout::{PaymentFailure, PayoutId};
use crate::questions::Question;
use crate::time::UnixTime;
use crate::timer::Timer;
use crate::wire::{CantDo, Transport};

/// One thing that happened, or that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "requests are what most commands are"
)]
pub enum Command {
    /// A trader's message.
    Request(Request),
    /// Lightning opened a hold.
    HoldOpened {
        /// Which.
        hash: PaymentHash,
        /// Its invoice.
        bolt11: String,
    },
    /// Lightning refused to open a hold, or cannot be reached.
    HoldFailed {
        /// Which.
        hash: PaymentHash,
    },
    /// The seller's sats are locked.
    HoldAccepted {
        /// Which.
        hash: PaymentHash,
        /// What was really locked.
        paid: Msat,
        /// Lowest expiry height of the accepted parts.
        expiry_height: u32,
    },
    /// The sats of a hold are ours.
    HoldSettled {
        /// Which.
        hash: PaymentHash,
    },
    /// A hold is canceled; nothing is locked.
    HoldCanceled {
        /// Which.
        hash: PaymentHash,
    },
    /// What a look-up that a decision asked for found of a hold, where that is
    /// no news: news are reported as such.
    HoldFound {
        /// Which.
        hash: PaymentHash,
        /// As what.
        found: Found,
    },
    /// The chain has grown, or a minute has passed, since an accepted hold was
    /// last looked at (rule X1).
    HoldAged {
        /// Which.
        hash: PaymentHash,
        /// The highest tip ever seen; while Lightning is away
        /// [`estimated_tip`](crate::decide::escrow_horizon::estimated_tip).
        tip_height: u32,
    },
    /// A payment reached its payee.
    PaymentSucceeded {
        /// Which.
        hash: PaymentHash,
        /// The proof: its SHA-256 is the hash.
        preimage: [u8; 32],
        /// What routing cost.
        routing_fee: Msat,
    },
    /// A payment failed for good; no part of it is under way.
    PaymentFailed {
        /// Which.
        hash: PaymentHash,
        /// Why.
        reason: PaymentFailure,
        /// Whether Lightning was unsynced, unreachable or without an active
        /// channel at any moment of this try, or started less than a minute
        /// before it (rule P7).
        in_trouble: bool,
    },
    /// Lightning calls a payment in flight, but no channel of its carries it.
    PaymentMissing {
        /// Which.
        hash: PaymentHash,
        /// The height at which the last of its time locks ends.
        locked_until: u32,
    },
    /// A channel carries a payment that was missing.
    PaymentTraced {
        /// Which.
        hash: PaymentHash,
    },
    /// A payout's address was asked for an invoice.
    AddressAsked {
        /// For which.
        payout: PayoutId,
        /// The address; by now another one may be wanted.
        address: String,
        /// What came of it.
        answer: AddressAnswer,
    },
    /// A timer is due.
    Elapsed(Timer),
}

impl Command {
    /// Its name in the journal.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Command::Request(request) => request.ask.name(),
            Command::HoldOpened { .. } => "hold-opened",
            Command::HoldFailed { .. } => "hold-failed",
            Command::HoldAccepted { .. } => "hold-accepted",
            Command::HoldSettled { .. } => "hold-settled",
            Command::HoldCanceled { .. } => "hold-canceled",
            Command::HoldFound { .. } => "hold-found",
            Command::HoldAged { .. } => "hold-aged",
            Command::PaymentSucceeded { .. } => "payment-succeeded",
            Command::PaymentFailed { .. } => "payment-failed",
            Command::PaymentMissing { .. } => "payment-missing",
            Command::PaymentTraced { .. } => "payment-traced",
            Command::AddressAsked { .. } => "address-asked",
            Command::Elapsed(_) => "elapsed",
        }
    }
}

/// What a look-up found of a hold, where the ledger knows no better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Open, as in the ledger: nobody has paid.
    Open,
    /// Accepted, as in the ledger.
    Accepted,
    /// Lightning does not know it.
    Missing,
}

/// What asking an address for an invoice came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressAnswer {
    /// An invoice that keeps the rules for payouts; amount and reuse of its
    /// hash are judged by the decision.
    Invoice(PayoutInvoice),
    /// None, or none that can be paid.
    Refused,
    /// It could not be asked, and the node itself is to blame.
    Unasked,
}

impl AddressAnswer {
    /// Its name in the journal.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            AddressAnswer::Invoice(_) => "invoice",
            AddressAnswer::Refused => "refused",
            AddressAnswer::Unasked => "unasked",
        }
    }
}

/// A trader's message, opened and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who sent it.
    pub sender: Sender,
    /// Echoed in the answer.
    pub request_id: Option<u64>,
    /// The sender's index for his trade key, as he wrote it.
    pub trade_index: Option<i64>,
    /// The order it is about.
    pub order: Option<OrderId>,
    /// When it was signed.
    pub signed_at: UnixTime,
    /// What he asks for.
    pub ask: Ask,
}

impl Request {
    /// Where the answer goes.
    #[must_use]
    pub fn asker(&self) -> Asker {
        Asker {
            trade_key: self.sender.trade_key,
            request_id: self.request_id,
            transport: self.sender.transport,
            trade_index: self
                .trade_index
                .and_then(|index| u32::try_from(index).ok())
                .map(TradeIndex),
        }
    }
}

/// Who sent a message, as proven by its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The trade key that signed it.
    pub trade_key: TradeKey,
    /// The identity that was proven with it.
    pub identity: Identity,
    /// How it came.
    pub transport: Transport,
}

/// What a trader asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Put an order into the book.
    NewOrder(NewOrder),
    /// Buy from a sell order.
    TakeSell {
        /// The buyer's invoice, if he gave one.
        payout: Option<GivenInvoice>,
        /// The fiat amount he chose, if he named one.
        fiat: Option<i64>,
    },
    /// Sell to a buy order.
    TakeBuy {
        /// The fiat amount he chose, if he named one.
        fiat: Option<i64>,
    },
    /// The buyer's invoice.
    AddInvoice {
        /// What he gave.
        payout: GivenInvoice,
    },
    /// The fiat is on its way.
    FiatSent {
        /// For the rest of a buying maker's range.
        next: Option<NextTrade>,
    },
    /// The fiat has come; pay the buyer.
    Release {
        /// For the rest of a selling maker's range.
        next: Option<NextTrade>,
    },
    /// End the trade.
    Cancel,
    /// Have it judged by a solver.
    Dispute,
    /// A vote about the counterpart.
    RateUser {
        /// 1 … 5 counts.
        stars: u8,
    },
    /// Move an order to the trade key that signed this.
    TradePubkey,
    /// Judge a dispute, which the message names in the place of an order.
    TakeDispute(Option<DisputeId>),
    /// Rule for the buyer.
    AdminSettle {
        /// Whether a bond is to be taken, which this node does not know.
        slashes: bool,
    },
    /// Rule for the seller, or withdraw an order that nobody has taken.
    AdminCancel {
        /// Whether a bond is to be taken, which this node does not know.
        slashes: bool,
    },
    /// What only the operator may ask for.
    Govern(Govern),
    /// Something that changes nothing.
    Question(Question),
    /// What intake already had to refuse; decided so that the answer is durable.
    Refused(CantDo),
}

/// What only the operator may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Govern {
    /// Register a solver.
    AddSolver {
        /// `npub…`, and after a colon what he may do.
        text: Option<String>,
    },
    /// Take a solver's rights; only the operator's own tools can ask for it.
    RemoveSolver(IdentityKey),
    /// Begin or end a maintenance; only the operator's own tools can ask for it.
    Maintenance {
        /// Whether it is to be.
        enabled: bool,
        /// Why, if he says so.
        reason: Option<String>,
    },
}

impl Ask {
    /// Whether it begins something that a maintenance would have to wait for
    /// (rule G11).
    #[must_use]
    pub fn is_new_trade(&self) -> bool {
        matches!(
            self,
            Ask::NewOrder(_) | Ask::TakeSell { .. } | Ask::TakeBuy { .. }
        )
    }

    /// Its name in the journal.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Ask::NewOrder(_) => "new-order",
            Ask::TakeSell { .. } => "take-sell",
            Ask::TakeBuy { .. } => "take-buy",
            Ask::AddInvoice { .. } => "add-invoice",
            Ask::FiatSent { .. } => "fiat-sent",
            Ask::Release { .. } => "release",
            Ask::Cancel => "cancel",
            Ask::Dispute => "dispute",
            Ask::RateUser { .. } => "rate-user",
            Ask::TradePubkey => "trade-pubkey",
            Ask::TakeDispute(_) => "admin-take-dispute",
            Ask::AdminSettle { .. } => "admin-settle",
            Ask::AdminCancel { .. } => "admin-cancel",
            Ask::Govern(Govern::AddSolver { .. }) => "admin-add-solver",
            Ask::Govern(Govern::RemoveSolver(_)) => "admin-remove-solver",
            Ask::Govern(Govern::Maintenance { .. }) => "maintenance",
            Ask::Question(Question::RestoreSession) => "restore-session",
            Ask::Question(Question::LastTradeIndex) => "last-trade-index",
            Ask::Question(Question::Orders(_)) => "orders",
            Ask::Question(Question::UserInfo) => "user-info",
            Ask::Refused(_) => "refused",
        }
    }
}

/// A payment request as a trader gave it, after the invoice rules were asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenInvoice {
    /// Readable and payable by our node; amount, life and reuse are still to be judged.
    Readable(PayoutInvoice),
    /// An address that exists; the amount is still to be judged.
    Address {
        /// As it was written.
        text: String,
        /// What it takes at once.
        sendable: Sendable,
    },
    /// An address that nobody has asked, because the node itself has too much
    /// to do.
    Unasked(String),
    /// Cannot be paid, whatever the order.
    Unusable,
}

/// A new order as its maker wrote it; nothing is judged yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    /// Buy or sell, if given.
    pub side: Option<Side>,
    /// Currency code.
    pub fiat_code: String,
    /// Fixed sats; 0 = at market price.
    pub sats: i64,
    /// Fiat amount of an order without range.
    pub fiat: i64,
    /// Lower end of a range.
    pub min_fiat: Option<i64>,
    /// Upper end of a range.
    pub max_fiat: Option<i64>,
    /// Percent on the market price.
    pub premium: i64,
    /// Comma-separated names.
    pub payment_method: String,
    /// Deadline the maker wishes for, unix seconds.
    pub expires_at: Option<i64>,
    /// The maker's own payout invoice.
    pub payout: Option<GivenInvoice>,
    /// Whether a Cashu mint is named.
    pub names_mint: bool,
}
