//! What is on its way to a mirror, without the line: which rows may be sent,
//! what an `OK` means for each, and when to try again.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use nostr::event::EventId;
use storage::ledger::OutboxSeq;
use tokio::time::Instant;

use super::Tempo;
use super::answer::Answer;
use super::tempo::Backoff;

/// Most events that are on their way, or wait to be sent again.
const WINDOW: usize = 128;

/// So often a mirror may fail on one event while it takes others.
const MOST_TRIES: u32 = 20;

/// What has found its end and is not written down yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) acknowledged: Vec<OutboxSeq>,
    pub(super) given_up: Vec<OutboxSeq>,
}

impl Settled {
    pub(super) fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.given_up.is_empty()
    }
}

/// The events that are on their way to one mirror.
#[derive(Debug)]
pub(super) struct Flights {
    tempo: Tempo,
    flying: BTreeMap<OutboxSeq, Flight>,
    by_event: HashMap<EventId, OutboxSeq>,
    again: BTreeMap<OutboxSeq, Again>,
    settled: Settled,
    settled_since: Option<Instant>,
    pause: Backoff,
    paused_until: Option<Instant>,
}

/// An event that was sent.
#[derive(Debug)]
struct Flight {
    event: EventId,
    due: Instant,
    tries: u32,
}

/// An event that is to be sent again.
#[derive(Debug)]
struct Again {
    at: Instant,
    tries: u32,
}

impl Flights {
    pub(super) fn new(tempo: Tempo) -> Flights {
        Flights {
            tempo,
            flying: BTreeMap::new(),
            by_event: HashMap::new(),
            again: BTreeMap::new(),
            settled: Settled::default(),
            settled_since: None,
            pause: Backoff::new(&tempo),
            paused_until: None,
        }
    }

    /// The line is lost: nothing is on its way any more. What was settled stays so.
    pub(super) fn ground(&mut self) {
        let settled = mem::take(&mut self.settled);
        let settled_since = self.settled_since;
        *self = Flights {
            settled,
            settled_since,
            ..Flights::new(self.tempo)
        };
    }

    /// How many more rows may be sent.
    pub(super) fn room(&self, now: Instant) -> usize {
        if self.paused_until.is_some_and(|until| now < until) {
            return 0;
        }
        WINDOW.saturating_sub(self.flying.len() + self.again.len())
    }

    /// Whether so much has landed that it is worth reading on.
    pub(super) fn is_roomy(&self, now: Instant) -> bool {
        self.room(now) >= WINDOW / 2
    }

    /// The rows that are to be sent again now, oldest first.
    pub(super) fn due_again(&self, now: Instant) -> Vec<OutboxSeq> {
        if self.paused_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let due = self.again.iter().filter(|(_, again)| again.at <= now);
        due.map(|(seq, _)| *seq).collect()
    }

    /// A row was sent.
    pub(super) fn take_off(&mut self, seq: OutboxSeq, event: EventId, now: Instant) {
        let tries = self.again.remove(&seq).map_or(0, |again| again.tries);
        let due = now + self.tempo.acknowledge;
        self.flying.insert(seq, Flight { event, due, tries });
        self.by_event.insert(event, seq);
    }

    /// A row that was to be sent again is not there any more.
    pub(super) fn forget(&mut self, seq: OutboxSeq) {
        self.again.remove(&seq);
    }

    /// The mirror has answered; what it says of events that are not on their
    /// way means nothing. Returns why it was given up, if it was.
    pub(super) fn land(
        &mut self,
        event: EventId,
        answer: Answer,
        is_proven: bool,
        now: Instant,
    ) -> Option<String> {
        let seq = self.by_event.remove(&event)?;
        let flight = self.flying.remove(&seq)?;
        match answer {
            Answer::Stored => {
                self.pause.reset();
                self.settle(now).acknowledged.push(seq);
                None
            }
            Answer::Refused(why) => {
                self.settle(now).given_up.push(seq);
                Some(why)
            }
            Answer::AuthRequired if is_proven => {
                self.settle(now).given_up.push(seq);
                Some("auth-required, although the node's key is proven".into())
            }
            Answer::RateLimited => {
                self.pause_from(now);
                let (at, tries) = (now, flight.tries);
                self.again.insert(seq, Again { at, tries });
                None
            }
            Answer::AuthRequired => self.retry(seq, flight.tries, "auth-required".into(), now),
            Answer::Failed(why) => self.retry(seq, flight.tries, why, now),
        }
    }

