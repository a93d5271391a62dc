//! What goes into a step, and what comes out of it for the one who waits.

use escrow_core::command::{Ask, Command, Request};
use escrow_core::order::OrderId;
use escrow_core::timer::Timer;
use escrow_core::wire::CantDo;
use escrow_core::{Msat, PaymentHash, UnixTime};
use nostr::event::{EventId, Kind, Tag};
use storage::ledger::{Filled, MirrorNo, OutboxRow, OutboxSeq, SeenKey};

/// One thing for the writer to decide or to write down.
#[derive(Clone, Debug)]
pub enum Submission {
    /// A trader's message.
    Message(TraderMessage),
    /// Something the node itself has learned: Lightning's word, a due timer.
    Report(Command),
    /// A timer of the ledger is due.
    Due(Timer),
    /// An event about the node, to be stamped, signed and sent.
    Announce(Announcement),
    /// How the node is, to be numbered and then announced.
    AnnounceHealth(Announcement),
    /// What is new about a mirror.
    Mirror(MirrorReport),
    /// The height of the chain that Lightning shows, or none while it shows
    /// none; escrows that near their end are judged by it.
    Tip(Option<u32>),
    /// What Lightning has paid of late, to be compared with the ledger.
    Payments(PaymentHistory),
    /// Lightning has been away for too long, or is back for good (rule X9).
    Rest {
        /// Whether it is away.
        lightning_is_away: bool,
    },
    /// What the operator says.
    Operator(OperatorWord),
    /// The node lives, and it is time to tidy up.
    Heartbeat,
}

impl Submission {
    /// What it is, without anything that belongs to traders alone.
    pub(crate) fn name(&self) -> String {
        match self {
            Submission::Message(message) => {
                let event = EventId::from_byte_array(message.event);
                format!("{} in event {event}", message.request.ask.name())
            }
            Submission::Report(command) => format!("report {}", command.name()),
            Submission::Due(timer) => format!("{timer:?}"),
            Submission::Announce(event) | Submission::AnnounceHealth(event) => {
                format!("announcement of kind {}", event.kind)
            }
            Submission::Mirror(report) => format!("report of mirror {}", report.mirror.0),
            Submission::Tip(shown) => format!("tip {shown:?}"),
            Submission::Payments(history) => format!("{} payments", history.payments.len()),
            Submission::Rest { lightning_is_away } => format!("rest {lightning_is_away}"),
            Submission::Operator(word) => word.name().into(),
            Submission::Heartbeat => "heartbeat".into(),
        }
    }
}

/// A trader's message, opened and read.
#[derive(Clone, Debug)]
pub struct TraderMessage {
    /// Id of the event that carried it.
    pub event: [u8; 32],
    /// Digest of the inner message: the same for a message wrapped anew.
    pub inner: [u8; 32],
    /// What it asks for.
    pub request: Request,
    /// How it came.
    pub path: Path,
}

/// How a message came to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Through the node's own relay, whose `OK` tells its sender what became of it.
    OwnRelay,
    /// Through an external relay: nobody hears an `OK`, and answers go there too.
    Mirror(MirrorNo),
}

impl TraderMessage {
    /// What a copy of it is recognised by (rule G2): the event, and what a
    /// gift wrap holds. In a kind 14 the two are one.
    pub(crate) fn names(&self) -> impl Iterator<Item = SeenKey> + use<> {
        let inner = (self.inner != self.event).then_some(SeenKey::Inner(self.inner));
        [SeenKey::Event(self.event)].into_iter().chain(inner)
    }
}

/// What is new about a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorReport {
    /// The mirror.
    pub mirror: MirrorNo,
    /// What is to be written down of it.
    pub news: MirrorNews,
}

