//! Whether Lightning can be used, asked again and again.

use std::sync::Arc;
use std::time::Duration;

use escrow_lightning::backend::NodeInfo;
use escrow_lightning::{LightningBackend, LnError};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::workers::switchboard::limited;

/// Time between two questions while all is well.
const CALM: Duration = Duration::from_secs(15);

/// Time between two questions while it is not.
const EAGER: Duration = Duration::from_secs(1);

/// Longest wait for an answer; none in that time means not ready.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What is known of the Lightning node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LightningHealth {
    /// Not asked yet.
    Unknown,
    /// Reachable.
    Reachable(NodeInfo),
    /// Not reachable, and why.
    Unreachable(String),
}

impl LightningHealth {
    /// Whether escrows can be opened and payments started.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            LightningHealth::Reachable(info) => info.synced_to_chain && info.active_channels > 0,
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => false,
        }
    }

    /// Height of the chain, when it is known.
    #[must_use]
    pub fn block_height(&self) -> Option<u32> {
        match self {
            LightningHealth::Reachable(info) => Some(info.block_height),
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => None,
        }
    }
}

/// Asks once.
pub(crate) async fn ask(backend: &dyn LightningBackend) -> LightningHealth {
    match limited(ANSWER_LIMIT, backend.info()).await {
        Ok(info) => LightningHealth::Reachable(info),
        Err(why) => LightningHealth::Unreachable(match why {
            LnError::Unavailable(why) | LnError::Ambiguous(why) => why,
            LnError::Auth(_) | LnError::IdentityChanged | LnError::Contract(_) => why.to_string(),
        }),
    }
}

/// Asks for ever; ends only with its task.
pub(crate) async fn watch(
    backend: Arc<dyn LightningBackend>,
    health: watch::Sender<LightningHealth>,
) {
    loop {
        let now = ask(backend.as_ref()).await;
        let pause = if now.is_ready() { CALM } else { EAGER };
        health.send_if_modified(|known| {
            let changed = *known != now;
            if changed && known.is_ready() != now.is_ready() {
                tracing::warn!(ready = now.is_ready(), "Lightning changed its readiness");
            }
            *known = now;
            changed
        });
        sleep(pause).await;
    }
}
