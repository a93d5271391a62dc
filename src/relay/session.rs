//! One client, from the handshake to the farewell.
//!
//! Three loops share a connection: one listens, one sends what waits, one answers `REQ`s
//! from the store, one after the other. Events are saved by tasks of their own, so that
//! neither a slow disk nor a vanished client stops anything half-way.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use nostr::event::Event;
use nostr::filter::Filter;
use nostr::message::SubscriptionId;
use relay_policy::{Arrival, BoxFuture, Prefix, Rate, Receipt, Refusal, Session, Verdict};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as SocketError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use super::outgoing::{Closing, Farewell, Next, Outgoing};
use super::subscriptions::{Reader, Ticket};
use super::words::{self, Said};
use super::{Relay, Turns};

/// Bytes of an `EVENT` frame that are not the event: `["EVENT",` and `]`.
const EVENT_FRAME_BYTES: usize = 10;

/// Serves one client until the connection is over.
pub(super) async fn serve<Stream>(
    relay: &Relay,
    socket: WebSocketStream<Stream>,
    session: Session,
    stop: CancellationToken,
) where
    Stream: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limits = relay.limits();
    let outgoing = Arc::new(Outgoing::new(limits.waiting_bytes));
    let subscriptions = &relay.inner.subscriptions;
    let reader = subscriptions.join(session.clone(), outgoing.clone(), limits.waiting_bytes);
    let (to_answer, answers) = mpsc::channel(limits.subscriptions.max(1));
    let (sink, stream) = socket.split();
    let client = Client {
        relay,
        session: &session,
        outgoing: &outgoing,
        reader: &reader,
    };
    let ears = Ears {
        client,
        to_answer,
        saves: Arc::new(Semaphore::new(limits.saves_per_connection)),
        receipts: Arc::new(Semaphore::new(limits.receipts_per_connection)),
        turns: Turns::default(),
        allowance: Allowance::new(limits.frames),
    };
    tokio::join!(
        ears.listen(stream, stop),
        client.answer_from_store(answers),
        client.send(sink)
    );
    subscriptions.leave(&session);
}

/// What the three loops share.
#[derive(Clone, Copy)]
struct Client<'a> {
    relay: &'a Relay,
    session: &'a Session,
    outgoing: &'a Arc<Outgoing>,
    reader: &'a Arc<Reader>,
}

/// The loop that listens.
struct Ears<'a> {
    client: Client<'a>,
    to_answer: mpsc::Sender<Ticket>,
    saves: Arc<Semaphore>,
    receipts: Arc<Semaphore>,
    turns: Turns,
    allowance: Allowance,
}

impl Ears<'_> {
    async fn listen<Stream>(
        mut self,
        mut stream: SplitStream<WebSocketStream<Stream>>,
        stop: CancellationToken,
    ) where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = *self.client.relay.limits();
        let outgoing = self.client.outgoing;
        loop {
            let heard = tokio::select! {
                () = outgoing.closing() => break,
                () = stop.cancelled() => {
                    break outgoing.close(Farewell::new(CloseCode::Away, "the relay is stopping"));
                }
                heard = timeout(limits.idle_after, stream.next()) => heard,
            };
            let outcome = match heard {
                Ok(Some(Ok(message))) => self.hear(message).await,
                Ok(Some(Err(error))) => Err(Some(farewell_after(&error))),
                Ok(None) => Err(Some(Farewell::new(CloseCode::Normal, ""))),
                Err(_) => Err(Some(Farewell::new(
                    CloseCode::Policy,
                    "idle: nothing was heard",
                ))),
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
        let _in_time = timeout(limits.closing_time, hang_up).await;
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
        self.client
            .reader
            .open(name.to_owned(), filters, limits.subscriptions)
            .map_err(|_| {
                let most = limits.subscriptions;
                Refusal::new(
                    Prefix::RateLimited,
                    format!("over {most} open subscriptions"),
                )
            })
    }
}

