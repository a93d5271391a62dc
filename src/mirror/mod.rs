//! External relays: they get a copy of what the node publishes, and messages
//! to the node are taken from them.
//!
//! Each mirror has two lines, so that neither way waits for the other. What is
//! to be sent waits in the ledger until the mirror has acknowledged it
//! (`outward`); what comes goes through the gate and the intake of the
//! node's own relay (`inward`). Nothing of the node waits for a mirror.

mod answer;
mod doorstep;
mod flights;
mod inward;
pub(crate) mod line;
mod outward;
mod status;
mod tempo;

use std::sync::Arc;

use escrow_engine::EscrowHandle;
use nostr::key::Keys;
use nostr::types::RelayUrl;
use relay_policy::GateTerms;
use rustls::ClientConfig;
use storage::ledger::MirrorNo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::inward::Inward;
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
    /// What is asked of a message, as on the node's own relay.
    pub terms: GateTerms,
    /// How long a mirror is waited for.
    pub tempo: Tempo,
}

/// One mirror, as both of its lines see it.
#[derive(Clone)]
struct Post {
    mirror: MirrorNo,
    number: Number,
    escrow: EscrowHandle,
    standing: Standing,
}

/// Serves the mirrors until `stop` is cancelled, and tells by `standing` how
/// each of them is.
pub async fn run(parts: MirrorParts, standing: Standing, stop: CancellationToken) {
    run_with(parts, standing, Arc::new(web_tls()), stop).await;
}

async fn run_with(
    parts: MirrorParts,
    standing: Standing,
    tls: Arc<ClientConfig>,
    stop: CancellationToken,
) {
    let mut lines = JoinSet::new();
    for (mirror, url) in parts.escrow.mirrors().iter().zip(&parts.urls) {
        let post = Post {
            mirror: *mirror,
            number: Number {
                url: url.clone(),
                keys: parts.keys.clone(),
                tempo: parts.tempo,
                tls: tls.clone(),
            },
            escrow: parts.escrow.clone(),
            standing: standing.clone(),
        };
        if parts.inward {
            let inward = Inward::new(post.clone(), parts.terms);
            lines.spawn(inward.run(stop.clone()));
        }
        lines.spawn(Outward::new(post).run(stop.clone()));
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
    #[error("the escrow is stopping")]
    Stopping,
}

impl Post {
    fn connected(&self, way: Direction) {
        tracing::info!(url = %self.number.url, ?way, "connected to a mirror");
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