    /// Takes back what was not acknowledged in time. True if the mirror has
    /// acknowledged nothing at all of what was sent.
    pub(super) fn take_back(&mut self, now: Instant) -> bool {
        let late = self.flying.iter().filter(|(_, flight)| flight.due <= now);
        let late: Vec<_> = late.map(|(seq, _)| *seq).collect();
        for seq in &late {
            if let Some(flight) = self.flying.remove(seq) {
                self.by_event.remove(&flight.event);
                self.retry(*seq, flight.tries, String::new(), now);
            }
        }
        !late.is_empty() && self.flying.is_empty()
    }

    /// The mirror believes who we are: what waited for that goes at once.
    pub(super) fn admit(&mut self, now: Instant) {
        for again in self.again.values_mut() {
            again.at = now;
        }
    }

    /// What is to be written down, once enough of it has come together.
    pub(super) fn collected(&mut self, now: Instant) -> Option<Settled> {
        let since = self.settled_since?;
        let many = self.settled.acknowledged.len() + self.settled.given_up.len();
        if many < WINDOW && now < since + self.tempo.collect {
            return None;
        }
        Some(self.take_settled())
    }

    /// All that is to be written down.
    pub(super) fn take_settled(&mut self) -> Settled {
        self.settled_since = None;
        mem::take(&mut self.settled)
    }

