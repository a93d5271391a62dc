//! What brings a trade on, done by the one whose turn it is; or what he does
//! instead.

use escrow_core::Sats;
use escrow_core::command::{Ask, NewOrder, Request};
use escrow_core::fees::fee_per_side;
use escrow_core::order::{Order, Role, Side};
use escrow_core::party::TradeKey;
use escrow_core::payout::PayoutState;
use escrow_core::stage::Stage;

use super::temper::Mood;
use super::{People, Scene};

/// Share of the amount that both sides together pay.
const FEE: f64 = 0.006;

impl People {
    /// What the one whose turn it is does with an order: nothing, if he has
    /// walked away or has time.
    pub(crate) fn next_move(&mut self, order: &Order, scene: &mut Scene<'_>) -> Vec<Request> {
        if order.stage == Stage::Pending {
            let takers = if scene.dice.percent(20) { 2 } else { 1 };
            return (0..takers).map(|_| self.take(order, scene)).collect();
        }
        let Some(key) = whose_turn(order, scene) else {
            return Vec::new();
        };
        let owner = self.selves[&key].owner;
        let temper = &mut self.persons[owner].temper;
        if scene.line.is_good {
            let is_gone = temper.is_gone();
            return if is_gone {
                Vec::new()
            } else {
                self.act(order, key, scene)
            };
        }
        match temper.mood(&order.stage, scene.dice) {
            Mood::Acts => self.act(order, key, scene),
            Mood::Waits => Vec::new(),
            Mood::Leaves => {
                scene.tally.add("walked away");
                Vec::new()
            }
            Mood::Cancels => vec![self.say(key, Some(order.id), Ask::Cancel, None, scene)],
            Mood::Disputes => vec![self.say(key, Some(order.id), Ask::Dispute, None, scene)],
        }
    }

    /// The move that the trade needs.
    fn act(&mut self, order: &Order, key: TradeKey, scene: &mut Scene<'_>) -> Vec<Request> {
        let wants_out = order.stage.cancel_asked_by();
        if wants_out.is_some() && !scene.line.is_good && scene.dice.percent(40) {
            // The second one agrees; the first repeats himself.
            return vec![self.say(key, Some(order.id), Ask::Cancel, None, scene)];
        }
        let ask = match &order.stage {
            Stage::WaitingInvoice { take, .. } | Stage::PaidWaitingInvoice { take, .. } => {
                return vec![self.give_invoice(order.id, key, take.buyer_gets(), scene)];
            }
            Stage::WaitingPayment { hold, .. } => {
                let hash = scene.view.hold(*hold).unwrap().unwrap().hash;
                self.pay_hold(key, hash, scene);
                return Vec::new();
            }
            Stage::Active { .. } => Ask::FiatSent { next: None },
            Stage::Dispute { .. } if order.role_of(key) == Some(Role::Buyer) => Ask::Cancel,
            Stage::FiatSent { .. } | Stage::Dispute { .. } => Ask::Release { next: None },
            Stage::PayingBuyer { take, .. } if order.role_of(key) == Some(Role::Buyer) => {
                return vec![self.give_invoice(order.id, key, take.buyer_gets(), scene)];
            }
            Stage::PayingBuyer { .. } => Ask::RateUser { stars: 5 },
            Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
            | Stage::Expired => return Vec::new(),
        };
        vec![self.say(key, Some(order.id), ask, None, scene)]
    }

    pub(super) fn new_order(&mut self, scene: &mut Scene<'_>) -> Request {
        let person = self.anybody(scene.dice);
        let side = if scene.dice.percent(50) {
            Side::Sell
        } else {
            Side::Buy
        };
        let sats = 1_000 + scene.dice.below(200_000);
        let mut new = NewOrder {
            side: Some(side),
            fiat_code: "EUR".into(),
            sats: i64::try_from(sats).unwrap(),
            fiat: 10,
            min_fiat: None,
            max_fiat: None,
            premium: 0,
            payment_method: "cash,bank".into(),
            expires_at: None,
            payout: None,
            names_mint: false,
        };
        if side == Side::Buy && scene.dice.percent(30) {
            let owed = Sats(sats).checked_sub(fee_per_side(FEE, Sats(sats)));
            new.payout = Some(self.invoice(person, owed.unwrap(), scene));
        }
        let life_secs = match scene.dice.below(100) {
            0..20 => Some(60 + scene.dice.below(7_200)),
            20..30 => Some(scene.dice.below(2 * 86_400)),
            30 => Some(20 * 86_400),
            _ => None,
        };
        new.expires_at = life_secs.map(|secs| i64::try_from(scene.now.plus(secs).0).unwrap());
        match scene.dice.below(40) {
            0 => new.side = None,
            1 => new.fiat_code = "euro".into(),
            2 => new.sats = -1,
            3 => new.sats = i64::MAX,
            4 => new.min_fiat = Some(3),
            _ => {}
        }
        let key = self.fresh_self(person, scene.dice);
        let index = Some(self.selves[&key].index);
        self.say(key, None, Ask::NewOrder(new), index, scene)
    }

    fn take(&mut self, order: &Order, scene: &mut Scene<'_>) -> Request {
        let person = self.anybody(scene.dice);
        let ask = match order.offer.side {
            Side::Buy => Ask::TakeBuy { fiat: None },
            Side::Sell => {
                let owed = order.offer.fixed().unwrap();
                let owed = owed.sats.checked_sub(owed.fee).unwrap();
                let given = scene
                    .dice
                    .percent(50)
                    .then(|| self.invoice(person, owed, scene));
                Ask::TakeSell {
                    payout: given,
                    fiat: None,
                }
            }
        };
        let key = self.fresh_self(person, scene.dice);
        let index = Some(self.selves[&key].index);
        self.say(key, Some(order.id), ask, index, scene)
    }
}

/// Nobody's, while the node or Lightning is at work. Where one party has
/// asked to cancel, the other answers first, or the first asks again.
fn whose_turn(order: &Order, scene: &mut Scene<'_>) -> Option<TradeKey> {
    let role = match &order.stage {
        Stage::WaitingInvoice { .. } | Stage::PaidWaitingInvoice { .. } | Stage::Active { .. } => {
            Role::Buyer
        }
        Stage::WaitingPayment { .. } | Stage::FiatSent { .. } => Role::Seller,
        Stage::Dispute { .. } => match scene.dice.below(4) {
            0 if !scene.line.is_good => Role::Buyer,
            _ => Role::Seller,
        },
        Stage::PayingBuyer { payout, .. } => {
            let state = scene.view.payout(*payout).unwrap().unwrap().state;
            if matches!(state, PayoutState::NeedInvoice { .. }) {
                Role::Buyer
            } else {
                Role::Seller
            }
        }
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => return None,
    };
    let party = match role {
        Role::Buyer => order.buyer(),
        Role::Seller => order.seller(),
    };
    party.map(|party| party.trade_key)
}
