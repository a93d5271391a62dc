//! Where signatures are checked.
//!
//! A signature costs more than everything else that the relay does with an event. So what
//! many clients send at once is checked on threads of its own, as many as the machine has
//! cores, and the connections take turns: a flood of junk fills its own turns, and neither
//! the threads that serve connections nor the turns of others.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, oneshot};
use tokio_util::task::TaskTracker;

/// Checks what connections bring, a batch of one after a batch of another.
pub(super) struct Verifiers {
    turns: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Verifiers {
    /// As many as the machine has cores.
    pub(super) fn new(tasks: TaskTracker) -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            turns: Arc::new(Semaphore::new(cores)),
            tasks,
        }
    }

    /// Checks a batch when its turn has come: who asked first is served first.
    ///
    /// It takes its turn and gives it back whether or not somebody waits for what is found,
    /// so nobody who has stopped listening keeps a turn from others. An error means that
    /// the check panicked.
    pub(super) fn check<Found>(
        &self,
        check: impl FnOnce() -> Found + Send + 'static,
    ) -> oneshot::Receiver<Found>
    where
        Found: Send + 'static,
    {
        let (turns, tasks) = (self.turns.clone(), self.tasks.clone());
        let (tell, found) = oneshot::channel();
        self.tasks.spawn(async move {
            let turn = turns.acquire_owned().await;
            tasks.spawn_blocking(move || {
                let _told = tell.send(check());
                drop(turn);
            });
        });
        found
    }
}