/// What became of the backlog of a mirror, and of what was read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorNews {
    /// Rows have found their end.
    Settled {
        /// Those it has acknowledged.
        acknowledged: Vec<OutboxSeq>,
        /// Those it has refused for good.
        given_up: Vec<OutboxSeq>,
    },
    /// Everything addressed to the node that was on it before this moment is decided.
    Read(UnixTime),
    /// Events from before it was listed, each for its address.
    Fill {
        /// A page of them; what is not the newest of its address is left out.
        events: Vec<OutboxRow>,
        /// What is filled with it.
        filled: Filled,
    },
}

/// A part of Lightning's history of payments, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentHistory {
    /// Whether it ends before what the ledger has seen of it.
    pub is_cut_short: bool,
    /// Whether nothing comes after it.
    pub is_whole: bool,
    /// The payments.
    pub payments: Vec<ListedPayment>,
}

/// A payment in Lightning's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPayment {
    /// Its place in the history.
    pub index: u64,
    /// Its hash.
    pub hash: PaymentHash,
    /// What its payee gets.
    pub amount: Msat,
    /// When Lightning began with it.
    pub created_at: UnixTime,
    /// Whether it has succeeded or may yet.
    pub is_live: bool,
}

/// What the operator says with his own tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorWord {
    /// What he could also ask for with his node key (rule A14).
    Asks {
        /// What.
        ask: Box<Ask>,
        /// The order it is about.
        order: Option<OrderId>,
    },
    /// Payments may leave again.
    ClearLatch {
        /// Why, for the journal.
        reason: String,
    },
    /// An unknown payment was for this order.
    Adopt {
        /// Which payment.
        hash: PaymentHash,
        /// The order.
        order: OrderId,
    },
    /// An unknown payment was for none of the orders.
    Disown {
        /// Which payment.
        hash: PaymentHash,
    },
    /// A payment can reach nobody any more.
    GiveUp {
        /// Which payment.
        hash: PaymentHash,
        /// Why he is sure, for the journal.
        reason: String,
    },
    /// What is parked of an order is not to be paid by the node.
    WriteOff {
        /// The order.
        order: OrderId,
        /// Why, for the journal.
        reason: String,
    },
}

impl OperatorWord {
    /// Why he says it, where he must say why.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            OperatorWord::ClearLatch { reason }
            | OperatorWord::GiveUp { reason, .. }
            | OperatorWord::WriteOff { reason, .. } => Some(reason),
            OperatorWord::Asks { .. }
            | OperatorWord::Adopt { .. }
            | OperatorWord::Disown { .. } => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            OperatorWord::Asks { ask, .. } => ask.name(),
            OperatorWord::ClearLatch { .. } => "ledger-clear",
            OperatorWord::Adopt { .. } => "payout-adopt",
            OperatorWord::Disown { .. } => "payout-disown",
            OperatorWord::GiveUp { .. } => "payout-give-up",
            OperatorWord::WriteOff { .. } => "payout-write-off",
        }
    }
}

/// An event about the node.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Its kind; replaceable or addressable.
    pub kind: Kind,
    /// Its `d` value; empty for replaceable kinds.
    pub identifier: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its content.
    pub content: String,
}

/// What the sender of a submission learns once it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Decided and on disk, also when the decision is a refusal.
    Decided,
    /// Decided before; on disk.
    Duplicate,
    /// The operator's command was decided: done, or fairly refused; on disk.
    Ruled(Result<(), CantDo>),
    /// Not decided; nothing is on disk.
    Refused(Refusal),
}

/// Why a message could not be decided (rules G1, G4, G6, G15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The message is at fault.
    Invalid(String),
    /// The sender is not wanted.
    Blocked(String),
    /// Too much at once; the same message may be sent again.
    Busy(String),
    /// The node is at fault; the same message may be sent again.
    Error(String),
}

impl Receipt {
    /// A message that cannot be taken as it is.
    pub(crate) fn invalid(why: impl Into<String>) -> Receipt {
        Receipt::Refused(Refusal::Invalid(why.into()))
    }

    /// A failure on our side.
    pub(crate) fn error(why: impl Into<String>) -> Receipt {
        Receipt::Refused(Refusal::Error(why.into()))
    }
}
