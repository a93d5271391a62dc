//! The loop that answers `REQ`s from the store.

use tokio::sync::mpsc;

use super::Client;
use crate::relay::outgoing::Closing;
use crate::relay::subscriptions::Ticket;
use crate::relay::words;

impl Client<'_> {
    /// Answers one at a time: the stored part of one subscription is all that a connection may
    /// hold in memory, however slowly its client reads.
    pub(super) async fn answer_from_store(self, mut tickets: mpsc::Receiver<Ticket>) {
        loop {
            let ticket = tokio::select! {
                () = self.outgoing.closing() => return,
                ticket = tickets.recv() => ticket,
            };
            let Some(ticket) = ticket else { return };
            if let Err(Closing) = self.answer(ticket).await {
                return;
            }
        }
    }

    async fn answer(self, ticket: Ticket) -> Result<(), Closing> {
        let parts = &self.relay.inner.parts;
        let now = self.relay.now();
        let found = parts
            .store
            .query_where(ticket.filters().to_vec(), now, |filter, kept| {
                let visibility = &self.relay.inner.visibility;
                visibility.permits(self.session, filter, kept)
            })
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
        self.relay.inner.subscriptions.go_live(&ticket, &found);
        Ok(())
    }
}
