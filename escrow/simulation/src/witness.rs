//! Who watches a run: what every step must leave true.

mod agreement;
mod answers;

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::command::{Ask, Request};
use escrow_core::dispute::DisputeId;
use escrow_core::freshness::TOLERANCE_SECS;
use escrow_core::letters;
use escrow_core::order::OrderId;
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::questions::Question;
use escrow_core::stage::Stage;
use escrow_core::wire::{self, Action, dev_fee_event, dispute_event, rating_event, read_message};
use escrow_core::{Msat, UnixTime};
use escrow_engine::submission::{Receipt, Refusal, TraderMessage};
use nostr::event::{Event, Kind};
use nostr::key::PublicKey;
use storage::ledger::{Lane, OutboxRow, OutboxSeq, View};
use uuid::Uuid;

use crate::lightning::Line;
use crate::people::People;
use crate::tally::Tally;

pub(crate) use self::agreement::{inspects_horizon, inspects_process};
pub(crate) use self::answers::Truth;

/// One letter, as far as it can be judged without its words.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    to: TradeKey,
    request_id: Option<u64>,
    order: Option<Uuid>,
    action: Action,
}

/// A request and what came of it.
struct Asked {
    by: TradeKey,
    /// What it asks for, of which order.
    what: &'static str,
    order: Option<Uuid>,
    answers: u32,
    is_decided: bool,
    /// It was in a commit of unknown outcome.
    may_be_decided: bool,
    /// Its answer may have been lost with a commit of unknown outcome.
    is_doubtful: bool,
    index: Option<(IdentityKey, i64)>,
    /// The key for the rest of a range.
    next: Option<TradeKey>,
}

impl Asked {
    fn waits_for(&self, letter: &Heard) -> bool {
        let is_its_own = self.by == letter.to && self.order == letter.order;
        let may_wait = self.is_decided || self.may_be_decided;
        is_its_own && may_wait && self.answers == 0
    }

    /// Its answer, or one that is only taken for it, should nobody know yet
    /// whether it was decided.
    fn is_answered(&mut self) {
        if self.is_decided {
            self.answers = 1;
        } else {
            self.is_doubtful = true;
        }
    }
}

/// What was seen so far.
pub(crate) struct Witness {
    node: PublicKey,
    outbound_at_first: Msat,
    asked: BTreeMap<u64, Asked>,
    decided: BTreeSet<[u8; 32]>,
    doubtful: BTreeSet<[u8; 32]>,
    /// How many requests brought an index.
    uses: BTreeMap<(IdentityKey, i64), u32>,
    /// Indices of refused requests; those that one request alone brought must stay unused.
    unburnt: BTreeSet<(IdentityKey, i64)>,
    pub(crate) orders: Vec<OrderId>,
    ended: BTreeMap<OrderId, Stage>,
    book: BTreeMap<OrderId, String>,
    disputes: BTreeMap<DisputeId, String>,
    /// Payments of the development fee that were told to everybody.
    dev_fees: BTreeSet<String>,
    stamps: BTreeMap<String, UnixTime>,
    /// What some order has come through, and what few orders do.
    rarities: BTreeSet<(&'static str, OrderId)>,
    next_row: OutboxSeq,
    /// Rows that are still to be delivered.
    pub(crate) waiting: BTreeSet<OutboxSeq>,
}

impl Witness {
    pub(crate) fn new(node: PublicKey, line: &Line) -> Witness {
        Witness {
            node,
            outbound_at_first: line.world.liquidity().outbound,
            asked: BTreeMap::new(),
            decided: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            uses: BTreeMap::new(),
            unburnt: BTreeSet::new(),
            orders: Vec::new(),
            ended: BTreeMap::new(),
            book: BTreeMap::new(),
            disputes: BTreeMap::new(),
            dev_fees: BTreeSet::new(),
            stamps: BTreeMap::new(),
            rarities: BTreeSet::new(),
            next_row: OutboxSeq(0),
            waiting: BTreeSet::new(),
        }
    }

