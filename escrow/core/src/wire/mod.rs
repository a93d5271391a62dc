//! The words of the protocol, and nothing else in the house knows them.

use serde::{Deserialize, Serialize};

/// How a trader's messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// Kind 14, authored and signed by the trade key (protocol version 2).
    Direct,
    /// Kind 1059, NIP-59 gift wrap (protocol version 1).
    GiftWrap,
}
