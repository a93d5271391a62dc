//! The loop that listens.

use std::sync::Arc;

use futures_util::StreamExt;
use nostr::event::Event;
use nostr::filter::Filter;
use nostr::message::SubscriptionId;
use relay_policy::{Arrival, BoxFuture, Prefix, Receipt, Refusal, Verdict};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as SocketError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::Client;
use super::allowance::Allowance;
use super::wire::Incoming;
use crate::relay::Turns;
use crate::relay::outgoing::{Closing, Farewell};
use crate::relay::subscriptions::{Ticket, values_in};
use crate::relay::words::{self, Said};

/// Bytes of an `EVENT` frame that are not the event: `["EVENT",` and `]`.
const EVENT_FRAME_BYTES: usize = 10;

/// The loop that listens.
pub(super) struct Ears<'a> {
    client: Client<'a>,
    to_answer: mpsc::Sender<Ticket>,
    saves: Arc<Semaphore>,
    receipts: Arc<Semaphore>,
    turns: Turns,
    allowance: Allowance,
}

impl<'a> Ears<'a> {
    pub(super) fn new(client: Client<'a>, to_answer: mpsc::Sender<Ticket>) -> Self {
        let limits = client.relay.limits();
        Self {
            client,
            to_answer,
            saves: Arc::new(Semaphore::new(limits.saves_per_connection)),
            receipts: Arc::new(Semaphore::new(limits.receipts_per_connection)),
            turns: Turns::default(),
            allowance: Allowance::new(limits.frames),
        }
    }

