//! The words of the protocol, and nothing else in the house knows them.
//!
//! A message is a [`Message`] inside an envelope of one of two [`Transport`]s.
//! Reading is strict, writing canonical: names, order of fields and tags, null
//! or absent are exactly what existing clients read.

pub mod action;
pub mod client;
pub mod dev_fee_event;
pub mod dispute_event;
pub mod envelope;
pub mod health_event;
pub mod info_event;
mod json;
pub mod message;
pub mod order_event;
pub mod payload;
pub mod rates_event;
pub mod rating_event;
pub mod read;
pub mod reason;
pub mod seal;
pub mod small_order;
pub mod status;
mod tags;
mod words;

use serde::{Deserialize, Serialize};

pub use action::Action;
pub use dev_fee_event::DevFeeEvent;
pub use dispute_event::DisputeEvent;
pub use envelope::{OpenError, Opened, Signatures, open};
pub use info_event::{InfoEvent, LightningInfo, Profile, relay_list_tags};
pub use message::{LONGEST_SENT_JSON, Message, Wrapper};
pub use order_event::{BookFiat, BookStatus, MakerRating, OrderEvent, Shown};
pub use payload::{
    BondPayoutRequest, BondResolution, BuyerMode, CashuLockProof, CashuSignature, PayerDeclaration,
    Payload, PaymentFailed, PaymentHistory, Peer, ReputationExportRequest, RestoreData,
    RestoredDispute, RestoredOrder, SolverDisputeInfo, UserInfo,
};
pub use rating_event::RatingEvent;
pub use read::{Fault, UnreadableMessage, read_message};
pub use reason::CantDo;
pub use seal::{Letter, SealError, Seed, seal, sign};
pub use small_order::SmallOrder;
pub use status::{DisputeStatus, Initiator, OrderKind, Status};

/// How a trader's messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Kind 14, authored and signed by the trade key (protocol version 2).
    Direct,
    /// Kind 1059, NIP-59 gift wrap (protocol version 1).
    GiftWrap,
}

impl Transport {
    /// The `version` that messages on this transport carry.
    #[must_use]
    pub fn version(self) -> u8 {
        match self {
            Transport::Direct => 2,
            Transport::GiftWrap => 1,
        }
    }
}
