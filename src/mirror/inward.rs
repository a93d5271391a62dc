//! Takes messages to the node from one mirror.
//!
//! What is stored there is asked for from some time before the moment until
//! which the mirror was read, because gift wraps are dated up to two days back;
//! the ledger knows what was decided, and copies cost a look. Relays show the
//! newest first and only so many, so the past is read page by page and then
//! decided from its beginning. It is read again every hour, because a mirror may
//! keep back what it should have told, or forget that it was asked. Only so many
//! messages are in hand at once: beyond, the mirror waits, and nothing piles up
//! here.

use std::convert::Infallible;
use std::mem;
use std::sync::Arc;

use escrow_core::UnixTime;
use escrow_core::party::TradeKey;
use escrow_engine::clock::{Clock, SystemClock};
use escrow_engine::submission::{MirrorNews, MirrorReport};
use nostr::event::{Event, Kind};
use nostr::filter::{Filter, MatchEventOptions};
use nostr::message::{ClientMessage, RelayMessage, SubscriptionId};
use nostr::types::Timestamp;
use relay_policy::GateTerms;
use storage::ledger::{SeenKey, StorageError};
use tokio::time::{Instant, sleep_until};

use super::doorstep::Doorstep;
use super::held::Held;
use super::in_hand::InHand;
use super::kept_line::{Talk, Trial};
use super::line::{Line, Proof};
use super::{Direction, Ended, Post};

/// Gift wraps are dated up to two days back, clocks are not all right, and what a
/// mirror has kept back is found an hour late.
const OVERLAP_SECS: u64 = 48 * 3_600 + 3_600 + 3_600;

/// Events asked for in one page.
const PAGE: usize = 500;

/// Pages of the past that are read; a mirror that has more to tell is odd.
const MOST_PAGES: u32 = 1_000;

/// Subscription to what comes.
const LETTERS: &str = "letters";
/// Subscription to a page of what came before.
const PAST: &str = "past";

/// The way from one mirror to the node.
pub(super) struct Inward {
    post: Post,
    doorstep: Arc<Doorstep>,
    /// Largest message in bytes that the gate takes.
    most_bytes: usize,
}

/// What is known on one line.
struct Reading {
    since: Timestamp,
    past: Past,
    in_hand: InHand<Arc<Doorstep>>,
    /// Whether the mirror was asked again after it learned who we are.
    is_admitted: bool,
    /// When it was last written down how far the mirror was read.
    marked_at: Instant,
    /// When the mirror last told something of the past.
    told_at: Instant,
    /// When the past is read once more.
    again_at: Instant,
}

/// How far the past is read.
enum Past {
    /// Pages are coming.
    Coming(Pages),
    /// All of it is decided.
    Decided,
}

/// What the pages held that is not decided, and where they stand.
#[derive(Default)]
struct Pages {
    held: Held,
    /// Whether what comes meanwhile does not wait: all this was read before.
    is_again: bool,
    /// The moment until which the page that is coming was asked for; none for the first.
    until: Option<Timestamp>,
    /// The earliest event of that page.
    earliest: Option<Timestamp>,
    count: u32,
}

impl Talk for Inward {
    async fn talk(&mut self, mut line: Line, trial: &mut Trial) -> Result<Infallible, Ended> {
        let tempo = self.post.number.tempo();
        let mut reading = Reading {
            since: self.since()?,
            past: Past::Coming(Pages::default()),
            in_hand: InHand::new(self.doorstep.clone()),
            is_admitted: false,
            marked_at: Instant::now(),
            told_at: Instant::now(),
            again_at: Instant::now() + tempo.read_again,
        };
        self.ask_all(&mut line, &mut reading).await?;
        loop {
            // Whoever has told all may still end the question for what comes.
            if let Past::Decided = reading.past {
                trial.is_good();
            }
            let mark_at = reading.marked_at + tempo.mark;
            tokio::select! {
                heard = line.hear(), if reading.in_hand.has_room() => {
                    self.heard(&mut line, &mut reading, heard?).await?;
                }
                () = reading.in_hand.one_is_decided(), if reading.in_hand.oldest().is_some() => {}
                () = trial.lasts() => {
                    trial.passes();
                    self.post.works(Direction::Inward);
                }
                () = sleep_until(mark_at) => self.mark(&line, &mut reading).await?,
                () = sleep_until(reading.again_at) => self.read_again(&mut line, &mut reading).await?,
            }
        }
    }
}

impl Inward {
    pub(super) fn new(post: Post, terms: GateTerms) -> Inward {
        Inward {
            doorstep: Arc::new(Doorstep::new(&post, terms)),
            most_bytes: terms.message_bytes,
            post,
        }
    }

