//! Whether an invoice has to name private channels, because there are no others by which
//! a payer could reach the node.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::limited;
use super::gate::Gate;
use super::rpc::lnrpc::ListChannelsRequest;
use crate::backend::LnResult;

/// Channels open and close rarely.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// A payer waits for his invoice meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen, and when.
#[derive(Default)]
pub(super) struct PrivateHints(Mutex<Option<(Instant, bool)>>);

impl PrivateHints {
    /// Whether all channels are private. When that cannot be found out, what was known
    /// last.
    pub(super) async fn are_needed(&self, gate: &Gate) -> bool {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = known.is_some_and(|(_, needed)| needed);
        if known.is_some_and(|(at, _)| at.elapsed() < GOOD_FOR) {
            return last;
        }
        match all_are_private(gate).await {
            Ok(needed) => {
                let seen = Some((Instant::now(), needed));
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
                needed
            }
            Err(why) => {
                tracing::debug!(%why, "the channels cannot be listed");
                last
            }
        }
    }
}

async fn all_are_private(gate: &Gate) -> LnResult<bool> {
    let line = gate.pass().await?;
    let mut client = line.lightning();
    let answer = limited(PATIENCE, client.list_channels(ListChannelsRequest {})).await?;
    let channels = answer.into_inner().channels;
    Ok(!channels.is_empty() && channels.iter().all(|channel| channel.private))
}
