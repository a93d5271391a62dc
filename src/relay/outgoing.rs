//! What waits to be sent to one client.
//!
//! Nothing that a client was promised is ever skipped. Answers wait for room, which in
//! turn stops the reading of his frames; live events do not wait for anybody: a client
//! who lets more than the cap pile up, or more than his share when much waits for all, is
//! disconnected with a reason.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use storage::events::Kept;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::frame::Frame;
use super::subscriptions::Ticket;
use super::waiting_room::Seat;

/// Answers fill at most this part of the cap, and of a share in what waits for all, so that
/// a client who reads a long history at his own pace is not taken for one who has stopped
/// reading.
const PART_FOR_ANSWERS: usize = 4;

/// Frames are taken in batches that end with the frame that reaches so many bytes: enough
/// to be worth a system call, and little enough to be finished by a slow client who is
/// about to be told why he must go.
const BATCH_BYTES: usize = 64 * 1024;

/// The connection is closing; nothing more will be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closing;

/// Why a connection is closed, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) code: CloseCode,
    pub(super) reason: String,
}

impl Farewell {
    pub(super) fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

/// What the writer shall do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send these frames, then ask again.
    Send(VecDeque<Frame>),
    /// Say farewell and close.
    Close(Farewell),
}

/// What becomes of frames that wait when a connection begins to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsent {
    Sent,
    Dropped,
}

/// The queue between everybody who talks to a client and the one who writes.
#[derive(Debug)]
pub(super) struct Outgoing {
    waiting: Mutex<Waiting>,
    cap: usize,
    something_to_do: Notify,
    room: Notify,
    closing: Notify,
}

#[derive(Debug)]
struct Waiting {
    frames: VecDeque<Frame>,
    seat: Seat,
    farewell: Option<Farewell>,
}

impl Outgoing {
    /// Holds at most `cap` bytes, which count as waiting on this seat.
    pub(super) fn new(cap: usize, seat: Seat) -> Self {
        let waiting = Waiting {
            frames: VecDeque::new(),
            seat,
            farewell: None,
        };
        Self {
            waiting: Mutex::new(waiting),
            cap,
            something_to_do: Notify::new(),
            room: Notify::new(),
            closing: Notify::new(),
        }
    }

    /// Queues a live frame, or begins to close the connection when it is one too many.
    pub(super) fn push_live(&self, frame: Frame) {
        let mut waiting = self.lock();
        if waiting.farewell.is_some() {
            return;
        }
        if waiting.seat.bytes().saturating_add(frame.len()) > self.cap {
            drop(waiting);
            return self.overflow();
        }
        if waiting.seat.is_over_its_share(1) {
            let bytes = waiting.seat.bytes();
            drop(waiting);
            let why = format!("{bytes} bytes were waiting for you, and too many for all clients");
            return self.too_slow(&why);
        }
        waiting.push(frame);
        drop(waiting);
        self.something_to_do.notify_one();
    }

    /// Begins to close the connection because its client does not keep up.
    pub(super) fn overflow(&self) {
        self.too_slow(&format!("over {} bytes were waiting for you", self.cap));
    }

    fn too_slow(&self, why: &str) {
        let farewell = Farewell::new(CloseCode::Policy, format!("too slow: {why}"));
        self.begin_to_close(farewell, Unsent::Dropped);
    }

    /// Queues an answer once there is room for it.
    pub(super) async fn push(&self, words: String) -> Result<(), Closing> {
        self.room_for_answers().await?.push(words.into());
        self.something_to_do.notify_one();
        Ok(())
    }

    /// Waits until there is room for an answer.
    pub(super) async fn has_room(&self) -> Result<(), Closing> {
        self.room_for_answers().await.map(drop)
    }