    pub(super) async fn listen<Stream>(
        mut self,
        mut stream: WebSocketStream<Incoming<Stream>>,
        stop: CancellationToken,
    ) where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let outgoing = self.client.outgoing;
        loop {
            // A message cut short by the end is not answered, so its sender will repeat it.
            let outcome = tokio::select! {
                () = outgoing.closing() => break,
                () = stop.cancelled() => {
                    Err(Some(Farewell::new(CloseCode::Away, "the relay is stopping")))
                }
                outcome = self.hear_next(&mut stream) => outcome,
            };
            match outcome {
                Ok(()) => (),
                Err(Some(farewell)) => break outgoing.close(farewell),
                Err(None) => break,
            }
        }
        // A socket dropped with unread input is reset by the system, and the client would
        // lose the last words: read on until he has hung up, or had his time.
        let hang_up = async { while let Some(Ok(_)) = stream.next().await {} };
        let _in_time = timeout(self.client.relay.limits().closing_time, hang_up).await;
    }

    async fn hear_next<Stream>(
        &mut self,
        stream: &mut WebSocketStream<Incoming<Stream>>,
    ) -> Result<(), Option<Farewell>>
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        match timeout(self.client.relay.limits().idle_after, stream.next()).await {
            Ok(Some(Ok(message))) => self.hear(message).await,
            Ok(Some(Err(error))) => Err(Some(farewell_after(&error))),
            Ok(None) => Err(Some(Farewell::new(CloseCode::Normal, ""))),
            Err(_) => Err(Some(Farewell::new(
                CloseCode::Policy,
                "idle: nothing was heard",
            ))),
        }
    }

    /// Follows one message; an error ends the conversation, with a farewell or after one.
    async fn hear(&mut self, message: Message) -> Result<(), Option<Farewell>> {
        let outcome = match message {
            Message::Text(frame) => self.hear_frame(&frame).await,
            Message::Binary(_) => {
                let answer = words::notice("invalid: binary frames are not understood");
                self.client.outgoing.push(answer).await
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
            Message::Close(_) => return Err(Some(Farewell::new(CloseCode::Normal, ""))),
        };
        outcome.map_err(|Closing| None)
    }

    async fn hear_frame(&mut self, frame: &Utf8Bytes) -> Result<(), Closing> {
        let limit = self.client.relay.limits().frame_bytes;
        if frame.len() > limit {
            let size = frame.len();
            let answer = format!("invalid: a frame of {size} bytes is over {limit} bytes");
            return self.client.outgoing.push(words::notice(&answer)).await;
        }
        let in_time = self.allowance.take();
        match Said::read(frame) {
            Said::Event(event) if in_time => {
                let size_bytes = frame.len().saturating_sub(EVENT_FRAME_BYTES);
                self.hear_event(*event, size_bytes).await
            }
            Said::Event(event) => self.say(words::refused(&event.id, &too_fast())).await,
            Said::Req(name, filters) if in_time => self.hear_req(&name, filters).await,
            Said::Req(name, _) => {
                self.say(words::closed(&name.to_string(), &too_fast().to_string()))
                    .await
            }
            Said::Close(name) => {
                self.client.reader.close(&name.to_string());
                Ok(())
            }
            Said::Unclear(answer) => self.say(answer).await,
        }
    }

    async fn say(&self, answer: String) -> Result<(), Closing> {
        self.client.outgoing.push(answer).await
    }

    async fn hear_event(&mut self, event: Event, size_bytes: usize) -> Result<(), Closing> {
        match self.judge(&event, size_bytes) {
            Verdict::Refuse(refusal) => self.say(words::refused(&event.id, &refusal)).await,
            Verdict::Keep => self.keep(event).await,
            Verdict::Taken(receipt) => self.await_receipt(&event, receipt).await,
        }
    }

    fn judge(&self, event: &Event, size_bytes: usize) -> Verdict {
        let (relay, session) = (self.client.relay, self.client.session);
        let writing = &relay.inner.parts.writing;
        let arrival = Arrival {
            event,
            size_bytes,
            now: relay.now(),
        };
        if let Err(refusal) = writing.before_signature(session, arrival) {
            return Verdict::Refuse(refusal);
        }
        if !event.verify_id() {
            return Verdict::Refuse(Refusal::invalid("the id is not the hash of the event"));
        }
        if !event.verify_signature() {
            return Verdict::Refuse(Refusal::invalid("the signature is wrong"));
        }
        writing.after_signature(session, arrival)
    }

    /// Saves the event in a task of its own, which lives on when the client leaves.
    async fn keep(&mut self, event: Event) -> Result<(), Closing> {
        let Ok(permit) = self.saves.clone().acquire_owned().await else {
            return Err(Closing);
        };
        let (relay, outgoing) = (self.client.relay.clone(), self.client.outgoing.clone());
        let turn = self.turns.next();
        self.client.relay.inner.tasks.spawn(async move {
            let id = event.id;
            let receipt = relay.keep(event, turn).await;
            let answer = words::ok(&id, receipt.accepted, &receipt.message);
            // A client who has gone will send the event again if he cares.
            let _told = outgoing.push(answer).await;
            drop(permit);
        });
        Ok(())
    }

    async fn await_receipt(
        &mut self,
        event: &Event,
        receipt: BoxFuture<'static, Receipt>,
    ) -> Result<(), Closing> {
        let Ok(permit) = self.receipts.clone().acquire_owned().await else {
            return Err(Closing);
        };
        let (id, outgoing) = (event.id, self.client.outgoing.clone());
        self.client.relay.inner.tasks.spawn(async move {
            let receipt = receipt.await;
            let answer = words::ok(&id, receipt.accepted, &receipt.message);
            let _told = outgoing.push(answer).await;
            drop(permit);
        });
        Ok(())
    }

    async fn hear_req(
        &mut self,
        name: &SubscriptionId,
        filters: Vec<Filter>,
    ) -> Result<(), Closing> {
        let name = name.to_string();
        match self.admit(&name, filters) {
            Ok(ticket) => self.to_answer.send(ticket).await.map_err(|_| Closing),
            Err(refusal) => {
                // A refused REQ replaces an open one of its name all the same.
                self.client.reader.close(&name);
                self.say(words::closed(&name, &refusal.to_string())).await
            }
        }
    }

    fn admit(&self, name: &str, filters: Vec<Filter>) -> Result<Ticket, Refusal> {
        let limits = self.client.relay.limits();
        let chars = name.chars().count();
        if chars == 0 || chars > limits.subscription_id_chars {
            return Err(Refusal::invalid("a subscription id has 1 to 64 characters"));
        }
        if filters.len() > limits.filters_per_req {
            let most = limits.filters_per_req;
            return Err(Refusal::invalid(format!("over {most} filters in one REQ")));
        }
        if filters
            .iter()
            .any(|filter| values_in(filter) > limits.values_per_filter)
        {
            let most = limits.values_per_filter;
            return Err(Refusal::invalid(format!(
                "over {most} values in one filter"
            )));
        }
        if filters.iter().any(|filter| filter.search.is_some()) {
            return Err(Refusal::invalid("search is not supported"));
        }
        self.client
            .relay
            .inner
            .parts
            .reading
            .admit(self.client.session, &filters)?;
        let filters = filters
            .into_iter()
            .map(|filter| within(filter, limits.max_limit))
            .collect();
        self.client.reader.open(name.to_owned(), filters)
    }
}

fn farewell_after(error: &SocketError) -> Farewell {
    if let SocketError::Capacity(CapacityError::MessageTooLong { size, max_size }) = error {
        let reason = format!("a message of {size} bytes is over {max_size} bytes");
        return Farewell::new(CloseCode::Size, reason);
    }
    if let SocketError::Utf8(_) = error {
        return Farewell::new(CloseCode::Invalid, "a text frame is not UTF-8");
    }
    if let SocketError::Protocol(error) = error {
        return Farewell::new(CloseCode::Protocol, error.to_string());
    }
    // Whatever else it is, nobody is listening any more.
    Farewell::new(CloseCode::Normal, "")
}

fn within(filter: Filter, max_limit: usize) -> Filter {
    Filter {
        limit: Some(filter.limit.unwrap_or(max_limit).min(max_limit)),
        ..filter
    }
}

fn too_fast() -> Refusal {
    Refusal::new(
        Prefix::RateLimited,
        "too many frames, try again in a moment",
    )
}
