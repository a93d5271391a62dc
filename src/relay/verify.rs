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
        Self::so_many(cores, tasks)
    }

    fn so_many(threads: usize, tasks: TaskTracker) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(threads)),
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

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use super::*;

    #[tokio::test]
    async fn who_asked_first_is_served_first_and_no_more_at_once_than_there_are_threads() {
        let verifiers = Verifiers::so_many(1, TaskTracker::new());
        let (let_go, held) = mpsc::channel::<()>();
        let first = verifiers.check(move || held.recv().is_ok());
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut asked = Vec::new();
        for client in ["flooder", "trader", "flooder"] {
            let book = served.clone();
            asked.push(verifiers.check(move || book.lock().unwrap().push(client)));
            // Its request is on its way.
            tokio::task::yield_now().await;
        }
        assert!(served.lock().unwrap().is_empty());
        let_go.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        for check in asked {
            check.await.unwrap();
        }
        assert_eq!(*served.lock().unwrap(), ["flooder", "trader", "flooder"]);
    }

    #[tokio::test]
    async fn a_turn_is_given_back_although_nobody_waits_or_the_check_panics() {
        let tasks = TaskTracker::new();
        let verifiers = Verifiers::so_many(1, tasks.clone());
        drop(verifiers.check(|| ()));
        let panicked = verifiers.check(|| assert_eq!(1, 2, "as intended"));
        assert!(panicked.await.is_err());
        assert_eq!(verifiers.check(|| 7).await, Ok(7));
        tasks.close();
        tasks.wait().await;
    }
}
