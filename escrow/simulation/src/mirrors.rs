//! External relays that get a copy of what the node publishes, and through
//! which some traders speak to it. Some of them lie.
//!
//! Relays live on when the node crashes; what the node's two lines to each of
//! them remember is lost with the process. The lines keep the rules of the
//! node's own: a row leaves the backlog when the mirror has acknowledged it,
//! and reading goes on some time before the moment until which it was read.

mod relay;
mod session;

use std::collections::BTreeMap;

use escrow_core::UnixTime;
use escrow_engine::submission::{MirrorNews, MirrorReport, Path, Submission, TraderMessage};
use nostr::event::EventId;
use storage::ledger::{Lane, MirrorNo, OutboxSeq, View};

use self::relay::Relay;
use self::session::Session;
use crate::dice::Dice;
use crate::tally::Tally;

/// The mirrors of a town, none in some.
pub(crate) struct Mirrors {
    list: Vec<Mirror>,
    /// The newest event of each public address.
    published: BTreeMap<String, EventId>,
    /// The first row of the outbox that was not looked at.
    next_row: OutboxSeq,
}

struct Mirror {
    number: MirrorNo,
    relay: Relay,
    session: Session,
}

/// What mirrors bring to a step.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) reports: Vec<Submission>,
    pub(crate) mail: Vec<TraderMessage>,
}

impl Mirrors {
    pub(crate) fn draw(dice: &mut Dice) -> Mirrors {
        let count = dice.below(3);
        let mirror = |number| Mirror {
            number: MirrorNo(u64::MAX),
            relay: Relay::new(number, dice),
            session: Session::new(),
        };
        Mirrors {
            list: (0..count).map(mirror).collect(),
            published: BTreeMap::new(),
            next_row: OutboxSeq(0),
        }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.list
            .iter()
            .map(|mirror| mirror.relay.url.clone())
            .collect()
    }

    /// A process starts, and knows the mirrors by these numbers.
    pub(crate) fn connect(&mut self, numbers: &[MirrorNo]) {
        for (mirror, number) in self.list.iter_mut().zip(numbers) {
            mirror.number = *number;
            mirror.session = Session::new();
        }
    }

