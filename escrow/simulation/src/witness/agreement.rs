//! Book, ledger, Lightning and wallets agree.

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::due;
use escrow_core::hold::{Hold, HoldState};
use escrow_core::order::{Order, OrderId};
use escrow_core::payout::{Attempt, AttemptState, Payee, Payout, PayoutState};
use escrow_core::stage::{BackTo, Stage};
use escrow_core::terms::Terms;
use escrow_core::{Msat, UnixTime};
use escrow_engine::known_keys::KnownKeys;
use escrow_lightning::backend::{HoldState as Seen, PaymentState};
use nostr::key::PublicKey;
use storage::ledger::View;

use super::Witness;
use crate::lightning::{DEVELOPMENT, Line, Task, Workers};
use crate::people::People;

/// An order with all its holds, as the ledger has them.
#[derive(Debug)]
struct Trade {
    order: Order,
    holds: Vec<Hold>,
}

type Trades = BTreeMap<OrderId, Trade>;

impl Witness {
    /// What must be true after every step.
    pub(crate) fn inspects(&mut self, view: &View, living: &[Order], line: &Line) {
        for order in living {
            assert!(
                self.book.contains_key(&order.id),
                "not in the book: {order:?}"
            );
            self.inspects_order(order, view, line);
        }
        let has_ended = |id: &&OrderId| !living.iter().any(|order| order.id == **id);
        let is_news = |id: &&OrderId| !self.ended.contains_key(id);
        let ended = self.orders.iter().filter(is_news).filter(has_ended);
        for id in ended.copied().collect::<Vec<_>>() {
            self.inspects_order(&known(id, view), view, line);
        }
        let world = &line.world;
        assert_eq!(world.total_msat(), world.minted_msat(), "sats made or lost");
        let sent = view.sent_attempts().unwrap();
        let payouts: BTreeSet<_> = sent.iter().map(|attempt| attempt.payout).collect();
        assert_eq!(payouts.len(), sent.len(), "two attempts of one payout");
    }

    /// What stays wrong once it is wrong; looked at from time to time.
    pub(crate) fn audits(&mut self, view: &View, line: &Line, people: &People) {
        let mut trades = BTreeMap::new();
        for id in self.orders.clone() {
            let order = known(id, view);
            let holds = self.inspects_order(&order, view, line);
            trades.insert(id, Trade { order, holds });
        }
        self.audits_money(&trades, view, line, people);
        let unburnt = self.unburnt.iter().filter(|index| self.uses[index] == 1);
        for (identity, index) in unburnt {
            let user = view.user(*identity).unwrap();
            let last = user.map_or(0, |user| i64::from(user.last_index.0));
            assert_ne!(last, *index, "a refusal has used an index");
        }
        let set_aside = view.set_aside(1).unwrap();
        assert!(set_aside.is_empty(), "{set_aside:?}");
    }

    /// Returns its holds.
    fn inspects_order(&mut self, order: &Order, view: &View, line: &Line) -> Vec<Hold> {
        let (id, stage) = (order.id, &order.stage);
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
            assert!(!is_open || row.is_open());
            assert!(!stage.is_terminal() || !row.is_open());
        }
        let payout = stage.payout().map(|id| view.payout(id).unwrap().unwrap());
        let holds = view.holds_of(id).unwrap();
        for hold in &holds {
            inspects_hold(hold, line);
        }
        let hold = hold_of(order, &holds);
        let rarity = rarity(stage, payout.as_ref(), hold);
        self.rarities.extend(rarity.map(|name| (name, id)));
        let mover = due::mover(order, hold, payout.as_ref());
        assert!(
            mover.is_some() != stage.is_terminal(),
            "{mover:?} moves {order:?}"
        );
        for timer in due::due(order, payout.as_ref(), None) {
            let set = view.timer_of(id, timer.kind).unwrap();
            assert!(set.is_some(), "no {:?} of {order:?}", timer.kind);
        }
        if let Some(end) = self.ended.get(&id) {
            assert_eq!(stage, end, "an ended order moved");
        } else if stage.is_terminal() {
            self.ended.insert(id, stage.clone());
        }
        holds
    }

    fn audits_money(&self, trades: &Trades, view: &View, line: &Line, people: &People) {
        let world = &line.world;
        let mut node = self.outbound_at_first.0;
        let names = people.persons.iter().map(|person| person.wallet.as_str());
        let mut wallets: BTreeMap<_, _> = names.map(|name| (name, People::funds().0)).collect();
        wallets.insert(DEVELOPMENT, 0);
        for hold in trades.values().flat_map(|trade| &trade.holds) {
            let owner = people.selves[&hold.seller.trade_key].owner;
            let wallet = people.persons[owner].wallet.as_str();
            let wallet = wallets.get_mut(wallet).unwrap();
            match world.hold(hold.hash).map(|seen| seen.state) {
                Some(Seen::Settled { paid }) => {
                    *wallet -= paid.0;
                    node += paid.0;
                }
                Some(Seen::Accepted(acceptance)) => *wallet -= acceptance.paid.0,
                Some(Seen::Open { partial }) => *wallet -= partial.0,
                Some(Seen::Canceled) | None => {}
            }
        }
        let mut paid = BTreeSet::new();
        let mut gone: BTreeMap<OrderId, Msat> = BTreeMap::new();
        for payment in line.payments() {
            let attempt = view.attempt(payment.hash).unwrap().expect("its attempt");
            assert_eq!(attempt.amount, payment.amount);
            let payout = view.payout(attempt.payout).unwrap().unwrap();
            assert_eq!(
                Some(attempt.amount),
                payout.amount.to_msat(),
                "not the debt"
            );
            let fee = match payment.state {
                PaymentState::Succeeded { fee, .. } => fee,
                // It never left (rule P13).
                PaymentState::InFlight { .. } if world.lost_payment(payment.hash).is_some() => {
                    continue;
                }
                PaymentState::InFlight { .. } => Msat(0),
                PaymentState::Failed { .. } | PaymentState::NotFound => continue,
            };
            let is_first = paid.insert(attempt.payout);
            assert!(is_first, "two live payments for {:?}", attempt.payout);
            let out = gone.entry(attempt.order).or_default();
            *out = Msat(out.0 + payment.amount.0);
            let trade = &trades[&attempt.order];
            inspects_cover(trade, *out, line);
            self.inspects_dev_fee(&attempt, &trade.order);
            if matches!(payment.state, PaymentState::Succeeded { .. }) {
                node -= payment.amount.0 + fee.0;
                *wallets.get_mut(line.payee(payment.hash)).unwrap() += payment.amount.0;
            }
        }
        let liquidity = world.liquidity();
        assert_eq!(
            liquidity.outbound.0 + liquidity.held_out.0,
            node,
            "the node's sats"
        );
        for (wallet, expected) in wallets {
            assert_eq!(world.balance(wallet).0, expected, "{wallet}");
        }
    }
}

