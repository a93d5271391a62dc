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

/// So often a mirror may fail on one event while it takes others. One that takes
/// nothing at all is in trouble, and what waits for it goes on waiting.
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
    /// Events that were sent.
    sent: u64,
    /// The number, among those, of the last that was answered.
    last_answered: u64,
    /// Events that the mirror has taken.
    taken: u64,
    /// Whether rows were left in the ledger to make room for others.
    has_left_some: bool,
    settled: Settled,
    settled_since: Option<Instant>,
    pause: Backoff,
    paused_until: Option<Instant>,
}

/// An event that was sent.
#[derive(Debug)]
struct Flight {
    event: EventId,
    number: u64,
    due: Instant,
    past: Past,
}

/// An event that is to be sent again.
#[derive(Debug)]
struct Again {
    at: Instant,
    past: Past,
}

/// What an event has been through.
#[derive(Clone, Copy, Debug)]
struct Past {
    /// Times that the mirror failed on it.
    tries: u32,
    /// Those of them since the mirror has taken another.
    alone: u32,
    /// Events that the mirror had taken when this one was first sent.
    taken_before: u64,
}

/// What became of events that were not answered in time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TakenBack {
    /// Whether the mirror has acknowledged nothing at all of what was sent.
    pub(super) is_unheard: bool,
    /// Why some were given up.
    pub(super) given_up: Vec<String>,
}

impl Flights {
    pub(super) fn new(tempo: Tempo) -> Flights {
        Flights {
            tempo,
            flying: BTreeMap::new(),
            by_event: HashMap::new(),
            again: BTreeMap::new(),
            sent: 0,
            last_answered: 0,
            taken: 0,
            has_left_some: false,
            settled: Settled::default(),
            settled_since: None,
            pause: Backoff::new(&tempo),
            paused_until: None,
        }
    }

    /// The line is lost: nothing is on its way any more, and all of it is to be
    /// sent again on the next. What was settled stays so.
    pub(super) fn ground(&mut self, now: Instant) {
        self.by_event.clear();
        for (seq, flight) in mem::take(&mut self.flying) {
            let past = flight.past;
            self.again.insert(seq, Again { at: now, past });
        }
        self.admit(now);
        self.pause.reset();
        self.paused_until = None;
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

    /// Whether no row is on its way, nor waits to be sent again.
    pub(super) fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.again.is_empty()
    }

    /// Whether a row is on its way, or waits to be sent again.
    pub(super) fn has(&self, seq: OutboxSeq) -> bool {
        self.flying.contains_key(&seq) || self.again.contains_key(&seq)
    }

    /// Whether rows were left in the ledger since this was last asked: those are
    /// to be read once more when all others were.
    pub(super) fn has_left_some(&mut self) -> bool {
        mem::take(&mut self.has_left_some)
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
        let first = Past {
            tries: 0,
            alone: 0,
            taken_before: self.taken,
        };
        let past = self.again.remove(&seq).map_or(first, |again| again.past);
        self.sent += 1;
        let flight = Flight {
            event,
            number: self.sent,
            due: now + self.tempo.acknowledge,
            past,
        };
        self.flying.insert(seq, flight);
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
        self.last_answered = self.last_answered.max(flight.number);
        match answer {
            Answer::Stored => {
                self.pause.reset();
                self.taken += 1;
                self.settle(now).acknowledged.push(seq);
                None
            }
            Answer::Refused(why) => {
                self.settle(now).given_up.push(seq);
                Some(why)
            }
            Answer::RateLimited => {
                self.pause_from(now);
                let (at, past) = (now, flight.past);
                self.again.insert(seq, Again { at, past });
                None
            }
            Answer::AuthRequired => {
                let known = if is_proven {
                    ", although the node's key is proven"
                } else {
                    ""
                };
                let why = format!("auth-required{known}");
                self.retry(seq, flight.past, why, now)
            }
            Answer::Failed(why) => self.retry(seq, flight.past, why, now),
        }
    }

