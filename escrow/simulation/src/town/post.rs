//! The way of messages to the node and of events from it: late, lost, twice,
//! and in any order.

use escrow_core::UnixTime;
use escrow_core::command::Request;
use escrow_engine::submission::{Path, TraderMessage};
use storage::ledger::OutboxSeq;

use super::Town;
use super::step::Batch;
use crate::people::{Scene, envelope};

/// How often a client sends a message for which it sees no `OK`.
const TRIES: u32 = 4;

/// What is under way between the traders and the node.
#[derive(Default)]
pub(super) struct Post {
    under_way: Vec<Mail>,
    /// Everything that was ever sent.
    sent: Vec<TraderMessage>,
    /// The relay takes no event of the node until then.
    closed_until: UnixTime,
}

/// A message on its way.
struct Mail {
    arrives: UnixTime,
    tries_left: u32,
    message: TraderMessage,
}

impl Post {
    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}

impl Town {
    pub(super) fn somebody_acts(&mut self) {
        if self.dice.percent(10) && !self.post.sent.is_empty() {
            return self.repeat();
        }
        let (view, living) = (self.view(), self.living());
        let mut scene = Scene {
            view: &view,
            living: &living,
            line: &mut self.line,
            dice: &mut self.dice,
            tally: &mut self.tally,
            now: self.hours.now,
        };
        let requests = self.people.idea(&self.witness.orders, &mut scene);
        for mut request in requests {
            match self.dice.below(100) {
                0..3 => request.signed_at = request.signed_at.plus(self.dice.below(400)),
                3..7 => {
                    let earlier = request.signed_at.0 - self.dice.below(1_000);
                    request.signed_at = UnixTime(earlier);
                }
                _ => {}
            }
            let delay_secs = match self.dice.below(100) {
                0..70 => 0,
                70..90 => self.dice.below(20),
                90..98 => self.dice.below(400),
                _ => {
                    self.tally.add("message late by hours");
                    3_600 + self.dice.below(20_000)
                }
            };
            self.send(request, delay_secs);
        }
    }

    /// Somebody asks what changes nothing, and is answered at once: so it can be
    /// compared with what the ledger says.
    pub(super) fn somebody_wonders(&mut self) {
        let (view, living) = (self.view(), self.living());
        let mut scene = Scene {
            view: &view,
            living: &living,
            line: &mut self.line,
            dice: &mut self.dice,
            tally: &mut self.tally,
            now: self.hours.now,
        };
        let request = self.people.question(&self.witness.orders, &mut scene);
        drop((view, living));
        self.witness.asks(&request);
        let message = envelope(request, &mut self.dice);
        self.commit(&Batch {
            mail: vec![message],
            ..Batch::default()
        });
    }

    pub(super) fn send(&mut self, request: Request, delay_secs: u64) {
        self.witness.asks(&request);
        let message = envelope(request, &mut self.dice);
        self.post.sent.push(message.clone());
        let (dice, tally) = (&mut self.dice, &mut self.tally);
        let now = self.hours.now;
        if !self.line.is_good && self.mirrors.carries(&message, now, dice, tally) {
            return;
        }
        self.post.under_way.push(Mail {
            arrives: self.hours.now.plus(delay_secs),
            tries_left: TRIES,
            message,
        });
    }

    /// A message comes again, as it was or in another wrap.
    fn repeat(&mut self) {
        let mut message = self.dice.pick(&self.post.sent).unwrap().clone();
        let is_wrapped = message.event != message.inner;
        if is_wrapped && self.dice.percent(50) {
            message.event = self.dice.bytes();
        }
        self.tally.add("repeated message");
        self.post.under_way.push(Mail {
            arrives: self.hours.now,
            tries_left: 0,
            message,
        });
    }

    /// What reaches the node by now, in any order.
    pub(super) fn arrivals(&mut self) -> Vec<TraderMessage> {
        let now = self.hours.now;
        let (here, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.post.under_way)
            .into_iter()
            .partition(|mail| mail.arrives <= now || self.line.is_good);
        self.post.under_way = later;
        let mut arrived = Vec::new();
        for mail in here {
            match if self.line.is_good {
                99
            } else {
                self.dice.below(100)
            } {
                0..4 => {
                    self.tally.add("message lost");
                    self.sent_again(mail);
                }
                4..7 => {
                    self.tally.add("OK lost");
                    arrived.push(mail.message.clone());
                    self.sent_again(mail);
                }
                7..9 => {
                    self.tally.add("message doubled");
                    arrived.extend([mail.message.clone(), mail.message]);
                }
                _ => arrived.push(mail.message),
            }
        }
        self.dice.shuffle(&mut arrived);
        arrived
    }

    /// A client that has seen no `OK` sends the same event once more, until it
    /// gives up.
    fn sent_again(&mut self, mail: Mail) {
        if mail.tries_left > 0 {
            self.post.under_way.push(Mail {
                arrives: self.hours.now.plus(5 + self.dice.below(60)),
                tries_left: mail.tries_left - 1,
                ..mail
            });
        }
    }

    /// Whoever got no receipt, because the node failed on it, sends once more.
    pub(super) fn send_again(&mut self, mail: Vec<TraderMessage>) {
        let arrives = self.hours.now.plus(1 + self.dice.below(5));
        let own = mail.into_iter().filter(|it| it.path == Path::OwnRelay);
        let again = own.map(|message| Mail {
            arrives,
            tries_left: TRIES,
            message,
        });
        self.post.under_way.extend(again);
    }

    /// The relay fails to take events for a while, up to hours.
    pub(super) fn close_post(&mut self) {
        self.tally.add("relay takes no events");
        let secs = if self.dice.percent(20) { 20_000 } else { 300 };
        self.post.closed_until = self.hours.now.plus(self.dice.below(secs));
    }

    /// Some of the rows that wait; not always in one go.
    pub(super) fn deliveries(&mut self) -> Vec<OutboxSeq> {
        let share = match self.line.is_good {
            true => 100,
            false if self.post.closed_until > self.hours.now => 0,
            false => 70,
        };
        let is_delivered = |_: &OutboxSeq| self.dice.percent(share);
        self.witness
            .waiting
            .iter()
            .copied()
            .filter(is_delivered)
            .collect()
    }
}