    /// Queues frames of events once there is room, as many as there is room for and at
    /// least one, and returns the others.
    pub(super) async fn push_events<'a>(
        &self,
        ticket: &Ticket,
        events: &'a [Arc<Kept>],
    ) -> Result<&'a [Arc<Kept>], Closing> {
        let mut waiting = self.room_for_answers().await?;
        let mut rest = events;
        while self.has_room_for_answers(&waiting)
            && let [next, others @ ..] = rest
        {
            waiting.push(ticket.frame(next.clone()));
            rest = others;
        }
        drop(waiting);
        self.something_to_do.notify_one();
        Ok(rest)
    }

    async fn room_for_answers(&self) -> Result<MutexGuard<'_, Waiting>, Closing> {
        loop {
            // Created before the look, so that room made in between is not missed.
            let room = self.room.notified();
            {
                let waiting = self.lock();
                if waiting.farewell.is_some() {
                    return Err(Closing);
                }
                if self.has_room_for_answers(&waiting) {
                    return Ok(waiting);
                }
            }
            room.await;
        }
    }

    /// Where there is no room something of this very client waits, so that the sending of
    /// it makes room.
    fn has_room_for_answers(&self, waiting: &Waiting) -> bool {
        let seat = &waiting.seat;
        seat.bytes() <= self.cap / PART_FOR_ANSWERS && !seat.is_over_its_share(PART_FOR_ANSWERS)
    }

    /// Begins to close the connection, after what waits already; the first reason stands.
    pub(super) fn close(&self, farewell: Farewell) {
        self.begin_to_close(farewell, Unsent::Sent);
    }

    fn begin_to_close(&self, farewell: Farewell, unsent: Unsent) {
        let mut waiting = self.lock();
        if waiting.farewell.is_none() {
            if unsent == Unsent::Dropped {
                waiting.drop_unsent();
            }
            waiting.farewell = Some(farewell);
        }
        drop(waiting);
        self.something_to_do.notify_one();
        self.room.notify_waiters();
        self.closing.notify_waiters();
    }

    /// Takes a batch of what waits, for the one who writes.
    ///
    /// The bytes count as waiting until [`Self::sent`] says otherwise.
    pub(super) async fn next(&self) -> Next {
        loop {
            let something_to_do = self.something_to_do.notified();
            {
                let mut waiting = self.lock();
                if !waiting.frames.is_empty() {
                    return Next::Send(waiting.batch());
                }
                if let Some(farewell) = &waiting.farewell {
                    return Next::Close(farewell.clone());
                }
            }
            something_to_do.await;
        }
    }

    /// Ends when the connection begins to close.
    pub(super) async fn closing(&self) {
        loop {
            let closing = self.closing.notified();
            if self.lock().farewell.is_some() {
                return;
            }
            closing.await;
        }
    }

    /// Frees the room of frames that have left.
    pub(super) fn sent(&self, bytes: usize) {
        self.lock().seat.take_away(bytes);
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn push(&mut self, frame: Frame) {
        self.seat.add(frame.len());
        self.frames.push_back(frame);
    }

    fn drop_unsent(&mut self) {
        let bytes = self.frames.drain(..).map(|frame| frame.len()).sum();
        self.seat.take_away(bytes);
    }

    fn batch(&mut self) -> VecDeque<Frame> {
        let mut bytes = 0_usize;
        let first = self.frames.iter().take_while(|frame| {
            let fits = bytes < BATCH_BYTES;
            bytes = bytes.saturating_add(frame.len());
            fits
        });
        let count = first.count();
        if count == self.frames.len() {
            return std::mem::take(&mut self.frames);
        }
        self.frames.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::relay::waiting_room::WaitingRoom;

    fn outgoing(cap: usize) -> Outgoing {
        Outgoing::new(cap, WaitingRoom::new(usize::MAX).enter())
    }

    #[tokio::test]
    async fn live_frames_over_the_cap_close_with_a_reason() {
        let outgoing = outgoing(10);
        outgoing.push_live("12345".to_owned().into());
        outgoing.push_live("67890".to_owned().into());
        outgoing.push_live("!".to_owned().into());
        let Next::Close(farewell) = outgoing.next().await else {
            panic!("still open")
        };
        assert_eq!(farewell.code, CloseCode::Policy);
        assert!(farewell.reason.starts_with("too slow: "));
        assert_eq!(outgoing.push("late".to_owned()).await, Err(Closing));
    }

    #[tokio::test]
    async fn frames_taken_but_not_sent_still_count() {
        let outgoing = outgoing(10);
        outgoing.push_live("1234567890".to_owned().into());
        assert!(matches!(outgoing.next().await, Next::Send(frames) if frames.len() == 1));
        outgoing.push_live("!".to_owned().into());
        assert!(matches!(outgoing.next().await, Next::Close(_)));
    }

    #[tokio::test]
    async fn what_waits_is_taken_in_batches_and_in_order() {
        let outgoing = outgoing(usize::MAX);
        for number in 0..10 {
            outgoing.push_live(number.to_string().repeat(BATCH_BYTES / 4).into());
        }
        let mut taken = String::new();
        for expected in [4, 4, 2] {
            let Next::Send(frames) = outgoing.next().await else {
                panic!("nobody closed it")
            };
            assert_eq!(frames.len(), expected);
            for frame in frames {
                let Frame::Words(words) = frame else {
                    panic!("not pushed: {frame:?}")
                };
                taken.push_str(&words[..1]);
            }
        }
        assert_eq!(taken, "0123456789");
        assert!(outgoing.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_slow_client_is_told_after_the_batch_that_is_under_way() {
        let outgoing = outgoing(BATCH_BYTES * 2);
        let page = || Frame::from("x".repeat(BATCH_BYTES));
        outgoing.push_live(page());
        outgoing.push_live(page());
        assert_eq!(outgoing.next().await, Next::Send([page()].into()));
        outgoing.push_live("one too many".to_owned().into());
        assert!(matches!(outgoing.next().await, Next::Close(_)));
    }

    #[tokio::test]
    async fn an_answer_waits_for_room() {
        let outgoing = outgoing(16);
        outgoing.push("12345".to_owned()).await.unwrap();
        let answer = outgoing.push("678".to_owned());
        tokio::pin!(answer);
        assert_eq!(answer.as_mut().now_or_never(), None);
        outgoing.sent(5);
        assert_eq!(answer.await, Ok(()));
    }

    #[tokio::test]
    async fn an_answer_that_waits_is_woken_by_the_close() {
        let outgoing = outgoing(16);
        outgoing.push("12345".to_owned()).await.unwrap();
        let answer = outgoing.push("678".to_owned());
        tokio::pin!(answer);
        assert_eq!(answer.as_mut().now_or_never(), None);
        outgoing.close(Farewell::new(CloseCode::Away, "bye"));
        assert_eq!(answer.await, Err(Closing));
        outgoing.closing().await;
    }

    #[tokio::test]
    async fn when_much_waits_for_all_who_has_most_of_it_makes_room() {
        let room = WaitingRoom::new(40);
        let [slow, quick] = [(); 2].map(|()| Outgoing::new(99, room.enter()));
        let live = || "123456".to_owned().into();
        for _ in 0..4 {
            slow.push_live(live());
        }
        let answer = slow.push("an answer".to_owned());
        tokio::pin!(answer);
        assert_eq!(answer.as_mut().now_or_never(), None);
        assert_eq!(quick.push("an answer".to_owned()).await, Ok(()));
        quick.push_live(live());
        assert!(matches!(quick.next().await, Next::Send(_)));

        slow.push_live(live());
        let Next::Close(farewell) = slow.next().await else {
            panic!("still open")
        };
        assert!(farewell.reason.starts_with("too slow: 24 bytes "));
        assert_eq!(answer.await, Err(Closing));
        quick.sent("an answer".len() + "123456".len());
        quick.push_live(live());
        quick.push_live(live());
        assert!(matches!(quick.next().await, Next::Send(frames) if frames.len() == 2));
    }
}
