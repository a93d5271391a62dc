//! The loop that answers questions from the store.

use nostr::filter::Filter;
use storage::events::{Counted, Kept};
use tokio::sync::mpsc;

use super::Client;
use super::asking::{Question, Waiting};
use crate::relay::outgoing::Closing;
use crate::relay::subscriptions::Ticket;
use crate::relay::words;

impl Client<'_> {
    /// Answers one at a time: the stored part of one subscription is all that a connection may
    /// hold in memory, however slowly its client reads.
    pub(super) async fn answer_from_store(self, mut questions: mpsc::Receiver<Box<Waiting>>) {
        loop {
            let waiting = tokio::select! {
                () = self.outgoing.closing() => return,
                waiting = questions.recv() => waiting,
            };
            let Some(waiting) = waiting else { return };
            // Boxed, since it is much larger than this loop, which mostly waits.
            let answered = match waiting.question {
                Question::Stored(ticket) => Box::pin(self.answer(ticket)).await,
                Question::Count(name, filters) => Box::pin(self.answer_count(&name, filters)).await,
            };
            if let Err(Closing) = answered {
                return;
            }
        }
    }

    async fn answer(self, ticket: Ticket) -> Result<(), Closing> {
        if !ticket.is_open() {
            return Ok(());
        }
        let parts = &self.relay.inner.parts;
        let now = self.relay.now();
        let (filters, most_bytes) = (ticket.filters().to_vec(), parts.limits.answer_bytes);
        let may_answer = |filter: &Filter, kept: &Kept| {
            let visibility = &self.relay.inner.visibility;
            visibility.permits(self.session, filter, kept)
        };
        let found = parts
            .store
            .query_where(filters, now, most_bytes, may_answer)
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "a REQ could not be answered");
                if !self.reader.give_up(&ticket) {
                    return Ok(());
                }
                let answer = words::closed(ticket.name(), "error: the store could not be read");
                return self.outgoing.push(answer).await;
            }
        };
        let mut rest = found.as_slice();
        while !rest.is_empty() {
            if !ticket.is_open() {
                return Ok(());
            }
            rest = self.outgoing.push_events(&ticket, rest).await?;
        }
        // What follows goes as live events do, and would end a connection that is full of
        // the answer.
        self.outgoing.has_room().await?;
        self.relay.inner.subscriptions.go_live(&ticket, &found);
        Ok(())
    }

    /// Counts what a `REQ` without limits would show, each event once (NIP-45).
    async fn answer_count(self, name: &str, filters: Vec<Filter>) -> Result<(), Closing> {
        let parts = &self.relay.inner.parts;
        let counted = parts
            .store
            .count_where(filters, self.relay.now(), |filter, kept| {
                let visibility = &self.relay.inner.visibility;
                visibility.permits(self.session, filter, kept)
            })
            .await;
        let answer = match counted {
            Ok(Counted::Exactly(count)) => words::count(name, count),
            Ok(Counted::TooBroad) => {
                words::closed(name, "restricted: too many events to count, ask for fewer")
            }
            Err(error) => {
                tracing::error!(%error, "a COUNT could not be answered");
                words::closed(name, "error: the store could not be read")
            }
        };
        self.outgoing.push(answer).await
    }
}
