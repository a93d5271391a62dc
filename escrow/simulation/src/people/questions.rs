//! What traders ask that changes nothing.

use escrow_core::command::{Ask, Request};
use escrow_core::order::OrderId;
use escrow_core::questions::Question;

use super::{People, Scene};

/// The most orders that somebody asks for at once; more than the node tells.
const MOST_ORDERS: u64 = 12;

impl People {
    /// Somebody wants to know something, of himself or of others.
    pub(crate) fn question(&mut self, orders: &[OrderId], scene: &mut Scene<'_>) -> Request {
        let all = self.selves.keys().copied();
        let here: Vec<_> = all.filter(|key| !self.is_gone(*key)).collect();
        let key = match scene.dice.pick(&here) {
            Some(key) if scene.dice.percent(90) => *key,
            _ => {
                let person = self.anybody(scene.dice);
                self.fresh_self(person, scene.dice)
            }
        };
        let question = match scene.dice.below(5) {
            0 => Question::RestoreSession,
            1 => Question::LastTradeIndex,
            2 => Question::UserInfo,
            _ => {
                let count = scene.dice.below(MOST_ORDERS);
                let ids = (0..count).filter_map(|_| scene.dice.pick(orders).copied());
                Question::Orders(ids.collect())
            }
        };
        self.say(key, None, Ask::Question(question), None, scene)
    }
}
