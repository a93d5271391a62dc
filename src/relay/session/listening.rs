//! The loop that listens.
//!
//! It takes the frames that are there in batches, and has each batch judged (see
//! `judging`) while it listens for the next. What they say is followed in the order it
//! was said: a `REQ` behind an event waits until that event is judged.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use nostr::event::{Event, EventId};
use nostr::filter::Filter;
use relay_policy::{Arrival, BoxFuture, Receipt, Refusal, Verdict};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as SocketError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::Client;
use super::allowance::Allowance;
use super::asking::{Question, Waiting};
use super::frame_watch::FrameAbuse;
use super::judging::{Frame, Understood};
use super::wire::Incoming;
use crate::relay::outgoing::{Closing, Farewell};
use crate::relay::pace::Pace;
use crate::relay::saver::Turns;
use crate::relay::words::{self, Said};

/// Frames in one batch. Many make it cheap, few let others have their turn soon.
const BATCH_FRAMES: usize = 32;

/// Bytes after which a batch takes no further frame.
const BATCH_BYTES: usize = 64 * 1024;

/// Batches of one connection that may be judged at once.
const BATCHES_AT_ONCE: usize = 2;

/// The loop that listens.
pub(super) struct Ears<'a> {
    client: Client<'a>,
    to_answer: mpsc::Sender<Box<Waiting>>,
    /// As much room for waiting questions as for open subscriptions.
    room_to_wait: Arc<Semaphore>,
    judging: FuturesOrdered<oneshot::Receiver<Vec<Understood>>>,
    saves: Arc<Semaphore>,
    receipts: Arc<Semaphore>,
    turns: Turns,
    allowance: Allowance,
    pace: Pace,
}

/// What was heard at once.
#[derive(Default)]
struct Heard {
    frames: Vec<Frame>,
    /// Nothing more will be heard, for this reason.
    end: Option<Farewell>,
}

impl<'a> Ears<'a> {
    pub(super) fn new(client: Client<'a>, to_answer: mpsc::Sender<Box<Waiting>>) -> Self {
        let limits = client.relay.limits();
        Self {
            client,
            to_answer,
            room_to_wait: Arc::new(Semaphore::new(limits.open_values)),
            judging: FuturesOrdered::new(),
            saves: Arc::new(Semaphore::new(limits.saves_per_connection)),
            receipts: Arc::new(Semaphore::new(limits.receipts_per_connection)),
            turns: Turns::default(),
            allowance: Allowance::new(limits.frames),
            pace: Pace::default(),
        }
    }

