//! A message between a trader and the node.

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::action::Action;
use super::payload::Payload;
use super::words::words;

/// The longest message JSON the node sends, in bytes.
///
/// Any answer then stays under 65,536 bytes as an event on both transports, and
/// no plaintext needs NIP-44's extended length prefix, which clients cannot open.
pub const LONGEST_SENT_JSON: usize = 24_000;

words! {
    /// The one key around a message.
    Wrapper {
        /// Most messages.
        Order = "order",
        /// To and from solvers.
        Dispute = "dispute",
        /// Refusals.
        CantDo = "cant-do",
        /// Ratings of old clients.
        Rate = "rate",
        /// Plain text notices.
        Dm = "dm",
        /// Questions of a client that picks up its trades.
        Restore = "restore",
    }
}

/// A message, as written and read.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The key around it.
    pub wrapper: Wrapper,
    /// 2 in a kind 14, 1 in a gift wrap; nobody checks it.
    pub version: u8,
    /// The asker's number, echoed in the answer and null in every push.
    pub request_id: Option<u64>,
    /// The recipient's or sender's own trade index, where the action has one.
    pub trade_index: Option<i64>,
    /// Order or dispute it is about; left out when none.
    pub id: Option<Uuid>,
    /// What it wants or tells.
    pub action: Action,
    /// What it carries.
    pub payload: Option<Payload>,
}

impl Message {
    /// Writes the canonical JSON.
    ///
    /// # Panics
    ///
    /// Never: nothing in a message can fail to be written.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a message has only string keys and no failing types")
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = Body {
            version: self.version,
            request_id: self.request_id,
            trade_index: self.trade_index,
            id: self.id,
            action: self.action,
            payload: self.payload.as_ref(),
        };
        serializer.collect_map([(self.wrapper.as_str(), body)])
    }
}

/// The fields in the order of the wire.
#[derive(Serialize)]
struct Body<'a> {
    version: u8,
    request_id: Option<u64>,
    trade_index: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    action: Action,
    payload: Option<&'a Payload>,
}
