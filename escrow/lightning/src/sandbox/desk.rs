//! The desk where every request is served in turn, with a clock on the wall
//! and a journal that is synced before anybody is answered.

use std::sync::Arc;

use escrow_core::UnixTime;
use tokio::sync::mpsc;

use super::acts::{Act, Command, Tick};
use super::journal::{self, Damaged, Journal, Line};
use super::watchers::Watchers;
use super::world::{Change, Setup, World};
use crate::backend::{LnError, LnResult};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// Requests answered with one sync of the journal.
const BATCH: usize = 512;
/// A journal longer than this is written anew when it is opened.
const MAX_LATER_LINES: usize = 1_000;
/// Works at the desk, and leaves an answer to be given after the sync.
pub(super) type Request = Box<dyn FnOnce(&mut Desk) -> Answer + Send>;
pub(super) type Answer = Box<dyn FnOnce(&LnResult<()>) + Send>;

/// Serves requests until the last sender is gone. All that wait are committed
/// together, so that one sync pays for many.
pub(super) fn serve(mut desk: Desk, mut waiting: mpsc::Receiver<Request>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        desk.serve(batch);
    }
}

/// Whatever belongs to the world, in one pair of hands.
pub(super) struct Desk {
    pub(super) world: World,
    pub(super) watchers: Watchers,
    clock: Clock,
    journal: Option<Box<dyn Journal>>,
    /// A journal that failed once is not trusted again: nobody knows what it
    /// holds until it is opened anew.
    broken: bool,
    /// Done since the last commit.
    done: Vec<(UnixTime, Command)>,
    changes: Vec<Change>,
}

impl Desk {
    pub(super) fn new(world: World, journal: Option<Box<dyn Journal>>, clock: Clock) -> Self {
        let watchers = Watchers::new(world.height());
        let (done, changes) = (Vec::new(), Vec::new());
        Desk {
            world,
            watchers,
            clock,
            journal,
            broken: false,
            done,
            changes,
        }
    }

    /// Does something to the world and notes it for the journal.
    pub(super) fn apply<A: Act>(&mut self, act: A) -> A::Reply {
        let command = act.clone().into();
        let applied = self.world.apply((self.clock)(), act);
        self.done.push((self.world.now(), command));
        self.changes.extend(applied.changes);
        applied.reply
    }

    pub(super) fn serve(&mut self, batch: Vec<Request>) {
        self.tick();
        let answers: Vec<Answer> = batch.into_iter().map(|request| request(self)).collect();
        self.tick();
        let committed = self.commit();
        for answer in answers {
            answer(&committed);
        }
    }

    /// Lets time pass; worth a line only if something happened.
    fn tick(&mut self) {
        let applied = self.world.apply((self.clock)(), Tick);
        if applied.time_worked {
            self.done.push((self.world.now(), Tick.into()));
            self.changes.extend(applied.changes);
        }
    }

    /// Makes what was done durable, then tells the watchers.
    fn commit(&mut self) -> LnResult<()> {
        let done = std::mem::take(&mut self.done);
        let changes = std::mem::take(&mut self.changes);
        if self.broken {
            return Err(LnError::Unavailable("the sandbox's journal failed".into()));
        }
        if let Some(journal) = &mut self.journal
            && !done.is_empty()
            && let Err(error) = journal.append(&journal::encode(&Line::Done(done)))
        {
            self.broken = true;
            self.watchers.end();
            tracing::error!(%error, "the sandbox's journal cannot be written; restart to go on");
            return Err(LnError::Ambiguous("the sandbox's journal failed".into()));
        }
        for change in changes {
            self.watchers.tell(change);
        }
        Ok(())
    }
}

/// Why a sandbox did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read or written.
    #[error("the sandbox's journal cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// The file is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

pub(super) fn open_world(
    journal: &mut dyn Journal,
    setup: &Setup,
    now: UnixTime,
) -> Result<World, OpenError> {
    let bytes = journal.load()?;
    let recalled = journal::recall(&bytes)?;
    match recalled.world {
        Some(world) if recalled.later_lines <= MAX_LATER_LINES && !recalled.torn => Ok(world),
        kept => {
            let world = kept.unwrap_or_else(|| World::new(setup, now));
            let line = Line::World(Box::new(world.clone()));
            journal.replace(&journal::encode(&line))?;
            Ok(world)
        }
    }
}
