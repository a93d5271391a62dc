//! External relays: they get a copy of what the node publishes, and messages
//! to the node are taken from them.
//!
//! Each mirror has two lines, so that neither way waits for the other. What is
//! to be sent waits in the ledger until the mirror has acknowledged it
//! (`outward`); what comes goes through the gate and the intake of the
//! node's own relay (`inward`). Nothing of the node waits for a mirror.

mod answer;
mod doorstep;
mod fill;
mod flights;
mod held;
mod in_hand;
mod inward;
mod kept_line;
pub(crate) mod line;
mod outward;
mod status;
mod tempo;

use std::sync::Arc;
use std::time::Duration;

use escrow_engine::EscrowHandle;
use nostr::key::Keys;
use nostr::types::RelayUrl;
use relay_policy::GateTerms;
use rustls::ClientConfig;
use storage::events::{EventStore, EventStoreError};
use storage::ledger::MirrorNo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::inward::Inward;
use self::kept_line::KeptLine;
use self::line::{LineError, Number};
use self::outward::Outward;
pub use self::status::{Direction, LineState, MirrorStatus, PATH, Standing, routes};
pub use self::tempo::Tempo;
use crate::https::web_tls;

/// What the mirrors of a node are made of.
pub struct MirrorParts {
    /// Their addresses, in the order in which the escrow knows them.
    pub urls: Vec<RelayUrl>,
    /// Whether messages to the node are taken from them.
    pub inward: bool,
    /// The node's key, proven to mirrors that ask for it.
    pub keys: Keys,
    /// Whose events they carry.
    pub escrow: EscrowHandle,
    /// What was published before a mirror was listed.
    pub store: Arc<EventStore>,
    /// What is asked of a message, as on the node's own relay.
    pub terms: GateTerms,
    /// How they are called.
    pub calling: Calling,
}

/// How mirrors are called.
#[derive(Clone, Debug)]
pub struct Calling {
    /// How long they are waited for.
    pub tempo: Tempo,
    /// Whose certificates are trusted where the line is encrypted.
    pub tls: Arc<ClientConfig>,
}

impl Calling {
    /// With the usual times, save this longest wait between two tries, and the
    /// usual roots of the web.
    #[must_use]
    pub fn usual(longest_wait: Duration) -> Calling {
        Calling {
            tempo: Tempo::with_longest_wait(longest_wait),
            tls: Arc::new(web_tls()),
        }
    }
}

/// One mirror, as both of its lines see it.
#[derive(Clone)]
struct Post {
    mirror: MirrorNo,
    number: Number,
    escrow: EscrowHandle,
    store: Arc<EventStore>,
    standing: Standing,
}

/// Serves the mirrors until `stop` is cancelled, and tells by `standing` how
/// each of them is.
pub async fn run(parts: MirrorParts, standing: Standing, stop: CancellationToken) {
    let mut lines = JoinSet::new();
    for (mirror, url) in parts.escrow.mirrors().iter().zip(&parts.urls) {
        let post = Post {
            mirror: *mirror,
            number: Number {
                url: url.clone(),
                keys: parts.keys.clone(),
                calling: parts.calling.clone(),
            },
            escrow: parts.escrow.clone(),
            store: parts.store.clone(),
            standing: standing.clone(),
        };
        if parts.inward {
            let inward = Inward::new(post.clone(), parts.terms);
            let kept = KeptLine::new(post.clone(), Direction::Inward);
            lines.spawn(kept.keep_up(inward, stop.clone()));
        }
        let kept = KeptLine::new(post.clone(), Direction::Outward);
        lines.spawn(kept.keep_up(Outward::new(post), stop.clone()));
    }
    while let Some(ended) = lines.join_next().await {
        if let Err(panic) = ended {
            tracing::error!(%panic, "a line to a mirror failed");
        }
    }
    // Without mirrors there is nothing to do until the end.
    stop.cancelled().await;
}

/// Why a conversation with a mirror has ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("does not acknowledge what is sent")]
    Unheard,
    #[error("does not let the node read: {0}")]
    Unread(String),
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] storage::ledger::StorageError),
    #[error("the event store cannot be read: {0}")]
    Store(#[from] EventStoreError),
    #[error("the escrow is stopping")]
    Stopping,
}

impl Post {
    fn connected(&self, way: Direction) {
        tracing::debug!(url = %self.number.url, ?way, "a mirror answers the call");
        self.standing.called(self.mirror, way);
    }

    /// The line does what it is for.
    fn works(&self, way: Direction) {
        tracing::info!(url = %self.number.url, ?way, "a line to a mirror works");
        self.standing.up(self.mirror, way);
    }

    /// Says once that a line is lost; the tries that follow are worth less.
    fn lost(&self, way: Direction, why: &Ended) {
        let url = &self.number.url;
        if self.standing.away(self.mirror, way, why.to_string()) {
            tracing::warn!(%url, ?way, %why, "a mirror is lost; it is called again");
        } else {
            tracing::debug!(%url, ?way, %why, "a mirror is still away");
        }
    }
}