    /// Takes back what was not acknowledged in time. To pass over an event is to
    /// fail on it; a mirror that has stopped to answer at all has not got so far.
    pub(super) fn take_back(&mut self, now: Instant) -> TakenBack {
        let late = self.flying.iter().filter(|(_, flight)| flight.due <= now);
        let late: Vec<_> = late.map(|(seq, _)| *seq).collect();
        let mut taken_back = TakenBack::default();
        for seq in &late {
            if let Some(flight) = self.flying.remove(seq) {
                self.by_event.remove(&flight.event);
                if flight.number < self.last_answered {
                    let why = "no answer".to_owned();
                    let given_up = self.retry(*seq, flight.past, why, now);
                    taken_back.given_up.extend(given_up);
                } else {
                    self.send_later(*seq, flight.past, now);
                }
            }
        }
        taken_back.is_unheard = !late.is_empty() && self.flying.is_empty();
        taken_back
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

    /// Sends an event again later, or gives it up.
    fn retry(
        &mut self,
        seq: OutboxSeq,
        mut past: Past,
        why: String,
        now: Instant,
    ) -> Option<String> {
        past.tries = past.tries.saturating_add(1);
        if self.taken > past.taken_before {
            past.alone += 1;
        }
        if past.alone >= MOST_TRIES {
            self.settle(now).given_up.push(seq);
            return Some(why);
        }
        if past.alone == 0 && past.tries >= MOST_TRIES && self.is_crowded() {
            // Others may fare better. It is read once more after them, and by
            // then it shows whether the mirror takes any.
            self.has_left_some = true;
            return None;
        }
        self.send_later(seq, past, now);
        None
    }

    fn send_later(&mut self, seq: OutboxSeq, past: Past, now: Instant) {
        let times = 1 << past.tries.min(16);
        let doubled = self.tempo.first_wait.saturating_mul(times);
        let at = now + doubled.min(self.tempo.longest_wait);
        self.again.insert(seq, Again { at, past });
    }

    /// Whether so much waits that nothing else is read.
    fn is_crowded(&self) -> bool {
        self.flying.len() + self.again.len() >= WINDOW / 2
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

    /// The mirror fails on a row so often; returns the try at which it was given up.
    fn given_up_at(flights: &mut Flights, seq: u64, tries: u32, now: Instant) -> Option<u32> {
        (1..=tries).find(|_| {
            if !flights.flying.contains_key(&OutboxSeq(seq)) {
                flights.take_off(OutboxSeq(seq), id(seq), now);
            }
            let failed = Answer::Failed("error: disk".into());
            flights.land(id(seq), failed, false, now).is_some()
        })
    }

    #[test]
    fn what_fails_again_and_again_while_others_are_taken_is_given_up_at_last() {
        let (mut flights, now) = flying(2);
        flights.land(id(2), Answer::Stored, false, now);
        let at = given_up_at(&mut flights, 1, 1_000, now);
        assert_eq!(at, Some(MOST_TRIES));
        assert_eq!(flights.take_settled().given_up, [OutboxSeq(1)]);
    }

    #[test]
    fn a_mirror_that_takes_nothing_loses_nothing() {
        let (mut flights, now) = flying(1);
        assert_eq!(given_up_at(&mut flights, 1, 1_000, now), None);
        assert_eq!(flights.due_again(now), []);
        let longest = flights.tempo.longest_wait;
        assert_eq!(flights.due_again(now + longest), [OutboxSeq(1)]);
        // It works again, and what it failed on before that counts for little.
        flights.take_off(OutboxSeq(2), id(2), now);
        flights.land(id(2), Answer::Stored, false, now);
        let at = given_up_at(&mut flights, 1, 1_000, now);
        assert_eq!(at, Some(MOST_TRIES));
    }

    #[test]
    fn what_a_mirror_takes_nothing_of_makes_room_for_others() {
        let window = u64::try_from(WINDOW).unwrap();
        let (mut flights, now) = flying(window);
        for seq in 1..=window {
            assert_eq!(given_up_at(&mut flights, seq, MOST_TRIES, now), None);
        }
        assert!(flights.is_roomy(now), "others are read");
        let kept: Vec<_> = (1..=window)
            .filter(|seq| flights.has(OutboxSeq(*seq)))
            .collect();
        assert_eq!(kept.len(), WINDOW / 2, "and half of them are still tried");
        assert!(flights.has_left_some());
        assert!(!flights.has_left_some(), "that was asked");
        assert_eq!(flights.take_settled(), Settled::default());
    }

    #[test]
    fn what_a_mirror_never_answers_is_given_up_over_many_lines() {
        let (mut flights, mut now) = flying(1);
        for line in 1..=MOST_TRIES {
            let other = u64::from(line) + 1;
            flights.take_off(OutboxSeq(other), id(other), now);
            flights.land(id(other), Answer::Stored, false, now);
            now += 20 * SECOND;
            let given_up = vec!["no answer".to_owned(); usize::from(line == MOST_TRIES)];
            let is_unheard = true;
            assert_eq!(
                flights.take_back(now),
                TakenBack {
                    is_unheard,
                    given_up
                },
                "line {line}"
            );
            flights.ground(now);
            for seq in flights.due_again(now) {
                flights.take_off(seq, id(seq.0), now);
            }
        }
        assert_eq!(flights.take_settled().given_up, [OutboxSeq(1)]);
        assert_eq!(flights.room(now), WINDOW);
    }

    #[test]
    fn a_mirror_that_freezes_after_a_few_loses_nothing() {
        let (mut flights, mut now) = flying(100);
        for line in 1..=100 {
            flights.land(id(line), Answer::Stored, false, now);
            now += 20 * SECOND;
            let late = flights.take_back(now);
            assert_eq!((late.is_unheard, late.given_up), (line < 100, vec![]));
            flights.ground(now);
            for seq in flights.due_again(now) {
                flights.take_off(seq, id(seq.0), now);
            }
        }
        let settled = flights.take_settled();
        assert_eq!(
            (settled.acknowledged.len(), settled.given_up),
            (100, vec![])
        );
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
    fn who_knows_us_and_asks_again_who_we_are_may_yet_take_it() {
        let (mut flights, now) = flying(2);
        assert_eq!(flights.land(id(1), Answer::AuthRequired, false, now), None);
        flights.admit(now);
        assert_eq!(flights.due_again(now), [OutboxSeq(1)]);
        assert_eq!(flights.land(id(2), Answer::AuthRequired, true, now), None);
        assert!(flights.has(OutboxSeq(2)), "nothing is lost by it");
    }

    #[test]
    fn silence_ends_the_line_and_a_single_loss_does_not() {
        let (mut flights, now) = flying(2);
        assert_eq!(flights.take_back(now), TakenBack::default(), "it has time");
        let later = now + 15 * SECOND;
        flights.take_off(OutboxSeq(3), id(3), later);
        let late = now + 20 * SECOND;
        assert!(
            !flights.take_back(late).is_unheard,
            "the third may still be answered"
        );
        assert_eq!(flights.due_again(late + 4 * SECOND).len(), 2);
        assert!(flights.take_back(late + 20 * SECOND).is_unheard);
        assert_eq!(flights.land(id(1), Answer::Stored, false, late), None);
        assert_eq!(flights.take_settled(), Settled::default(), "too late");
    }

    #[test]
    fn a_lost_line_sends_again_what_flew_and_keeps_what_landed() {
        let (mut flights, now) = flying(3);
        flights.land(id(1), Answer::Stored, false, now);
        flights.land(id(2), Answer::Failed("error: disk".into()), false, now);
        flights.ground(now);
        assert_eq!(flights.due_again(now), [OutboxSeq(2), OutboxSeq(3)]);
        assert_eq!(flights.land(id(3), Answer::Stored, false, now), None);
        assert_eq!(flights.take_settled().acknowledged, [OutboxSeq(1)]);
    }
}
