//! Whoever asks what changes nothing hears the truth, and only what is his.

use std::collections::{BTreeMap, BTreeSet};

use escrow_core::UnixTime;
use escrow_core::command::{Ask, Sender};
use escrow_core::notice::{Letter, Notice, Reputation};
use escrow_core::order::Order;
use escrow_core::party::{Identity, Party};
use escrow_core::questions::Question;
use escrow_core::stage::Stage;
use escrow_core::terms::Terms;
use escrow_core::wire::{CantDo, RestoreData};
use escrow_engine::submission::{Path, TraderMessage};
use storage::ledger::View;

use super::Witness;
use super::agreement::known;
use crate::tally::Tally;

/// What is looked at to judge an answer.
pub(crate) struct Truth<'a> {
    pub(crate) view: &'a View,
    pub(crate) living: &'a [Order],
    pub(crate) now: UnixTime,
}

impl Witness {
    /// What a step said that had nothing to decide but this request (rules
    /// L1–L5); nothing, to a copy and to what comes too late.
    pub(crate) fn judges_answer(
        &self,
        TraderMessage { request, path, .. }: &TraderMessage,
        letters: &[Letter],
        truth: &Truth<'_>,
        tally: &mut Tally,
    ) {
        let Ask::Question(question) = &request.ask else {
            return;
        };
        let letter = match letters {
            [] => return,
            [letter] => letter,
            more => panic!("one question, many letters: {more:?}"),
        };
        if let (Path::Mirror(_), Notice::Refused(_)) = (path, &letter.notice) {
            // Where nobody hears an OK, a letter says that it came too late.
            return;
        }
        assert_eq!(
            letter.to, request.sender.trade_key,
            "another hears {letter:?}"
        );
        tally.add(match question {
            Question::RestoreSession => "session restored",
            Question::LastTradeIndex => "last index asked",
            Question::Orders(_) => "orders asked",
            Question::UserInfo => "own figures asked",
        });
        let sender = &request.sender;
        match (question, &letter.notice) {
            (Question::RestoreSession, Notice::Restored(data)) => {
                restores(data, sender, truth);
            }
            (Question::LastTradeIndex, Notice::LastTradeIndex) => {
                let told = letter.trade_index.map(|index| index.0);
                assert!(told >= self.highest_index(sender, truth), "{letter:?}");
            }
            (Question::LastTradeIndex, Notice::Refused(_)) => {
                assert!(self.highest_index(sender, truth) <= Some(0), "{letter:?}");
            }
            (Question::Orders(ids), told) => {
                let found = ids.iter().filter(|id| self.orders.contains(id));
                let found: Vec<Order> = found.map(|id| known(*id, truth.view)).collect();
                let his = found.iter().filter(|order| own(order, sender).is_some());
                let his: Vec<_> = his.collect();
                tells_orders(told, ids.len(), &his);
            }
            (Question::UserInfo, Notice::UserInfo(told)) => {
                let user = identity(sender).and_then(|it| truth.view.user(it).unwrap());
                assert_eq!(*told, Reputation::of(user.as_ref(), truth.now));
            }
            (Question::UserInfo, Notice::Refused(CantDo::ReputationIdentityRequired)) => {
                assert_eq!(sender.identity, Identity::FullPrivacy, "{letter:?}");
            }
            (_, other) => panic!("{other:?} is no answer to {question:?}"),
        }
    }

    /// The highest index with which the asker made an order or takes part in a
    /// trade: that of a take which is being opened, or was not, is not used up.
    fn highest_index(&self, sender: &Sender, truth: &Truth<'_>) -> Option<u32> {
        identity(sender)?;
        let orders = self.orders.iter().map(|id| known(*id, truth.view));
        let his = orders.filter_map(|order| {
            let me = own(&order, sender)?;
            let has_begun = match &order.stage {
                Stage::OpeningHold { .. } | Stage::Canceled { .. } => *me == order.maker,
                _ => true,
            };
            has_begun.then_some(me.trade_index.0)
        });
        his.max()
    }
}

fn restores(data: &RestoreData, sender: &Sender, truth: &Truth<'_>) {
    let his = truth.living.iter();
    let his = his.filter_map(|order| Some((order, own(order, sender)?)));
    let (disputes, orders): (Vec<_>, Vec<_>) =
        his.partition(|(order, _)| matches!(order.stage, Stage::Dispute { .. }));
    let told: BTreeSet<_> = data
        .disputes
        .iter()
        .map(|told| (told.order_id, told.dispute_id, told.trade_index))
        .collect();
    let expected = disputes.iter().map(|(order, me)| {
        let dispute = order.dispute.expect("a dispute has a row");
        (order.id.0, dispute.0, i64::from(me.trade_index.0))
    });
    assert_eq!(told, expected.collect(), "disputes of {sender:?}");
    let told: BTreeMap<_, _> = data
        .orders
        .iter()
        .map(|told| (told.order_id, (told.trade_index, told.status)))
        .collect();
    let expected = orders.iter().map(|(order, me)| {
        let index = i64::from(me.trade_index.0);
        (order.id.0, (index, order.stage.status()))
    });
    assert_eq!(told, expected.collect(), "orders of {sender:?}");
}

fn tells_orders(told: &Notice, asked: usize, his: &[&Order]) {
    let most = Terms::default().max_orders_per_response;
    match told {
        Notice::Orders(shown) => {
            let shown: Vec<_> = shown.iter().map(|order| (order.id, order.status)).collect();
            let expected = his.iter();
            let expected = expected.map(|order| (Some(order.id.0), Some(order.stage.status())));
            assert_eq!(shown, expected.collect::<Vec<_>>());
        }
        Notice::Refused(CantDo::InvalidParameters) => assert_eq!(asked, 0),
        Notice::Refused(CantDo::TooManyRequests) => assert!(asked > most),
        Notice::Refused(CantDo::NotFound) => assert!(his.is_empty(), "kept from him: {his:?}"),
        other => panic!("{other:?} is no answer to orders"),
    }
}

/// The asker as a party of the order.
fn own<'a>(order: &'a Order, sender: &Sender) -> Option<&'a Party> {
    order.parties().find(|party| match party.identity {
        Identity::Known(_) => party.identity == sender.identity,
        Identity::FullPrivacy => {
            sender.identity == Identity::FullPrivacy && party.trade_key == sender.trade_key
        }
    })
}

fn identity(sender: &Sender) -> Option<escrow_core::party::IdentityKey> {
    match sender.identity {
        Identity::Known(identity) => Some(identity),
        Identity::FullPrivacy => None,
    }
}