impl Witness {
    /// The development gets its share of a trade that has ended well, and no
    /// more; everybody is told when it has, and not before (rules F5, J2, J5).
    fn inspects_dev_fee(&self, attempt: &Attempt, order: &Order) {
        if attempt.payee() == Payee::Buyer {
            return;
        }
        assert!(matches!(order.stage, Stage::Success { .. }), "{order:?}");
        let take = order.stage.take();
        let owed = take.map(|take| take.dev_fee.to_msat().unwrap());
        assert_eq!(Some(attempt.amount), owed, "{order:?}");
        let is_paid = matches!(attempt.state, AttemptState::Succeeded { .. });
        let is_told = self.dev_fees.contains(&attempt.hash.to_string());
        assert_eq!(is_told, is_paid, "{attempt:?}");
    }
}

/// An order of the book, as the ledger has it.
pub(super) fn known(id: OrderId, view: &View) -> Order {
    view.order(id).unwrap().expect("an order in the book")
}

/// After the height was judged at `now`, no trade runs on that stood there
/// before and whose escrow is about to end (rules X3, X4).
pub(crate) fn inspects_horizon(view: &View, height: u32, now: UnixTime) {
    let margin = Terms::default().escrow_deadline_margin_blocks;
    for order in view.living_orders().unwrap().map(Result::unwrap) {
        let runs = matches!(order.stage, Stage::Active { .. } | Stage::FiatSent { .. });
        if !runs || order.stage_since >= now {
            continue;
        }
        let hold = view.hold(order.stage.hold().unwrap()).unwrap().unwrap();
        if let HoldState::Accepted(acceptance) = hold.state {
            let left = acceptance.expiry_height.saturating_sub(height);
            assert!(left > margin, "{left} blocks left to {order:?}");
        }
    }
}

/// What few orders come through.
fn rarity(stage: &Stage, payout: Option<&Payout>, hold: Option<&Hold>) -> Option<&'static str> {
    let asked = match payout.map(|payout| payout.state) {
        Some(PayoutState::NeedInvoice { asked, .. }) => asked,
        _ => 0,
    };
    match stage {
        Stage::OpeningHold {
            back_to: BackTo::WaitingPayment { .. },
            ..
        } => Some("hold opened anew"),
        Stage::PaidWaitingInvoice { .. } => Some("paid before the invoice came"),
        Stage::Dispute { .. } => Some("dispute"),
        Stage::PayingBuyer { .. } if asked > 1 => Some("payout asked for again"),
        Stage::PayingBuyer { .. } if asked > 0 => Some("payout asked for"),
        _ => match hold?.state {
            HoldState::Lost => Some("escrow gone during a release"),
            _ => None,
        },
    }
}

/// Known keys are those of living orders, of solvers and of the node, and
/// everything alive is tended.
pub(crate) fn inspects_process(view: &View, known: &KnownKeys, workers: &Workers, node: PublicKey) {
    let parties = view.living_trade_keys().unwrap();
    let solvers = view.solvers().unwrap();
    let mut expected: BTreeSet<_> = parties.into_iter().map(|key| key.0).collect();
    expected.extend(solvers.into_iter().map(|(key, _)| key.0));
    expected.insert(node);
    let are_known = expected.iter().all(|key| known.knows(key));
    assert!(are_known && known.count() == expected.len(), "known keys");
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
    for payout in view.living_payouts().unwrap() {
        let is_asked = matches!(payout.state, PayoutState::Resolving { .. });
        let task = Task::Address(payout.id);
        assert!(
            !is_asked || workers.tends(task),
            "nobody asks for {payout:?}"
        );
    }
}

/// The hold that an order waits for or has settled.
fn hold_of<'a>(order: &Order, holds: &'a [Hold]) -> Option<&'a Hold> {
    let id = order.stage.hold()?;
    Some(holds.iter().find(|hold| hold.id == id).expect("its hold"))
}

/// Where a hold stands in ledger and world.
fn inspects_hold(hold: &Hold, line: &Line) {
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

/// What goes out for a trade is covered by its settled hold (promise 3).
fn inspects_cover(trade: &Trade, amount: Msat, line: &Line) {
    let hold = hold_of(&trade.order, &trade.holds).unwrap();
    let seen = line.world.hold(hold.hash).unwrap();
    assert!(matches!(seen.state, Seen::Settled { .. }), "{trade:?}");
    assert!(amount <= seen.value, "more goes out than came in");
}