    /// A trader asks.
    pub(crate) fn asks(&mut self, request: &Request) {
        let is_counted = matches!(
            request.ask,
            Ask::NewOrder(_) | Ask::TakeBuy { .. } | Ask::TakeSell { .. }
        );
        let next = match request.ask {
            Ask::FiatSent { next } | Ask::Release { next } => next,
            _ => None,
        };
        let of_identity = |index| match request.sender.identity {
            Identity::Known(identity) => Some((identity, index)),
            Identity::FullPrivacy => None,
        };
        let brought = request.trade_index.filter(|index| is_counted && *index > 0);
        let index = brought.and_then(of_identity);
        let of_child = next.and_then(|next| of_identity(next.index.0.into()));
        for index in index.into_iter().chain(of_child) {
            *self.uses.entry(index).or_default() += 1;
        }
        let Some(id) = request.request_id else {
            return;
        };
        let asked = Asked {
            by: request.sender.trade_key,
            what: request.ask.name(),
            order: request.order.map(|order| order.0),
            answers: 0,
            is_decided: false,
            may_be_decided: false,
            // That answer never echoes an id, only a refusal does (rule L1).
            is_doubtful: request.ask == Ask::Question(Question::RestoreSession),
            index,
            next: match request.ask {
                Ask::Release { .. } => next.map(|next| next.key),
                _ => None,
            },
        };
        assert!(self.asked.insert(id, asked).is_none(), "ids are fresh");
    }

    /// The receipt of a message that was in a committed batch.
    pub(crate) fn receipt(&mut self, message: &TraderMessage, receipt: &Receipt, now: UnixTime) {
        let names = [message.event, message.inner];
        let was_decided = names.iter().any(|name| self.decided.contains(name));
        let is_doubtful = names.iter().any(|name| self.doubtful.contains(name));
        match receipt {
            Receipt::Decided => {
                assert!(!was_decided, "decided twice: {message:?}");
                self.decided.extend(names);
                self.is_decided(message);
            }
            Receipt::Duplicate => {
                assert!(was_decided || is_doubtful, "never seen: {message:?}");
                self.is_decided(message);
            }
            Receipt::Refused(Refusal::Invalid(_)) => {
                let signed_at = message.request.signed_at;
                let apart = signed_at.secs_since(now).max(now.secs_since(signed_at));
                assert!(apart > TOLERANCE_SECS, "{receipt:?} to a fresh message");
            }
            Receipt::Ruled(_) => panic!("{receipt:?} to a trader"),
            Receipt::Refused(Refusal::Blocked(_) | Refusal::Busy(_) | Refusal::Error(_)) => {
                panic!("{receipt:?} to {message:?}")
            }
        }
    }

    fn is_decided(&mut self, message: &TraderMessage) {
        let id = message.request.request_id;
        if let Some(asked) = id.and_then(|id| self.asked.get_mut(&id)) {
            asked.is_decided = true;
        }
    }

    /// Nobody knows whether this batch was committed; what was said in it is
    /// lost if letters are not sealed.
    pub(crate) fn doubts(&mut self, batch: &[TraderMessage], letters_are_lost: bool) {
        self.doubtful.extend(
            batch
                .iter()
                .flat_map(|message| [message.event, message.inner]),
        );
        for id in batch
            .iter()
            .filter_map(|message| message.request.request_id)
        {
            if let Some(asked) = self.asked.get_mut(&id) {
                asked.may_be_decided = true;
            }
        }
        if letters_are_lost {
            for asked in self.asked.values_mut() {
                asked.is_doubtful = true;
            }
        }
    }

    /// What was said, in order. `alone` tells that one submission said it all.
    pub(crate) fn hears(&mut self, heard: &[Heard], alone: bool, tally: &mut Tally) {
        let mut pushed = BTreeSet::new();
        for letter in heard {
            let Some(id) = letter.request_id else {
                pushed.insert(letter.to);
                continue;
            };
            self.answered(id, letter, tally);
            assert!(
                !alone || !pushed.contains(&letter.to),
                "a push before an answer: {heard:?}"
            );
        }
        // Whatever has no answer of its own after that may share another's.
        for letter in heard {
            if letter.request_id.is_none() {
                self.answered_late(letter, tally);
            } else if letter.action == Action::Canceled {
                self.left_an_opening(letter);
            }
        }
    }

    fn answered(&mut self, id: u64, letter: &Heard, tally: &mut Tally) {
        let asked = self.asked.get_mut(&id).expect("an id that nobody sent");
        if letter.action == Action::NewOrder && asked.next == Some(letter.to) {
            // The child of a range is stored by the id of its release (rule N8).
            asked.next = None;
            tally.add("child told by its release");
            return;
        }
        assert_eq!(asked.by, letter.to, "another's id in {letter:?}");
        asked.answers += 1;
        assert_eq!(asked.answers, 1, "answered again: {letter:?}");
        let index = asked.index;
        if letter.action == Action::TradePubkey {
            tally.add("order moved to another key");
        }
        if letter.action == Action::CantDo {
            tally.add("refusal");
            if let Some(index) = index {
                tally.add("refused take or order");
                self.unburnt.insert(index);
            }
        }
    }

