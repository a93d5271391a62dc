//! What holds for every letter and every sat, whatever is asked or reported in
//! whichever stage.

use escrow_core::decision::{Decision, Effect};
use escrow_core::hold::HoldState;
use escrow_core::letters::message;
use escrow_core::notice::Letter;
use escrow_core::order::{Role, Side};
use escrow_core::party::{Asker, TradeKey};
use escrow_core::payout::PayoutState;
use escrow_core::stage::Stage;

use super::fixtures::{
    BUYER_GETS, Edit, SELLER_PAYS, Scene, active, after_fiat, asked_to_cancel, identity_key, maker,
    request, scenes, stranger, taker,
};
use super::{answer, reports, requests};

/// The number of whatever is asked here; those who asked before, in the scenes,
/// have another.
const NUMBER: u64 = 1_234;

/// Something that was decided.
struct Case {
    name: String,
    scene: Scene,
    /// Who asked for it; nobody, if it was reported.
    sender: Option<TradeKey>,
    decision: Decision,
}

impl Case {
    fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.decision.answer.iter().chain(&self.decision.pushes)
    }

    /// What a key is in the order; the buyer and the seller of the scene.
    fn role(&self, key: TradeKey) -> Option<Role> {
        let order = self.decision.orders.first().unwrap_or(&self.scene.order);
        self.scene.order.role_of(key).or_else(|| order.role_of(key))
    }
}

/// Every decision that the matrix leads to, refusals left out.
fn cases() -> Vec<Case> {
    let agreed = |scene| asked_to_cancel(scene, Role::Buyer);
    let sides = [Side::Sell, Side::Buy];
    let scenes = sides.into_iter().flat_map(|side| {
        let more = [agreed(active(side)), agreed(after_fiat(side))];
        scenes(side).into_iter().chain(more)
    });
    scenes.flat_map(|scene| decided_in(&scene)).collect()
}

fn decided_in(scene: &Scene) -> Vec<Case> {
    let case = |name: &str, sender, decision| Case {
        name: format!("{name}, {:?}, {}", scene.order.offer.side, scene.name),
        scene: scene.clone(),
        sender,
        decision,
    };
    let mut cases = Vec::new();
    for sender in [maker(), taker(), stranger()] {
        for (name, ask) in requests(scene.order.offer.side) {
            let asks = request(&sender, ask).edit(|req| req.request_id = Some(NUMBER));
            if let Ok(decision) = answer(scene, &asks, &sender) {
                cases.push(case(name, Some(sender.trade_key), decision));
            }
        }
    }
    for (name, report) in reports() {
        if let Some(decision) = report(scene) {
            cases.push(case(name, None, decision));
        }
    }
    cases
}

/// Who asked in the scene and waits for an answer.
fn waiting(scene: &Scene) -> Option<&Asker> {
    match &scene.order.stage {
        Stage::OpeningHold { asker, .. } | Stage::Canceling { asker, .. } => asker.as_ref(),
        Stage::Releasing { asker, .. } => Some(asker),
        Stage::Pending
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => None,
    }
}

#[test]
fn w1_no_letter_names_an_identity_and_all_go_to_trade_keys() {
    let parties = [maker(), taker(), stranger()];
    let identities = [1, 2, 3].map(|n| identity_key(n).0.to_hex());
    let mut letters = 0;
    for case in cases() {
        for letter in case.letters() {
            let is_to = |party: &escrow_core::party::Party| party.trade_key == letter.to;
            assert!(parties.iter().any(is_to), "{}: {letter:?}", case.name);
            let json = message(letter).to_json();
            for identity in &identities {
                assert!(!json.contains(identity), "{}: {json}", case.name);
            }
            letters += 1;
        }
    }
    assert!(letters > 100, "{letters}");
}

#[test]
fn w5_nobody_is_shown_the_figure_of_the_other() {
    let figure = |amount: u64| format!(r#""amount":{amount},"#);
    let (pays, gets) = (figure(SELLER_PAYS.0), figure(BUYER_GETS.0));
    let mut shown = (0, 0);
    for case in cases() {
        for letter in case.letters() {
            let json = message(letter).to_json();
            let (own, others) = match case.role(letter.to) {
                Some(Role::Seller) => (json.contains(&pays), json.contains(&gets)),
                Some(Role::Buyer) => (json.contains(&gets), json.contains(&pays)),
                None => (false, json.contains(&gets) || json.contains(&pays)),
            };
            assert!(!others, "{}: {json}", case.name);
            match case.role(letter.to) {
                Some(Role::Seller) => shown.0 += usize::from(own),
                Some(Role::Buyer) => shown.1 += usize::from(own),
                None => {}
            }
        }
    }
    assert!(shown.0 > 0 && shown.1 > 0, "{shown:?}");
}

#[test]
fn w6_up_r8_a_number_is_echoed_to_nobody_but_its_sender() {
    let mut echoed = 0;
    for case in cases() {
        for letter in case.letters() {
            let asker = match letter.request_id {
                None => continue,
                Some(NUMBER) => case.sender,
                Some(_) => waiting(&case.scene).map(|asker| asker.trade_key),
            };
            assert_eq!(asker, Some(letter.to), "{}: {letter:?}", case.name);
            echoed += 1;
        }
        // Only what has to wait for Lightning, or takes back what waits, is not
        // answered at once.
        if case.sender.is_some() && case.decision.answer.is_none() {
            let effects = &case.decision.effects;
            let waits = effects.iter().any(|effect| {
                matches!(
                    effect,
                    Effect::OpenHold(_) | Effect::SettleHold(_) | Effect::CancelHold(_)
                )
            });
            assert!(waits, "{}: no answer", case.name);
        }
    }
    assert!(echoed > 50, "{echoed}");
}

/// Settle pays the buyer, cancel gives the sats back to the seller.
#[test]
fn w10_what_is_settled_is_owed_to_the_buyer_and_what_is_canceled_to_nobody() {
    let (mut settled, mut canceled) = (0, 0);
    for case in cases() {
        let Case { decision, name, .. } = &case;
        let before = case.scene.hold.as_ref().map(|hold| &hold.state);
        let moved = decision.holds.iter();
        for hold in moved.filter(|hold| Some(&hold.state) != before) {
            match hold.state {
                HoldState::Settling(_) | HoldState::Settled(_) => {
                    settled += 1;
                    let take = decision.orders.first().and_then(|order| order.stage.take());
                    let [payout] = &decision.payouts[..] else {
                        panic!("{name}: one debt");
                    };
                    assert_eq!(payout.amount, BUYER_GETS, "{name}");
                    let wanted = take.and_then(|take| take.payout.as_ref());
                    assert_eq!(Some(&payout.destination), wanted, "{name}");
                }
                HoldState::Canceling | HoldState::Canceled | HoldState::Lost => {
                    canceled += 1;
                    let is_parked = |state| state == PayoutState::Parked;
                    let payouts = &decision.payouts;
                    assert!(payouts.iter().all(|it| is_parked(it.state)), "{name}");
                    assert_eq!(decision.attempts, [], "{name}");
                    let pays = |effect: &Effect| matches!(effect, Effect::Pay(_));
                    assert!(!decision.effects.iter().any(pays), "{name}");
                }
                HoldState::New | HoldState::Open { .. } | HoldState::Accepted(_) => {}
            }
        }
    }
    assert!(settled > 0 && canceled > 0, "{settled}, {canceled}");
}