    /// From when on the mirror is to be read.
    fn since(&self) -> Result<Timestamp, StorageError> {
        let known = self.post.escrow.views().view()?.mirror(self.post.mirror)?;
        let read_until = known.and_then(|mirror| mirror.read_until);
        let from = read_until.unwrap_or_else(|| SystemClock.now()).0;
        Ok(Timestamp::from_secs(from.saturating_sub(OVERLAP_SECS)))
    }

    /// Asks for what comes, and for the first page of what came before.
    async fn ask_all(&self, line: &mut Line, reading: &mut Reading) -> Result<(), Ended> {
        reading.told_at = Instant::now();
        let letters = self.letters(reading.since);
        ask(line, LETTERS, letters.clone().limit(1)).await?;
        ask(line, PAST, letters.limit(PAGE)).await
    }

    /// Reads the past once more, unless it is still being read.
    async fn read_again(&self, line: &mut Line, reading: &mut Reading) -> Result<(), Ended> {
        reading.again_at = Instant::now() + self.post.number.tempo().read_again;
        if let Past::Coming(_) = reading.past {
            return Ok(());
        }
        reading.since = self.since()?;
        reading.past = Past::Coming(Pages {
            is_again: true,
            ..Pages::default()
        });
        self.ask_all(line, reading).await
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nothing else was asked of the mirror"
    )]
    async fn heard(
        &mut self,
        line: &mut Line,
        reading: &mut Reading,
        message: RelayMessage<'static>,
    ) -> Result<(), Ended> {
        match message {
            RelayMessage::Event {
                subscription_id,
                event,
            } => {
                let is_past = subscription_id.as_str() == PAST;
                self.event(reading, is_past, event.into_owned()).await
            }
            RelayMessage::EndOfStoredEvents(name) if name.as_str() == PAST => {
                self.end_of_page(line, reading).await
            }
            RelayMessage::Closed {
                subscription_id,
                message,
            } => closed(line, subscription_id.as_str(), &message),
            RelayMessage::Ok { .. } if line.proof() == Proof::Believed => {
                if !mem::replace(&mut reading.is_admitted, true) {
                    reading.past = Past::Coming(Pages::default());
                    self.ask_all(line, reading).await?;
                }
                Ok(())
            }
            RelayMessage::Ok { .. } if line.proof() == Proof::Doubted => {
                Err(Ended::Unread("it does not believe the node's key".into()))
            }
            _ => Ok(()),
        }
    }

    async fn event(
        &mut self,
        reading: &mut Reading,
        is_past: bool,
        event: Event,
    ) -> Result<(), Ended> {
        let asked = self.letters(reading.since);
        if !asked.match_event(&event, MatchEventOptions::new()) {
            return Ok(());
        }
        let json = event.as_json();
        let is_wanted = is_small_enough(&json, self.most_bytes) && self.is_new(&event)?;
        let pages = match &mut reading.past {
            Past::Coming(pages) if is_past || !pages.is_again => pages,
            Past::Coming(_) | Past::Decided => {
                if is_wanted {
                    reading.in_hand.take(event).await;
                }
                return Ok(());
            }
        };
        if is_past {
            reading.told_at = Instant::now();
            pages.shows(event.created_at);
        }
        if is_wanted {
            pages.held.put(&event, json);
        }
        if pages.held.is_full() {
            // So many are a flood: its order matters less than room.
            let held = pages.held.take();
            reading.in_hand.all(held).await;
        }
        Ok(())
    }

    /// Whether a message is worth opening: it is not decided, or its author was
    /// not known to read this mirror.
    fn is_new(&self, event: &Event) -> Result<bool, StorageError> {
        let view = self.post.escrow.views().view()?;
        if view.seen(SeenKey::Event(event.id.to_bytes()))?.is_none() {
            return Ok(true);
        }
        if event.kind != Kind::PrivateDirectMessage {
            return Ok(false);
        }
        let path = view.path(TradeKey(event.pubkey), self.post.mirror)?;
        Ok(path.is_none())
    }

    async fn end_of_page(&mut self, line: &mut Line, reading: &mut Reading) -> Result<(), Ended> {
        let Past::Coming(pages) = &mut reading.past else {
            return Ok(());
        };
        reading.told_at = Instant::now();
        if let Some(until) = pages.turn(reading.since) {
            let page = self.letters(reading.since).until(until);
            return ask(line, PAST, page.limit(PAGE)).await;
        }
        let held = pages.held.take();
        reading.in_hand.all(held).await;
        reading.past = Past::Decided;
        let close = ClientMessage::close(SubscriptionId::new(PAST));
        line.say(close.as_json()).await?;
        line.flush().await?;
        self.mark(line, reading).await
    }

    /// Writes down how far the mirror is read, if all of that is decided. What
    /// it said came in its order, so nothing of before is still to come.
    async fn mark(&self, line: &Line, reading: &mut Reading) -> Result<(), Ended> {
        reading.marked_at = Instant::now();
        if let Past::Coming(_) = reading.past {
            if reading.told_at.elapsed() > self.post.number.tempo().silence {
                return Err(Ended::Unread("it does not answer".into()));
            }
            return Ok(());
        }
        let oldest = reading.in_hand.oldest().unwrap_or(line.heard_at());
        let quiet_secs = oldest.min(line.heard_at()).elapsed().as_secs() + 1;
        let read_until = UnixTime(SystemClock.now().0.saturating_sub(quiet_secs));
        let report = MirrorReport {
            mirror: self.post.mirror,
            news: MirrorNews::Read(read_until),
        };
        let written = self.post.escrow.report_mirror(report).await;
        written.map(drop).ok_or(Ended::Stopping)
    }

    fn letters(&self, since: Timestamp) -> Filter {
        Filter::new()
            .kinds([Kind::PrivateDirectMessage, Kind::GiftWrap])
            .pubkey(self.post.number.keys.public_key())
            .since(since)
    }
}

