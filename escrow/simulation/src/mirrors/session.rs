//! What one process remembers of its lines to a mirror.

use std::collections::BTreeSet;

use escrow_core::UnixTime;
use escrow_core::wire::Transport;
use escrow_engine::submission::{MirrorNews, TraderMessage};
use storage::ledger::{MirrorNo, OutboxSeq, SeenKey, View};

use super::relay::{Answer, Relay};
use crate::dice::Dice;
use crate::tally::Tally;

/// Gift wraps are dated up to two days back, and clocks are not all right.
const OVERLAP_SECS: u64 = 48 * 3_600 + 3_600;

/// Events that are sent in one go.
const WINDOW: usize = 16;

/// Messages that are decided in one go.
const READ_AT_ONCE: usize = 16;

/// The moment, and whom to ask and tell of chance.
type At<'a> = (UnixTime, &'a mut Dice, &'a mut Tally);

/// The lines to one mirror.
pub(super) struct Session {
    /// The first row that was not read yet.
    next: OutboxSeq,
    /// Rows that are to be sent once more.
    again: BTreeSet<OutboxSeq>,
    /// From which date on messages are asked for; none before the first question.
    since: Option<UnixTime>,
    /// Messages that need no more attention.
    decided: BTreeSet<[u8; 32]>,
}

impl Session {
    pub(super) fn new() -> Session {
        Session {
            next: OutboxSeq(0),
            again: BTreeSet::new(),
            since: None,
            decided: BTreeSet::new(),
        }
    }

    /// Brings some of what waits; what is new of the mirror is reported.
    pub(super) fn converse(
        &mut self,
        number: MirrorNo,
        relay: &mut Relay,
        view: &View,
        (now, dice, tally): At<'_>,
    ) -> Vec<MirrorNews> {
        let mut rows = view.backlog_from(number, self.next, WINDOW).unwrap();
        if let Some((last, _)) = rows.last() {
            self.next = OutboxSeq(last.0 + 1);
        }
        for seq in std::mem::take(&mut self.again) {
            match view.backlog_row(number, seq).unwrap() {
                Some(row) => rows.push((seq, row)),
                None => tally.add("replaced before it was brought"),
            }
        }
        let (mut acknowledged, mut given_up) = (Vec::new(), Vec::new());
        if !relay.is_healed {
            dice.shuffle(&mut rows);
        }
        for (seq, row) in rows {
            if relay.has(&row) {
                tally.add("brought to a mirror twice");
            }
            match relay.hears(&row) {
                Answer::Stored => acknowledged.push(seq),
                Answer::Refused => given_up.push(seq),
                Answer::Later | Answer::Nothing => {
                    self.again.insert(seq);
                }
            }
        }
        let mut news = Vec::new();
        if !acknowledged.is_empty() || !given_up.is_empty() {
            news.push(MirrorNews::Settled {
                acknowledged,
                given_up,
            });
        }
        let read_until = self.is_read_until(relay, now);
        news.extend(
            read_until
                .filter(|_| dice.percent(20))
                .map(MirrorNews::Read),
        );
        news
    }

    /// Messages that are to be decided next, the oldest on the relay first.
    pub(super) fn read(
        &mut self,
        number: MirrorNo,
        relay: &mut Relay,
        view: &View,
        (now, dice, tally): At<'_>,
    ) -> Vec<TraderMessage> {
        let since = *self.since.get_or_insert_with(|| {
            let known = view.mirror(number).unwrap().expect("it is configured");
            if known.read_until.is_some() {
                tally.add("mirror read on from its cursor");
            }
            let from = known.read_until.unwrap_or(now);
            UnixTime(from.0.saturating_sub(OVERLAP_SECS))
        });
        let mut new = Vec::new();
        for mail in &mut relay.mail {
            let event = mail.message.event;
            if mail.dated < since || mail.shown_from > now {
                continue;
            }
            if self.decided.contains(&event) || !is_new(&mail.message, number, view) {
                self.decided.insert(event);
                mail.is_dealt_with = true;
                continue;
            }
            new.push(mail.message.clone());
            if !relay.is_readable && dice.percent(5) {
                tally.add("mirror tells a message twice");
                new.push(mail.message.clone());
            }
            if new.len() >= READ_AT_ONCE {
                break;
            }
        }
        new
    }

    pub(super) fn is_decided(&mut self, event: [u8; 32]) {
        self.decided.insert(event);
    }

    pub(super) fn has_read_all(&self, relay: &Relay) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        let asked_for = relay.mail.iter().filter(|mail| mail.dated >= since);
        asked_for
            .map(|mail| mail.message.event)
            .all(|event| self.decided.contains(&event))
    }

    /// Until when all that the relay shows is decided.
    fn is_read_until(&self, relay: &Relay, now: UnixTime) -> Option<UnixTime> {
        let shown = |mail: &&super::relay::Mail| mail.shown_from <= now;
        let since = self.since?;
        let is_read = relay
            .mail
            .iter()
            .filter(shown)
            .all(|mail| mail.dated < since || self.decided.contains(&mail.message.event));
        is_read.then(|| UnixTime(now.0 - 1))
    }
}

/// Whether a message is worth opening: it is not decided, or its author was
/// not known to read this mirror.
fn is_new(message: &TraderMessage, number: MirrorNo, view: &View) -> bool {
    if view.seen(SeenKey::Event(message.event)).unwrap().is_none() {
        return true;
    }
    let sender = &message.request.sender;
    match sender.transport {
        Transport::Direct => view.path(sender.trade_key, number).unwrap().is_none(),
        Transport::GiftWrap => false,
    }
}