    pub(super) async fn listen<Stream>(
        mut self,
        mut stream: WebSocketStream<Incoming<Stream>>,
        stop: CancellationToken,
    ) -> WebSocketStream<Incoming<Stream>>
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let outgoing = self.client.outgoing;
        // A message cut short by the end is not answered, so its sender will repeat it.
        let ended = tokio::select! {
            () = outgoing.closing() => Err(Closing),
            () = stop.cancelled() => Ok(Farewell::new(CloseCode::Away, "the relay is stopping")),
            ended = self.converse(&mut stream) => ended,
        };
        if let Ok(farewell) = ended {
            outgoing.close(farewell);
        }
        stream
    }

    /// Listens and follows to the end of the conversation.
    async fn converse<Stream>(
        &mut self,
        stream: &mut WebSocketStream<Incoming<Stream>>,
    ) -> Result<Farewell, Closing>
    where
        Stream: AsyncRead + AsyncWrite + Unpin,
    {
        let idle_after = self.client.relay.limits().idle_after;
        let mut end = None;
        loop {
            let may_hear = end.is_none() && self.judging.len() < BATCHES_AT_ONCE;
            // Most sessions are silent most of the time, and keep no room for what is needed
            // only while something is followed: it is boxed.
            tokio::select! {
                biased;
                Some(judged) = self.judging.next() => match judged {
                    Ok(batch) => Box::pin(self.follow(batch)).await?,
                    Err(_) => return Ok(Farewell::new(CloseCode::Error, "the relay failed")),
                },
                heard = hear(stream, &mut self.allowance, idle_after), if may_hear => {
                    end = heard.end;
                    Box::pin(self.judge(heard.frames)).await?;
                }
                else => return Ok(end.expect("the relay listens until there is an end")),
            }
        }
    }

    /// Has a batch judged. Many frames are a matter of turns; a single one with nothing
    /// before it is judged here and has its answer soonest.
    async fn judge(&mut self, frames: Vec<Frame>) -> Result<(), Closing> {
        let Client { relay, session, .. } = self.client;
        if let ([frame], true) = (frames.as_slice(), self.judging.is_empty()) {
            let began = Instant::now();
            let understood = frame.understand(relay, session);
            self.pace.rest_after(began).await;
            self.follow(vec![understood]).await?;
        } else if !frames.is_empty() {
            let (to, from) = (relay.clone(), session.clone());
            self.judging.push_back(relay.inner.verifiers.check(move || {
                let understood = frames.iter().map(|frame| frame.understand(&to, &from));
                understood.collect()
            }));
        }
        Ok(())
    }

    /// Follows what was said; events that are kept go to the disk together.
    async fn follow(&mut self, batch: Vec<Understood>) -> Result<(), Closing> {
        let mut kept = Vec::new();
        for Understood {
            said,
            size_bytes,
            refusal,
        } in batch
        {
            match said {
                Said::Event(event) => match self.decide(&event, size_bytes, refusal) {
                    Verdict::Keep => kept.push((*event, size_bytes)),
                    Verdict::Taken(receipt) => self.await_receipt(event.id, receipt).await?,
                    Verdict::Refuse(refusal) => {
                        let answer = words::refused(&event.id, &refusal);
                        self.client.refuse(&refusal, answer).await?;
                    }
                },
                Said::Req(name, filters) => {
                    self.keep(std::mem::take(&mut kept)).await?;
                    self.hear_req(&name.to_string(), filters, refusal).await?;
                }
                Said::Count(name, filters) => {
                    self.keep(std::mem::take(&mut kept)).await?;
                    self.hear_count(&name.to_string(), filters, refusal).await?;
                }
                Said::Auth(proof) => self.client.hear_proof(&proof, refusal).await?,
                Said::Close(name) => self.client.reader.close(&name.to_string()),
                Said::Unclear(answer) => self.say(answer).await?,
            }
        }
        self.keep(kept).await
    }

    fn decide(&self, event: &Event, size_bytes: usize, refusal: Option<Refusal>) -> Verdict {
        if let Some(refusal) = refusal {
            return Verdict::Refuse(refusal);
        }
        let (relay, session) = (self.client.relay, self.client.session);
        let arrival = Arrival {
            event,
            size_bytes,
            now: relay.now(),
        };
        relay.inner.parts.writing.after_signature(session, arrival)
    }

    /// Saves events in a task of their own, which lives on when the client leaves.
    async fn keep(&mut self, events: Vec<(Event, usize)>) -> Result<(), Closing> {
        if events.is_empty() {
            return Ok(());
        }
        let relay = self.client.relay.clone();
        let most = relay.limits().saves_per_connection;
        let count = u32::try_from(events.len().min(most)).unwrap_or(u32::MAX);
        let Ok(saving) = self.saves.clone().acquire_many_owned(count).await else {
            return Err(Closing);
        };
        let room = relay
            .inner
            .saver
            .room_for(events.iter().map(|it| it.1))
            .await;
        let events = events.into_iter().map(|it| it.0).collect();
        let (outgoing, turn) = (self.client.outgoing.clone(), self.turns.next());
        self.client.relay.inner.tasks.spawn(async move {
            let receipts = relay.inner.saver.keep(events, turn).await;
            // A client who does not read his answers keeps nobody else from saving.
            drop(room);
            for (id, receipt) in receipts {
                let answer = words::ok(&id, receipt.accepted, &receipt.message);
                // A client who has gone will send the event again if he cares.
                let _told = outgoing.push(answer).await;
            }
            drop(saving);
        });
        Ok(())
    }

    async fn say(&self, answer: String) -> Result<(), Closing> {
        self.client.outgoing.push(answer).await
    }

    async fn await_receipt(
        &mut self,
        id: EventId,
        receipt: BoxFuture<'static, Receipt>,
    ) -> Result<(), Closing> {
        let Ok(permit) = self.receipts.clone().acquire_owned().await else {
            return Err(Closing);
        };
        let outgoing = self.client.outgoing.clone();
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
        name: &str,
        filters: Vec<Filter>,
        refusal: Option<Refusal>,
    ) -> Result<(), Closing> {
        if let Some(refusal) = refusal {
            return self.say(words::closed(name, &refusal.to_string())).await;
        }
        let question = self.client.open(name, filters);
        if question.is_err() {
            // A refused REQ replaces an open one of its name all the same.
            self.client.reader.close(name);
        }
        self.ask(name, question).await
    }

    async fn hear_count(
        &mut self,
        name: &str,
        filters: Vec<Filter>,
        refusal: Option<Refusal>,
    ) -> Result<(), Closing> {
        let question = match refusal {
            Some(refusal) => Err(refusal),
            None => self.client.count(name, filters),
        };
        self.ask(name, question).await
    }

    async fn ask(&self, name: &str, question: Result<Question, Refusal>) -> Result<(), Closing> {
        let question = match question {
            Ok(question) => question,
            Err(refusal) => {
                let answer = words::closed(name, &refusal.to_string());
                return self.client.refuse(&refusal, answer).await;
            }
        };
        let values = question.values(self.client.relay.limits().open_values);
        let room = self.room_to_wait.clone().acquire_many_owned(values).await;
        // The channel has room for many from the beginning, so each is small.
        let waiting = Box::new(Waiting {
            question,
            _room: room.map_err(|_| Closing)?,
        });
        self.to_answer.send(waiting).await.map_err(|_| Closing)
    }
}

