//! The two solvers, who take disputes and rule, sometimes late.

use escrow_core::command::{Ask, Request, Sender};
use escrow_core::dispute::{Dispute, DisputeState};
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::wire::Transport;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;

use super::{People, Scene, fresh_keys};
use crate::dice::Dice;

/// Whom the operator lets judge.
pub(crate) struct Court {
    /// The first may rule, the second may only read at first.
    pub(crate) solvers: [Keys; 2],
    /// Who else reads letters: solvers of before, and the operator.
    others: Vec<Keys>,
}

impl Court {
    pub(super) fn new(operator: Keys, dice: &mut Dice) -> Court {
        Court {
            solvers: [fresh_keys(dice), fresh_keys(dice)],
            others: vec![operator],
        }
    }

    /// Somebody else is to judge in the place of this one.
    pub(crate) fn replaces(&mut self, gone: IdentityKey, dice: &mut Dice) {
        let is_gone = |keys: &&mut Keys| keys.public_key() == gone.0;
        if let Some(place) = self.solvers.iter_mut().find(is_gone) {
            let before = std::mem::replace(place, fresh_keys(dice));
            self.others.push(before);
        }
    }

    /// How the operator names one of them.
    pub(crate) fn named(&self, number: usize, permission: &str) -> String {
        let npub = self.solvers[number].public_key().to_bech32().unwrap();
        format!("{npub}:{permission}")
    }

    pub(super) fn keys_of(&self, key: TradeKey) -> &Keys {
        let is_his = |keys: &&Keys| keys.public_key() == key.0;
        self.solvers
            .iter()
            .chain(&self.others)
            .find(is_his)
            .expect("somebody reads it")
    }
}

impl People {
    /// What a solver does with a dispute that is open, if there is one: he takes
    /// it, or rules.
    pub(crate) fn solvers_move(&mut self, scene: &mut Scene<'_>) -> Option<Request> {
        let disputes: Vec<Dispute> = scene.view.open_disputes().unwrap();
        let dispute = scene.dice.pick(&disputes)?.clone();
        let number = usize::try_from(scene.dice.below(2)).unwrap();
        // Who has it rules; whoever is quicker takes it, or tries to.
        let rules = matches!(dispute.state, DisputeState::InProgress(_))
            && (scene.line.is_good || scene.dice.percent(60));
        let (number, order, ask) = match dispute.assigned() {
            Some(assigned) if rules && !scene.dice.percent(5) => {
                let slashes = false;
                let ask = if scene.dice.percent(50) {
                    Ask::AdminSettle { slashes }
                } else {
                    Ask::AdminCancel { slashes }
                };
                let is_his = |keys: &Keys| IdentityKey(keys.public_key()) == assigned.solver;
                let his = self.court.solvers.iter().position(is_his);
                (his.unwrap_or(number), Some(dispute.order), ask)
            }
            _ => (number, None, Ask::TakeDispute(Some(dispute.id))),
        };
        // One who may only read cannot rule; the other takes it from him.
        let number = if scene.line.is_good && order.is_none() {
            0
        } else {
            number
        };
        Some(self.solver_says(number, order, ask, scene))
    }

    fn solver_says(
        &mut self,
        number: usize,
        order: Option<escrow_core::order::OrderId>,
        ask: Ask,
        scene: &Scene<'_>,
    ) -> Request {
        self.next_id += 1;
        let key = self.court.solvers[number].public_key();
        Request {
            sender: Sender {
                trade_key: TradeKey(key),
                identity: Identity::FullPrivacy,
                transport: Transport::Direct,
            },
            request_id: Some(self.next_id),
            trade_index: None,
            order,
            signed_at: scene.now,
            ask,
        }
    }
}