async fn ask(line: &mut Line, name: &str, filter: Filter) -> Result<(), Ended> {
    let ask = ClientMessage::req(SubscriptionId::new(name), [filter]);
    line.say(ask.as_json()).await?;
    Ok(line.flush().await?)
}

/// The gate refuses what is larger, and it is not kept until then: a mirror may
/// send a frame many times as large as any message to the node.
fn is_small_enough(json: &str, most_bytes: usize) -> bool {
    json.len() <= most_bytes
}

fn closed(line: &Line, name: &str, why: &str) -> Result<(), Ended> {
    // It is asked again when the node's key is proven, or the silence ends the line.
    let may_be_let_in = why.starts_with("auth-required:") && line.proof() != Proof::Believed;
    if may_be_let_in || (name != LETTERS && name != PAST) {
        return Ok(());
    }
    Err(Ended::Unread(why.to_owned()))
}

impl Pages {
    /// An event of the page that is coming, if it is one that was asked for: a
    /// mirror that does not listen would show the same page for ever.
    fn shows(&mut self, at: Timestamp) {
        if self.until.is_some_and(|until| at > until) {
            return;
        }
        self.earliest = Some(self.earliest.map_or(at, |earliest| earliest.min(at)));
    }

    /// Turns the page: until when the next one is asked for, if there is one.
    /// Several events of one second may stand on two pages.
    fn turn(&mut self, since: Timestamp) -> Option<Timestamp> {
        let earliest = self.earliest.take()?;
        self.count += 1;
        let until = match self.until {
            Some(until) if earliest == until => Timestamp::from_secs(until.as_secs() - 1),
            Some(_) | None => earliest,
        };
        if until < since || self.count >= MOST_PAGES {
            return None;
        }
        self.until = Some(until);
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(pages: &mut Pages, shown: &[u64]) -> Option<u64> {
        for at in shown {
            pages.shows(Timestamp::from_secs(*at));
        }
        let since = Timestamp::from_secs(90);
        pages.turn(since).map(|until| until.as_secs())
    }

    #[test]
    fn the_past_is_read_page_by_page_until_nothing_is_left() {
        let mut pages = Pages::default();
        let table: [(&[u64], _); 5] = [
            (&[120, 100, 110], Some(100)),
            (&[100, 97], Some(97)),
            // The whole page is of one second.
            (&[97, 97], Some(96)),
            (&[95], Some(95)),
            (&[], None),
        ];
        for (shown, until) in table {
            assert_eq!(turned(&mut pages, shown), until, "{shown:?}");
        }
        assert_eq!(turned(&mut Pages::default(), &[]), None);
    }

    #[test]
    fn what_the_gate_would_refuse_for_its_size_does_not_enter() {
        assert!(is_small_enough("12345", 5));
        assert!(!is_small_enough("123456", 5));
    }

    #[test]
    fn a_mirror_that_always_shows_the_same_comes_to_an_end() {
        let mut pages = Pages::default();
        let turns = (0..).take_while(|_| turned(&mut pages, &[105, 100]).is_some());
        assert_eq!(turns.count(), 2, "until 100, and until 99");
    }
}