    /// Whether a trader's message goes through a mirror alone.
    pub(crate) fn carries(
        &mut self,
        message: &TraderMessage,
        now: UnixTime,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> bool {
        let roll = dice.below(100);
        if self.list.is_empty() || roll >= 35 {
            return false;
        }
        let first = usize::try_from(dice.below(2)).unwrap() % self.list.len();
        self.list[first].relay.takes_mail(message, now, dice, tally);
        if roll >= 25 {
            tally.add("message on both ways");
            return false;
        }
        tally.add("message through a mirror");
        true
    }

    /// What the lines to all mirrors have to report.
    pub(crate) fn bring(
        &mut self,
        view: &View,
        now: UnixTime,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Brought {
        let mut brought = Brought::default();
        for mirror in &mut self.list {
            mirror.relay.changes_its_mood(now, dice, tally);
            let Mirror {
                number,
                relay,
                session,
            } = mirror;
            if !relay.is_readable && (!relay.is_there() || dice.percent(3)) {
                *session = Session::new();
                continue;
            }
            for news in session.converse(*number, relay, view, (now, dice, tally)) {
                let mirror = *number;
                let report = MirrorReport { mirror, news };
                brought.reports.push(Submission::Mirror(report));
            }
            let path = Path::Mirror(*number);
            for message in session.read(*number, relay, view, (now, dice, tally)) {
                brought.mail.push(TraderMessage { path, ..message });
            }
        }
        brought
    }

    /// This was committed.
    pub(crate) fn committed(&mut self, own: &[Submission], mail: &[TraderMessage], view: &View) {
        for submission in own {
            let Submission::Mirror(report) = submission else {
                continue;
            };
            let reads = |mirror: &&mut Mirror| mirror.number == report.mirror;
            let mirror = self.list.iter_mut().find(reads).expect("one of ours");
            match &report.news {
                MirrorNews::Settled {
                    acknowledged,
                    given_up,
                } => {
                    for seq in acknowledged.iter().chain(given_up) {
                        let row = view.backlog_row(report.mirror, *seq).unwrap();
                        assert!(row.is_none(), "a row that was acknowledged stays: {seq:?}");
                    }
                }
                MirrorNews::Read(_) => mirror.relay.is_followed = true,
                MirrorNews::Fill { .. } => {}
            }
        }
        for message in mail {
            let Path::Mirror(number) = message.path else {
                continue;
            };
            let reads = |mirror: &&mut Mirror| mirror.number == number;
            let mirror = self.list.iter_mut().find(reads).expect("one of ours");
            mirror.session.is_decided(message.event);
            mirror.relay.is_dealt_with(message.event);
        }
    }

    /// What each commit must leave true of what waits for the mirrors.
    pub(crate) fn inspects(&mut self, view: &View, tally: &mut Tally) {
        for (seq, row) in view.outbox_from(self.next_row, usize::MAX).unwrap() {
            self.next_row = OutboxSeq(seq.0 + 1);
            match &row.lane {
                Lane::Address(address) => {
                    self.published.insert(address.clone(), row.event_id);
                }
                Lane::Recipient(to) => {
                    for number in view.paths_of(*to).unwrap() {
                        let copy = view.backlog_row(number, seq).unwrap();
                        assert!(copy.is_some(), "no copy of an answer to {to:?}");
                        tally.add("answer goes to a mirror");
                    }
                }
            }
        }
    }

    /// Looked at from time to time: of each address only the newest revision
    /// waits, and what does not wait is there.
    pub(crate) fn audits(&self, view: &View) {
        for mirror in &self.list {
            let mut waiting = BTreeMap::new();
            for (_, row) in view
                .backlog_from(mirror.number, OutboxSeq(0), usize::MAX)
                .unwrap()
            {
                let Lane::Address(address) = row.lane else {
                    continue;
                };
                assert_eq!(self.published[&address], row.event_id, "an old revision");
                let before = waiting.insert(address, row.event_id);
                assert!(before.is_none(), "two revisions of one address wait");
            }
            if mirror.relay.lies {
                continue;
            }
            for (address, newest) in &self.published {
                assert!(
                    waiting.contains_key(address) || mirror.relay.shows(address, *newest),
                    "a truthful mirror would never show {address}"
                );
            }
        }
    }

    /// From this moment on mirrors show everything that they have; what they
    /// do with what they get is as bad as before.
    pub(crate) fn heal_mail(&mut self) {
        for mirror in &mut self.list {
            mirror.relay.heal_mail();
        }
    }

    /// Whether all that they show is decided.
    pub(crate) fn are_read(&self) -> bool {
        let has_read = |mirror: &Mirror| mirror.session.has_read_all(&mirror.relay);
        self.list.iter().all(has_read)
    }

    /// Mirrors behave from this moment on. The lines begin anew.
    pub(crate) fn heal(&mut self) {
        for mirror in &mut self.list {
            mirror.relay.heal();
            mirror.session = Session::new();
        }
    }

    /// Whether nothing waits, in either direction.
    pub(crate) fn are_served(&self, view: &View) -> bool {
        let is_served = |mirror: &Mirror| view.backlog_len(mirror.number).unwrap() == 0;
        self.are_read() && self.list.iter().all(is_served)
    }

    /// At the end of a run a truthful mirror shows what the ledger shows, and
    /// every message that it had was brought to a decision.
    pub(crate) fn show_the_truth(&self, view: &View, tally: &mut Tally) {
        self.audits(view);
        for mirror in &self.list {
            assert_eq!(view.backlog_len(mirror.number).unwrap(), 0);
            if mirror.relay.lies {
                continue;
            }
            tally.add("truthful mirror shows the book");
            for mail in mirror.relay.mail.iter().filter(|mail| mail.is_in_time) {
                assert!(mail.is_dealt_with, "never read: {:?}", mail.message);
            }
            for (address, newest) in &self.published {
                assert!(mirror.relay.shows(address, *newest), "{address} is old");
            }
        }
    }
}
