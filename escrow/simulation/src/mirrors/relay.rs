//! An external relay: what it keeps, and what it says about it.

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::UnixTime;
use escrow_core::wire::Transport;
use escrow_engine::submission::TraderMessage;
use nostr::event::EventId;
use storage::ledger::{Lane, OutboxRow};

use crate::dice::Dice;
use crate::tally::Tally;

/// Gift wraps are dated up to two days back.
const DATED_BACK_SECS: u64 = 48 * 3_600;

/// A message that a relay shows so much later is found by whoever reads on from
/// an hour more than two days before.
const MOST_LAG_SECS: u64 = 2_000;

/// An external relay.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Relay {
    pub(super) url: String,
    /// It may say that it keeps what it does not keep, and refuse for good.
    pub(super) lies: bool,
    pub(super) is_healed: bool,
    /// The node has written down how far it has read: what comes from here on
    /// is not missed.
    pub(super) is_followed: bool,
    /// Whoever reads it reads all of it.
    pub(super) is_readable: bool,
    mood: Mood,
    mood_until: UnixTime,
    /// The newest revision of each address, and when it was made.
    book: BTreeMap<String, (UnixTime, EventId)>,
    letters: BTreeSet<EventId>,
    /// Messages to the node, in the order in which it got them.
    pub(super) mail: Vec<Mail>,
}

/// A message to the node on a relay.
pub(super) struct Mail {
    /// What its event says.
    pub(super) dated: UnixTime,
    /// From when on the relay shows it.
    pub(super) shown_from: UnixTime,
    /// Shown so soon that whoever reads on with some overlap sees it.
    pub(super) is_in_time: bool,
    /// It came to a decision, or was known to have come to one.
    pub(super) is_dealt_with: bool,
    pub(super) message: TraderMessage,
}

/// What a relay does with what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Kept,
    /// It is not there.
    Away,
    /// It keeps events and does not say so.
    Mute,
    RateLimits,
    Fails,
    /// It says that it keeps them.
    KeepsNothing,
    /// It says that it has them.
    SaysDuplicate,
    Blocks,
}

/// What a relay says to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// OK, or a duplicate.
    Stored,
    /// Not now.
    Later,
    /// Never.
    Refused,
    Nothing,
}

impl Relay {
    pub(super) fn new(number: u64, dice: &mut Dice) -> Relay {
        Relay {
            url: format!("wss://mirror-{number}.example"),
            lies: dice.percent(50),
            is_healed: false,
            is_followed: false,
            is_readable: false,
            mood: Mood::Kept,
            mood_until: UnixTime(0),
            book: BTreeMap::new(),
            letters: BTreeSet::new(),
            mail: Vec::new(),
        }
    }

    pub(super) fn changes_its_mood(&mut self, now: UnixTime, dice: &mut Dice, tally: &mut Tally) {
        if self.is_healed || now < self.mood_until {
            return;
        }
        let was_away = self.mood == Mood::Away;
        let (mood, name) = match dice.below(if self.lies { 20 } else { 14 }) {
            0..8 => (Mood::Kept, "mirror is well"),
            8..11 => (Mood::Away, "mirror away"),
            11 => (Mood::Mute, "mirror is mute"),
            12 => (Mood::RateLimits, "mirror limits the rate"),
            13 => (Mood::Fails, "mirror fails"),
            14..16 => (Mood::KeepsNothing, "mirror keeps nothing"),
            16..18 => (Mood::SaysDuplicate, "mirror lies of a duplicate"),
            _ => (Mood::Blocks, "mirror blocks"),
        };
        if was_away && mood != Mood::Away {
            tally.add("mirror is back");
        }
        tally.add(name);
        self.mood = mood;
        self.mood_until = now.plus(dice.below(600));
    }

    pub(super) fn heal(&mut self) {
        self.is_healed = true;
        self.mood = Mood::Kept;
    }

    pub(super) fn heal_mail(&mut self) {
        self.is_readable = true;
        for mail in &mut self.mail {
            mail.shown_from = UnixTime(0);
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.mood != Mood::Away
    }

    pub(super) fn hears(&mut self, row: &OutboxRow) -> Answer {
        match self.mood {
            Mood::Kept => {
                self.keeps(row);
                Answer::Stored
            }
            Mood::Mute => {
                self.keeps(row);
                Answer::Nothing
            }
            Mood::RateLimits | Mood::Fails => Answer::Later,
            Mood::KeepsNothing | Mood::SaysDuplicate => Answer::Stored,
            Mood::Blocks => Answer::Refused,
            Mood::Away => Answer::Nothing,
        }
    }

    pub(super) fn is_dealt_with(&mut self, event: [u8; 32]) {
        for mail in &mut self.mail {
            mail.is_dealt_with |= mail.message.event == event;
        }
    }

    /// As a relay does: of an address the newest stays, whatever comes last.
    fn keeps(&mut self, row: &OutboxRow) {
        match &row.lane {
            Lane::Recipient(_) => {
                self.letters.insert(row.event_id);
            }
            Lane::Address(address) => {
                let kept = self.book.get(address);
                if kept.is_none_or(|(made, _)| *made < row.created_at) {
                    let entry = (row.created_at, row.event_id);
                    self.book.insert(address.clone(), entry);
                }
            }
        }
    }

    pub(super) fn has(&self, row: &OutboxRow) -> bool {
        match &row.lane {
            Lane::Recipient(_) => self.letters.contains(&row.event_id),
            Lane::Address(address) => self.shows(address, row.event_id),
        }
    }

    pub(super) fn shows(&self, address: &str, event: EventId) -> bool {
        self.book
            .get(address)
            .is_some_and(|(_, shown)| *shown == event)
    }

    /// A trader leaves a message to the node.
    pub(super) fn takes_mail(
        &mut self,
        message: &TraderMessage,
        now: UnixTime,
        dice: &mut Dice,
        tally: &mut Tally,
    ) {
        let signed_at = message.request.signed_at;
        let dated = match message.request.sender.transport {
            Transport::Direct => signed_at,
            Transport::GiftWrap => UnixTime(signed_at.0 - dice.below(DATED_BACK_SECS)),
        };
        let lag_secs = match dice.below(20) {
            0..14 => 0,
            14..18 => dice.below(MOST_LAG_SECS),
            18 => {
                tally.add("mirror shows a message late");
                3_600 + dice.below(20_000)
            }
            _ => dice.below(300),
        };
        self.mail.push(Mail {
            dated,
            shown_from: now.plus(lag_secs),
            is_in_time: self.is_followed && lag_secs <= MOST_LAG_SECS,
            is_dealt_with: false,
            message: message.clone(),
        });
    }
}