    /// When something is to be done without a word of the mirror.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let late = self.flying.values().map(|flight| flight.due);
        let again = self.again.values().map(|again| again.at);
        let again = again.map(|at| self.paused_until.map_or(at, |until| at.max(until)));
        let collect = self.settled_since.map(|since| since + self.tempo.collect);
        late.chain(again)
            .chain(collect)
            .chain(self.paused_until)
            .min()
    }

    /// Ends a pause that is over.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| now < *until);
    }

    fn settle(&mut self, now: Instant) -> &mut Settled {
        self.settled_since.get_or_insert(now);
        &mut self.settled
    }

    /// Many answers of one burst make one pause.
    fn pause_from(&mut self, now: Instant) {
        if self.paused_until.is_none_or(|until| until <= now) {
            self.paused_until = Some(now + self.pause.wait());
        }
    }

    fn retry(&mut self, seq: OutboxSeq, tries: u32, why: String, now: Instant) -> Option<String> {
        let tries = tries + 1;
        if tries >= MOST_TRIES {
            self.settle(now).given_up.push(seq);
            return Some(why);
        }
        let doubled = self.tempo.first_wait.saturating_mul(1 << tries.min(16));
        let at = now + doubled.min(self.tempo.longest_wait);
        self.again.insert(seq, Again { at, tries });
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(seq: u64) -> EventId {
        EventId::from_byte_array([u8::try_from(seq).unwrap(); 32])
    }

    /// Flights with so many rows on their way, and the moment they left.
    fn flying(rows: u64) -> (Flights, Instant) {
        let now = Instant::now();
        let mut flights = Flights::new(Tempo::with_longest_wait(4 * SECOND));
        for seq in 1..=rows {
            flights.take_off(OutboxSeq(seq), id(seq), now);
        }
        (flights, now)
    }

    #[test]
    fn an_answer_counts_once_and_only_for_what_was_sent() {
        let (mut flights, now) = flying(2);
        for event in [9, 1, 1, 9] {
            let refused = flights.land(id(event), Answer::Stored, false, now);
            assert_eq!(refused, None);
        }
        let late = Answer::Refused("blocked: changed my mind".into());
        assert_eq!(flights.land(id(1), late, false, now), None);
        assert_eq!(flights.collected(now), None, "not yet worth a commit");
        let settled = flights.collected(now + SECOND).unwrap();
        assert_eq!(settled.acknowledged, [OutboxSeq(1)]);
        assert_eq!(settled.given_up, []);
        assert_eq!(flights.room(now), WINDOW - 1, "the other is on its way");
    }

    #[test]
    fn a_refusal_is_for_good_and_a_failure_is_not() {
        let (mut flights, now) = flying(2);
        let refused = Answer::Refused("blocked: no".into());
        let told = flights.land(id(1), refused, false, now);
        assert_eq!(told.as_deref(), Some("blocked: no"));
        let failed = Answer::Failed("error: disk".into());
        assert_eq!(flights.land(id(2), failed, false, now), None);
        assert_eq!(flights.take_settled().given_up, [OutboxSeq(1)]);
        assert_eq!(flights.due_again(now), []);
        assert_eq!(flights.due_again(now + 2 * SECOND), [OutboxSeq(2)]);
        assert_eq!(flights.wake_at(), Some(now + 2 * SECOND));
    }

    #[test]
    fn what_fails_again_and_again_is_given_up_at_last() {
        let (mut flights, now) = flying(1);
        let failed = || Answer::Failed("error: disk".into());
        let mut tries = 1;
        while flights.land(id(1), failed(), false, now).is_none() {
            flights.take_off(OutboxSeq(1), id(1), now);
            tries += 1;
        }
        assert_eq!(tries, MOST_TRIES);
        assert_eq!(flights.take_settled().given_up, [OutboxSeq(1)]);
    }

    #[test]
    fn a_mirror_that_is_full_gets_a_pause() {
        let (mut flights, now) = flying(3);
        for seq in 1..=3 {
            assert_eq!(flights.land(id(seq), Answer::RateLimited, false, now), None);
        }
        assert_eq!((flights.room(now), flights.due_again(now)), (0, Vec::new()));
        let over = flights.wake_at().unwrap();
        assert!(over <= now + SECOND, "one pause for the burst");
        flights.go_on(over);
        assert_eq!(flights.due_again(over).len(), 3);
        assert!(flights.room(over) > 0);
    }

    #[test]
    fn who_knows_us_and_asks_again_who_we_are_refuses() {
        let (mut flights, now) = flying(2);
        assert_eq!(flights.land(id(1), Answer::AuthRequired, false, now), None);
        flights.admit(now);
        assert_eq!(flights.due_again(now), [OutboxSeq(1)]);
        let told = flights.land(id(2), Answer::AuthRequired, true, now);
        assert!(told.unwrap().starts_with("auth-required"));
    }

    #[test]
    fn silence_ends_the_line_and_a_single_loss_does_not() {
        let (mut flights, now) = flying(2);
        assert!(!flights.take_back(now), "it still has time");
        let later = now + 15 * SECOND;
        flights.take_off(OutboxSeq(3), id(3), later);
        let late = now + 20 * SECOND;
        assert!(!flights.take_back(late), "the third may still be answered");
        assert_eq!(flights.due_again(late + 4 * SECOND).len(), 2);
        assert!(flights.take_back(late + 20 * SECOND));
        assert_eq!(flights.land(id(1), Answer::Stored, false, late), None);
        assert_eq!(flights.take_settled(), Settled::default(), "too late");
    }

    #[test]
    fn a_lost_line_forgets_what_flew_and_keeps_what_landed() {
        let (mut flights, now) = flying(2);
        flights.land(id(1), Answer::Stored, false, now);
        flights.ground();
        assert_eq!(flights.room(now), WINDOW);
        assert_eq!(flights.take_settled().acknowledged, [OutboxSeq(1)]);
    }
}