impl Client<'_> {
    /// The loop that answers `REQ`s from the store.
    ///
    /// One at a time: the stored part of one subscription is all that a connection may
    /// hold in memory, however slowly its client reads.
    async fn answer_from_store(self, mut tickets: mpsc::Receiver<Ticket>) {
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
            .query_where(ticket.filters.clone(), now, |filter, event| {
                parts.reading.shows(self.session, filter, event, now)
            })
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "a REQ could not be answered");
                self.reader.close(&ticket.name);
                let answer = words::closed(&ticket.name, "error: the store could not be read");
                return self.outgoing.push(answer).await;
            }
        };
        let sent: HashSet<_> = found.iter().map(|event| event.id).collect();
        for event in found {
            if !self.reader.is_open(&ticket) {
                return Ok(());
            }
            self.outgoing
                .push(words::event(&ticket.name, &event.as_json()))
                .await?;
        }
        self.relay
            .inner
            .subscriptions
            .go_live(self.reader, &ticket, &sent);
        Ok(())
    }

    /// The loop that sends what waits.
    async fn send<Stream>(self, mut sink: SplitSink<WebSocketStream<Stream>, Message>)
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let limits = self.relay.limits();
        let first_ping = Instant::now() + limits.ping_every;
        let mut pings = interval_at(first_ping, limits.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let farewell = loop {
            let sending = tokio::select! {
                next = self.outgoing.next() => match next {
                    Next::Send(frames) => self.send_frames(&mut sink, frames).await,
                    Next::Close(farewell) => break farewell,
                },
                _ = pings.tick() => self.send_one(&mut sink, Message::Ping(Bytes::new())).await,
            };
            if let Err(farewell) = sending {
                self.outgoing.close(farewell.clone());
                break farewell;
            }
        };
        let _in_time = timeout(limits.closing_time, say_farewell(&mut sink, farewell)).await;
    }

    async fn send_frames<Stream>(
        self,
        sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
        frames: Vec<Utf8Bytes>,
    ) -> Result<(), Farewell>
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
        let sending = async {
            for frame in frames {
                sink.feed(Message::Text(frame)).await?;
            }
            sink.flush().await
        };
        self.within_time(sending).await?;
        self.outgoing.sent(bytes);
        Ok(())
    }

    async fn send_one<Stream>(
        self,
        sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
        message: Message,
    ) -> Result<(), Farewell>
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        self.within_time(sink.send(message)).await
    }

    /// Gives a write the idle time, and only the closing time once the connection closes.
    async fn within_time(
        self,
        sending: impl Future<Output = Result<(), SocketError>>,
    ) -> Result<(), Farewell> {
        let limits = self.relay.limits();
        let out_of_time = async {
            tokio::select! {
                () = sleep(limits.idle_after) => (),
                () = async {
                    self.outgoing.closing().await;
                    sleep(limits.closing_time).await;
                } => (),
            }
        };
        tokio::select! {
            sent = sending => sent.map_err(|_| Farewell::new(CloseCode::Normal, "")),
            () = out_of_time => Err(Farewell::new(CloseCode::Policy, "too slow: nothing was read")),
        }
    }
}

async fn say_farewell<Stream>(
    sink: &mut SplitSink<WebSocketStream<Stream>, Message>,
    farewell: Farewell,
) where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let Farewell { code, reason } = farewell;
    if !reason.is_empty() {
        // Many clients do not show the reason of a close frame, but all show notices.
        let notice = words::notice(&format!("closing: {reason}"));
        let _told = sink.feed(Message::Text(notice.into())).await;
    }
    let _told = sink
        .send(Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        })))
        .await;
    let _closed = sink.close().await;
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

fn values_in(filter: &Filter) -> usize {
    let count = |length: Option<usize>| length.unwrap_or(0);
    let tags: usize = filter
        .generic_tags
        .values()
        .map(std::collections::BTreeSet::len)
        .sum();
    count(filter.ids.as_ref().map(std::collections::BTreeSet::len))
        + count(filter.authors.as_ref().map(std::collections::BTreeSet::len))
        + count(filter.kinds.as_ref().map(std::collections::BTreeSet::len))
        + tags
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

/// How many frames a client may still send.
struct Allowance {
    rate: Option<Rate>,
    left: u32,
    filled_at: Instant,
}

impl Allowance {
    fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            left: rate.map_or(0, |rate| rate.burst),
            filled_at: Instant::now(),
        }
    }

    /// Takes one frame from the allowance, and tells whether there was one.
    fn take(&mut self) -> bool {
        let Some(rate) = self.rate else { return true };
        let seconds = u32::try_from(self.filled_at.elapsed().as_secs()).unwrap_or(u32::MAX);
        if seconds > 0 {
            let earned = seconds.saturating_mul(rate.per_second);
            self.left = self.left.saturating_add(earned).min(rate.burst);
            self.filled_at = Instant::now();
        }
        let paid = self.left.checked_sub(1);
        self.left = paid.unwrap_or(0);
        paid.is_some()
    }
}