/// Waits for a frame, and takes as many more as are there already.
///
/// May be dropped while it waits: it has taken nothing yet.
async fn hear<Stream>(
    stream: &mut WebSocketStream<Incoming<Stream>>,
    allowance: &mut Allowance,
    idle_after: Duration,
) -> Heard
where
    Stream: AsyncRead + AsyncWrite + Unpin,
{
    let mut heard = Heard::default();
    let Ok(mut next) = timeout(idle_after, stream.next()).await else {
        heard.end = Some(Farewell::new(CloseCode::Policy, "idle: nothing was heard"));
        return heard;
    };
    let (mut messages, mut bytes) = (0, 0);
    loop {
        match next {
            Some(Ok(message)) => bytes += heard.add(message, allowance),
            Some(Err(error)) => heard.end = Some(farewell_after(&error)),
            None => heard.end = Some(Farewell::new(CloseCode::Normal, "")),
        }
        messages += 1;
        if heard.end.is_some() || messages >= BATCH_FRAMES || bytes >= BATCH_BYTES {
            return heard;
        }
        let ready = poll_fn(|context| Poll::Ready(stream.poll_next_unpin(context))).await;
        let Poll::Ready(message) = ready else {
            return heard;
        };
        next = message;
    }
}

impl Heard {
    /// Adds what a message says, and returns its size in bytes.
    fn add(&mut self, message: Message, allowance: &mut Allowance) -> usize {
        let size = message.len();
        match message {
            Message::Text(text) => self.frames.push(Frame::Text {
                text,
                in_time: allowance.take(),
            }),
            Message::Binary(_) => self.frames.push(Frame::Binary {
                in_time: allowance.take(),
            }),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => (),
            Message::Close(_) => self.end = Some(Farewell::new(CloseCode::Normal, "")),
        }
        size
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
    if let SocketError::Io(error) = error
        && let Some(abuse) = error
            .get_ref()
            .and_then(|it| it.downcast_ref::<FrameAbuse>())
    {
        return Farewell::new(CloseCode::Policy, abuse.to_string());
    }
    // Whatever else it is, nobody is listening any more.
    Farewell::new(CloseCode::Normal, "")
}
