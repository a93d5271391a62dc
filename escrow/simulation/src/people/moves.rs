//! What brings a trade on, done by the one whose turn it is; or what he does
//! instead.

use escrow_core::command::{Ask, Request};
use escrow_core::order::{Order, Role};
use escrow_core::party::TradeKey;
use escrow_core::payout::PayoutState;
use escrow_core::stage::Stage;

use super::temper::Mood;
use super::{People, Scene};

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
            Stage::Active { .. } => Ask::FiatSent {
                next: self.next_trade(order, key, scene),
            },
            Stage::Dispute { .. } if order.role_of(key) == Some(Role::Buyer) => Ask::Cancel,
            Stage::FiatSent { .. } | Stage::Dispute { .. } => Ask::Release {
                next: self.next_trade(order, key, scene),
            },
            Stage::PayingBuyer { take, .. } if order.role_of(key) == Some(Role::Buyer) => {
                return vec![self.give_invoice(order.id, key, take.buyer_gets(), scene)];
            }
            // Who has rated the buyer seldom tries it again.
            Stage::PayingBuyer { .. } if order.rated.by_seller && !scene.dice.percent(10) => {
                return Vec::new();
            }
            Stage::PayingBuyer { .. } => Ask::RateUser {
                stars: u8::try_from(1 + scene.dice.below(5)).unwrap(),
            },
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