    /// Who leaves an opening of his own hears `canceled` once, and nothing more
    /// of his take or of his invoice (rule C3).
    fn left_an_opening(&mut self, letter: &Heard) {
        let opens = |what: &str| what.starts_with("take") || what == "add-invoice";
        let left = self
            .asked
            .values_mut()
            .filter(|asked| opens(asked.what) && asked.waits_for(letter));
        left.for_each(Asked::is_answered);
    }

    /// An answer to a release or a cancel that came too late to echo its id
    /// (rule B8).
    fn answered_late(&mut self, letter: &Heard, tally: &mut Tally) {
        let (what, counted) = match letter.action {
            Action::HoldInvoicePaymentSettled => (["release"; 2], "late answer to a release"),
            // The escrow was gone (rule R6).
            Action::HoldInvoicePaymentCanceled => {
                (["release", "admin-settle"], "late answer to a release")
            }
            Action::Canceled | Action::CooperativeCancelAccepted => {
                (["cancel"; 2], "late answer to a cancel")
            }
            Action::AdminSettled => (["admin-settle"; 2], "late answer to a ruling"),
            Action::AdminCanceled => (["admin-cancel"; 2], "late answer to a ruling"),
            _ => return,
        };
        let open = self
            .asked
            .values_mut()
            .filter(|asked| what.contains(&asked.what) && asked.waits_for(letter));
        if let Some(asked) = open.min_by_key(|asked| !asked.is_decided) {
            asked.is_answered();
            tally.add(counted);
        }
    }

    /// New rows of the outbox; answers the letters among them.
    pub(crate) fn reads_outbox(&mut self, view: &View, people: &People) -> Vec<Heard> {
        let mut heard = Vec::new();
        for (seq, row) in view.outbox_from(self.next_row, usize::MAX).unwrap() {
            self.next_row = OutboxSeq(seq.0 + 1);
            self.waiting.insert(seq);
            let lane = format!("{:?}", row.lane);
            let before = self.stamps.insert(lane, row.created_at);
            assert!(
                before.is_none_or(|before| before < row.created_at),
                "stamps of {:?} do not rise",
                row.lane
            );
            match row.lane {
                Lane::Address(_) => self.reads_book(&row),
                Lane::Recipient(to) => heard.push(self.opens(to, &row, people)),
            }
        }
        heard
    }

    fn reads_book(&mut self, row: &OutboxRow) {
        let event = Event::from_json(&row.event).unwrap();
        let value = |name: &str| {
            let tag = event.tags.iter().find(|tag| tag.as_slice()[0] == name);
            tag.unwrap().as_slice()[1].clone()
        };
        if event.kind == Kind::from_u16(dispute_event::DISPUTE) {
            let dispute = DisputeId(value("d").parse().unwrap());
            self.disputes.insert(dispute, value("s"));
            return;
        }
        if event.kind == Kind::from_u16(rating_event::RATING) {
            return;
        }
        if event.kind == Kind::from_u16(dev_fee_event::DEV_FEE) {
            let is_first = self.dev_fees.insert(value("hash"));
            assert!(is_first, "told twice: {event:?}");
            return;
        }
        let order = OrderId(value("d").parse().unwrap());
        if !self.orders.contains(&order) {
            self.orders.push(order);
        }
        self.book.insert(order, value("s"));
    }

    /// A sealed letter, as its recipient reads it.
    fn opens(&self, to: TradeKey, row: &OutboxRow, people: &People) -> Heard {
        let event = Event::from_json(&row.event).unwrap();
        let keys = people.keys_of(to);
        let json = wire::client::unwrap(&event, keys, self.node).unwrap();
        let message = read_message(&json).unwrap();
        Heard {
            to,
            request_id: message.request_id,
            order: message.id,
            action: message.action,
        }
    }

    /// Letters that were not sealed.
    pub(crate) fn unsealed(letters: &[escrow_core::notice::Letter]) -> Vec<Heard> {
        letters
            .iter()
            .map(|letter| Heard {
                to: letter.to,
                request_id: letter.request_id,
                order: letter.order.map(|order| order.0),
                action: letters::message(letter).action,
            })
            .collect()
    }

    /// Tells of how many orders came through what few do.
    pub(crate) fn tells_rarities(&self, tally: &mut Tally) {
        for (name, _) in &self.rarities {
            tally.add(name);
        }
    }

    /// At the end of a run every decided request has been answered.
    pub(crate) fn all_are_answered(&self) {
        for (id, asked) in &self.asked {
            let is_answered = !asked.is_decided || asked.answers == 1;
            assert!(
                is_answered || asked.is_doubtful,
                "request {id} got no answer"
            );
        }
    }
}
