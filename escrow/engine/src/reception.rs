//! Answers what changes nothing, beside the writer: from a snapshot, without a
//! commit, straight to the event store.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use escrow_core::command::{Ask, Request};
use escrow_core::freshness::{self, Subject};
use escrow_core::letters;
use escrow_core::notice::Letter;
use escrow_core::questions::Question;
use escrow_core::{UnixTime, wire};
use nostr::event::Event;
use nostr::key::Keys;
use storage::ledger::Views;

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::letter_times::LetterTimes;
use crate::questions;
use crate::submission::{Path, Receipt, TraderMessage};
use crate::workers::courier::Publisher;

/// Answered questions that are remembered, so that a copy is not answered again.
const REMEMBERED: usize = 4_096;

/// What it takes to answer.
pub(crate) struct Reception {
    pub(crate) keys: Keys,
    /// Seconds that relays may keep an answer.
    pub(crate) letter_secs: u64,
    /// Orders that one question may name.
    pub(crate) most_orders: usize,
    pub(crate) views: Views,
    /// Weak, because the publisher's relay holds the way into the escrow, and so
    /// this: neither would ever end.
    pub(crate) publisher: Weak<dyn Publisher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) letter_times: LetterTimes,
    pub(crate) memory: Mutex<Memory>,
}

/// What changes from one answer to the next.
pub(crate) struct Memory {
    entropy: Entropy,
    answered: BTreeSet<[u8; 32]>,
    in_order: VecDeque<[u8; 32]>,
}

impl Memory {
    pub(crate) fn new(entropy: Entropy) -> Memory {
        Memory {
            entropy,
            answered: BTreeSet::new(),
            in_order: VecDeque::new(),
        }
    }

    /// Remembers a message; false if it was answered before.
    fn is_new(&mut self, message: &TraderMessage) -> bool {
        let is_new = self.answered.insert(message.inner);
        if is_new {
            self.in_order.push_back(message.inner);
        }
        if self.in_order.len() > REMEMBERED
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.answered.remove(&oldest);
        }
        is_new
    }

    fn forget(&mut self, message: &TraderMessage) {
        self.answered.remove(&message.inner);
        self.in_order.retain(|inner| *inner != message.inner);
    }
}

impl Reception {
    /// Answers a question that came through the node's own relay; none if the
    /// message is something else. What came through a mirror goes to the
    /// writer, because its answer has to wait for that mirror.
    pub(crate) async fn answer(&self, message: &TraderMessage) -> Option<Receipt> {
        match (&message.request.ask, message.path) {
            (Ask::Question(question), Path::OwnRelay) => {
                Some(self.answer_once(message, question).await)
            }
            _ => None,
        }
    }

    async fn answer_once(&self, message: &TraderMessage, question: &Question) -> Receipt {
        let (request, now) = (&message.request, self.clock.now());
        if let Err(stale) = freshness::check(request.signed_at, now, Subject::Fresh) {
            return Receipt::invalid(stale.to_string());
        }
        if !self.memory().is_new(message) {
            return Receipt::Duplicate;
        }
        match self.tell(request, question, now).await {
            Ok(()) => Receipt::Decided,
            Err(why) => {
                tracing::error!(
                    why,
                    question = request.ask.name(),
                    "a question has no answer"
                );
                self.memory().forget(message);
                Receipt::error("the node could not answer; please ask again")
            }
        }
    }

    async fn tell(
        &self,
        request: &Request,
        question: &Question,
        now: UnixTime,
    ) -> Result<(), String> {
        let view = self.views.view().map_err(|why| why.to_string())?;
        let answer = questions::answer(&view, request, question, (self.most_orders, now));
        let letter = answer
            .map_err(|why| why.to_string())?
            .unwrap_or_else(|why| Letter::refusal(&request.asker(), request.order, why));
        let last = view
            .letter_stamp(letter.to)
            .map_err(|why| why.to_string())?;
        drop(view);
        let stamp = self.letter_times.next(letter.to, last, now);
        let event = self.sealed(&letter, stamp)?;
        let publisher = self.publisher.upgrade().ok_or("the escrow has ended")?;
        let told = publisher.publish(vec![event]).await;
        told.map_err(|why| why.to_string())
    }

    fn sealed(&self, letter: &Letter, stamp: UnixTime) -> Result<Event, String> {
        let envelope = wire::Letter {
            message_json: &letters::message(letter).to_json(),
            to: letter.to.0,
            transport: letter.transport,
            created_at: stamp,
            expiration: Some(stamp.plus(self.letter_secs)),
        };
        let seed = self.memory().entropy.seed();
        wire::seal(&envelope, &self.keys, &seed).map_err(|why| why.to_string())
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
