//! Who takes part: trade keys, identities and where their messages go.

use nostr::key::PublicKey;
use serde::{Deserialize, Serialize};

use crate::time::UnixTime;
use crate::wire::Transport;

/// The key of one side of one order; all its messages go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TradeKey(pub PublicKey);

/// The key that carries a person's reputation; never shown to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentityKey(pub PublicKey);

/// Number of a trade key in its owner's key chain; 0 = unknown.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct TradeIndex(pub u32);

/// Whether a person trades with his reputation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Identity {
    /// Reputation mode: the identity key was proven.
    Known(IdentityKey),
    /// Full privacy: the trade key is all there is.
    FullPrivacy,
}

/// One side of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Where his messages go.
    pub trade_key: TradeKey,
    /// Who he is.
    pub identity: Identity,
    /// His own number for this trade key.
    pub trade_index: TradeIndex,
    /// How his messages travel.
    pub transport: Transport,
}

impl Party {
    /// Whether both are the same person, as far as can be known.
    #[must_use]
    pub fn is_same_person(&self, other: &Party) -> bool {
        self.trade_key == other.trade_key
            || matches!(self.identity, Identity::Known(_)) && self.identity == other.identity
    }
}

/// Who waits for the answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Trade key of the request.
    pub trade_key: TradeKey,
    /// Echoed exactly; none stays none.
    pub request_id: Option<u64>,
    /// How the request came, and so how its answer goes.
    pub transport: Transport,
    /// The index he wrote, which a solver is shown again (rule W8).
    #[serde(default)]
    pub trade_index: Option<TradeIndex>,
}

impl Asker {
    /// The asker as he is answered at `now`: his client has given up waiting
    /// after `until`, and takes a late answer only without a number (rule B8).
    #[must_use]
    pub fn until(&self, until: UnixTime, now: UnixTime) -> Asker {
        Asker {
            request_id: self.request_id.filter(|_| now <= until),
            ..self.clone()
        }
    }
}
