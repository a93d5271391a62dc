//! Parts that work side by side and stop together.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{NodeError, Part};

/// Some parts of a node at work.
#[derive(Debug, Default)]
pub(super) struct Crew {
    stop: CancellationToken,
    working: Vec<Part>,
    tasks: JoinSet<(Part, Result<(), NodeError>)>,
}

impl Crew {
    /// Tells the parts to stop.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(super) fn hire<Work>(&mut self, part: Part, work: Work)
    where
        Work: Future<Output = Result<(), NodeError>> + Send + 'static,
    {
        self.working.push(part);
        self.tasks.spawn(async move { (part, work.await) });
    }

    /// Waits for a part that ends although it should not.
    pub(super) async fn failed(&mut self) -> NodeError {
        match self.tasks.join_next().await {
            Some(Ok((part, ended))) => {
                self.working.retain(|other| *other != part);
                ended.err().unwrap_or(NodeError::Deserted(part))
            }
            Some(Err(panic)) => panic.into(),
            None => std::future::pending().await,
        }
    }

    /// Tells all to stop and waits for them, the first error for the caller
    /// and every other for the log.
    pub(super) async fn dismiss(mut self, patience: Duration) -> Result<(), NodeError> {
        self.stop.cancel();
        let mut result = Ok(());
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                let ended = ended.map_err(NodeError::from).and_then(|(part, ended)| {
                    self.working.retain(|other| *other != part);
                    ended
                });
                if let Err(why) = ended {
                    tracing::error!(%why, "a part of the node failed while it was closing");
                    result = Err(why);
                }
            }
        };
        if timeout(patience, all).await.is_err() {
            self.tasks.shutdown().await;
            return Err(NodeError::Stuck(self.working));
        }
        result
    }
}
