//! Who watches a run: what every step must leave true.

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::command::{Ask, Request};
use escrow_core::dispute::{DisputeId, DisputeState};
use escrow_core::due;
use escrow_core::freshness::TOLERANCE_SECS;
use escrow_core::hold::HoldState;
use escrow_core::letters;
use escrow_core::order::OrderId;
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::stage::{BackTo, Stage};
use escrow_core::wire::{self, Action, dispute_event, read_message};
use escrow_core::{Msat, UnixTime};
use escrow_engine::known_keys::KnownKeys;
use escrow_engine::submission::{Receipt, Refusal, TraderMessage};
use escrow_lightning::backend::{HoldState as Seen, PaymentState};
use nostr::event::{Event, Kind};
use nostr::key::PublicKey;
use storage::ledger::{Lane, OutboxRow, OutboxSeq, View};
use uuid::Uuid;

use crate::lightning::{Line, Task, Workers};
use crate::people::People;
use crate::tally::Tally;

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
    /// Its answer may have been lost with a commit of unknown outcome.
    is_doubtful: bool,
    index: Option<(IdentityKey, i64)>,
}

impl Asked {
    fn waits_for(&self, letter: &Heard) -> bool {
        let is_its_own = self.by == letter.to && self.order == letter.order;
        is_its_own && self.is_decided && self.answers == 0
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
    stamps: BTreeMap<String, UnixTime>,
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
            stamps: BTreeMap::new(),
            next_row: OutboxSeq(0),
            waiting: BTreeSet::new(),
        }
    }

    /// A trader asks.
    pub(crate) fn asks(&mut self, request: &Request) {
        let is_counted = matches!(
            request.ask,
            Ask::NewOrder(_) | Ask::TakeBuy | Ask::TakeSell { .. }
        );
        let index = match request.sender.identity {
            Identity::Known(identity) if is_counted => {
                let index = request.trade_index.filter(|index| *index > 0);
                index.map(|index| (identity, index))
            }
            Identity::Known(_) | Identity::FullPrivacy => None,
        };
        if let Some(index) = index {
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
            is_doubtful: false,
            index,
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
            Receipt::Refused(Refusal::Busy(_) | Refusal::Error(_)) => {
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
        assert_eq!(asked.by, letter.to, "another's id in {letter:?}");
        asked.answers += 1;
        assert_eq!(asked.answers, 1, "answered again: {letter:?}");
        let index = asked.index;
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
        left.for_each(|asked| asked.answers = 1);
    }

    /// An answer to a release or a cancel that came too late to echo its id
    /// (rule B8).
    fn answered_late(&mut self, letter: &Heard, tally: &mut Tally) {
        let (what, counted) = match letter.action {
            Action::HoldInvoicePaymentSettled | Action::HoldInvoicePaymentCanceled => {
                ("release", "late answer to a release")
            }
            Action::Canceled | Action::CooperativeCancelAccepted => {
                ("cancel", "late answer to a cancel")
            }
            _ => return,
        };
        let mut open = self
            .asked
            .values_mut()
            .filter(|asked| asked.what == what && asked.waits_for(letter));
        if let Some(asked) = open.next() {
            asked.answers = 1;
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
        let order = OrderId(value("d").parse().unwrap());
        if !self.orders.contains(&order) {
            self.orders.push(order);
        }
        self.book.insert(order, value("s"));
    }

    /// A sealed letter, as its recipient reads it.
    fn opens(&self, to: TradeKey, row: &OutboxRow, people: &People) -> Heard {
        let event = Event::from_json(&row.event).unwrap();
        let keys = &people.selves[&to].keys;
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

    /// What must be true after every step.
    pub(crate) fn inspects(&mut self, view: &View, line: &Line) {
        let ended = &self.ended;
        let living = |id: &&OrderId| !ended.contains_key(id);
        let living: Vec<OrderId> = self.orders.iter().filter(living).copied().collect();
        for order in living {
            self.inspects_order(order, view);
            inspects_holds(order, view, line);
        }
        let world = &line.world;
        assert_eq!(world.total_msat(), world.minted_msat(), "sats made or lost");
        let sent = view.sent_attempts().unwrap();
        let payouts: BTreeSet<_> = sent.iter().map(|attempt| attempt.payout).collect();
        assert_eq!(payouts.len(), sent.len(), "two attempts of one payout");
    }

    /// What stays wrong once it is wrong; looked at from time to time.
    pub(crate) fn audits(&mut self, view: &View, line: &Line, people: &People) {
        for order in self.orders.clone() {
            self.inspects_order(order, view);
            inspects_holds(order, view, line);
        }
        self.audits_money(view, line, people);
        let unburnt = self.unburnt.iter().filter(|index| self.uses[index] == 1);
        for (identity, index) in unburnt {
            let user = view.user(*identity).unwrap();
            let last = user.map_or(0, |user| i64::from(user.last_index.0));
            assert_ne!(last, *index, "a refusal has used an index");
        }
        let set_aside = view.set_aside(1).unwrap();
        assert!(set_aside.is_empty(), "{set_aside:?}");
    }

    fn inspects_order(&mut self, id: OrderId, view: &View) {
        let order = view.order(id).unwrap().expect("an order in the book");
        let stage = &order.stage;
        let shown = match stage {
            Stage::Pending
            | Stage::OpeningHold {
                back_to: BackTo::Pending,
                ..
            } => "pending",
            Stage::Success { .. } => "success",
            Stage::Canceled { .. } | Stage::Expired => "canceled",
            Stage::OpeningHold { .. }
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Dispute { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. } => "in-progress",
        };
        assert_eq!(
            self.book[&id], shown,
            "book and ledger of {id:?}: {stage:?}"
        );
        if let Some(dispute) = order.dispute {
            let row = view.dispute(dispute).unwrap().unwrap();
            assert_eq!(self.disputes[&dispute], row.status().as_str());
            let is_open = matches!(stage, Stage::Dispute { .. });
            assert!(!is_open || row.state == DisputeState::Initiated);
            assert!(!stage.is_terminal() || row.state != DisputeState::Initiated);
        }
        let payout = stage.payout().map(|id| view.payout(id).unwrap().unwrap());
        let hold = stage.hold().map(|id| view.hold(id).unwrap().unwrap());
        let mover = due::mover(&order, hold.as_ref(), payout.as_ref());
        assert!(
            mover.is_some() != stage.is_terminal(),
            "{mover:?} moves {order:?}"
        );
        for timer in due::due(&order, payout.as_ref(), None) {
            let set = view.timer_of(id, timer.kind).unwrap();
            assert!(set.is_some(), "no {:?} of {order:?}", timer.kind);
        }
        if let Some(end) = self.ended.get(&id) {
            assert_eq!(stage, end, "an ended order moved");
        } else if stage.is_terminal() {
            self.ended.insert(id, stage.clone());
        }
    }

    fn audits_money(&self, view: &View, line: &Line, people: &People) {
        let world = &line.world;
        let mut node = self.outbound_at_first.0;
        let mut wallets = vec![People::funds().0; people.persons.len()];
        for hold in self
            .orders
            .iter()
            .flat_map(|id| view.holds_of(*id).unwrap())
        {
            let owner = people.selves[&hold.seller.trade_key].owner;
            match world.hold(hold.hash).map(|seen| seen.state) {
                Some(Seen::Settled { paid }) => {
                    wallets[owner] -= paid.0;
                    node += paid.0;
                }
                Some(Seen::Accepted(acceptance)) => wallets[owner] -= acceptance.paid.0,
                Some(Seen::Open { partial }) => wallets[owner] -= partial.0,
                Some(Seen::Canceled) | None => {}
            }
        }
        let mut paid = BTreeSet::new();
        for payment in line.payments() {
            let attempt = view.attempt(payment.hash).unwrap().expect("its attempt");
            assert_eq!(attempt.amount, payment.amount);
            let fee = match payment.state {
                PaymentState::Succeeded { fee, .. } => fee,
                PaymentState::InFlight { .. } => Msat(0),
                PaymentState::Failed { .. } | PaymentState::NotFound => continue,
            };
            let is_first = paid.insert(attempt.order);
            assert!(is_first, "two live payments for {:?}", attempt.order);
            inspects_cover(attempt.order, payment.amount, view, line);
            if matches!(payment.state, PaymentState::Succeeded { .. }) {
                node -= payment.amount.0 + fee.0;
                wallets[people.payees[&payment.hash]] += payment.amount.0;
            }
        }
        let liquidity = world.liquidity();
        assert_eq!(
            liquidity.outbound.0 + liquidity.held_out.0,
            node,
            "the node's sats"
        );
        for (person, expected) in people.persons.iter().zip(wallets) {
            assert_eq!(
                world.balance(&person.wallet).0,
                expected,
                "{}",
                person.wallet
            );
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

/// Known keys are those of living orders, and everything alive is tended.
pub(crate) fn inspects_process(view: &View, known: &KnownKeys, workers: &Workers, people: &People) {
    let living = view.living_trade_keys().unwrap();
    for key in people.selves.keys() {
        assert_eq!(known.knows(&key.0), living.contains(key), "known keys");
    }
    for hold in view.living_holds().unwrap() {
        assert!(
            workers.tends(Task::Hold(hold.hash)),
            "nobody tends {hold:?}"
        );
    }
    for attempt in view.sent_attempts().unwrap() {
        let task = Task::Payment(attempt.hash);
        assert!(workers.tends(task), "nobody tends {attempt:?}");
    }
}

/// Where a hold stands in ledger and world.
fn inspects_holds(order: OrderId, view: &View, line: &Line) {
    for hold in view.holds_of(order).unwrap() {
        let seen = line.world.hold(hold.hash).map(|seen| seen.state);
        let agrees = match &hold.state {
            HoldState::Settled(_) => matches!(seen, Some(Seen::Settled { .. })),
            // One that opened very late is closed by its own expiry.
            HoldState::Canceled => {
                matches!(seen, None | Some(Seen::Canceled | Seen::Open { .. }))
            }
            HoldState::Lost => seen == Some(Seen::Canceled),
            HoldState::New => !matches!(seen, Some(Seen::Settled { .. } | Seen::Accepted(_))),
            // A paid one is on its way back to the seller.
            HoldState::Canceling => !matches!(seen, Some(Seen::Settled { .. })),
            HoldState::Open { .. } | HoldState::Accepted(_) => {
                !matches!(seen, Some(Seen::Settled { .. }) | None)
            }
            HoldState::Settling(_) => !matches!(seen, Some(Seen::Open { .. }) | None),
        };
        assert!(agrees, "ledger {:?}, Lightning {seen:?}", hold.state);
    }
}

/// A payment goes out only against a settled hold that covers it (promise 3).
fn inspects_cover(order: OrderId, amount: Msat, view: &View, line: &Line) {
    let order = view.order(order).unwrap().unwrap();
    let hold = view.hold(order.stage.hold().unwrap()).unwrap().unwrap();
    let seen = line.world.hold(hold.hash).unwrap();
    assert!(matches!(seen.state, Seen::Settled { .. }), "{order:?}");
    assert!(amount <= seen.value, "more goes out than came in");
}
