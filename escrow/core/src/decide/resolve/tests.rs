use super::*;
use crate::command::Ask;
use crate::decide::hold_invoice::{hold_canceled, hold_settled};
use crate::dispute::DisputeEnd;
use crate::fixtures::*;
use crate::order::Side;
use crate::party::{Identity, Party, TradeIndex};
use crate::payout::PayoutState;

const WRITER: Standing = Standing::Solver(Permission::ReadWrite);
const READER: Standing = Standing::Solver(Permission::Read);

/// As solvers write: from the identity itself, with an index.
fn says(solver: &Party, ask: Ask) -> Request {
    request(solver, ask).edit(|req| {
        req.sender.identity = Identity::FullPrivacy;
        req.trade_index = Some(8);
    })
}

fn other() -> Party {
    solver().edit(|party| party.trade_key.0 = identity_key(6).0)
}

fn operator() -> Party {
    solver().edit(|party| party.trade_key.0 = identity_key(99).0)
}

fn judged() -> Scene {
    disputed(Side::Sell).edit(|scene| scene.dispute = Some(taken_dispute()))
}

fn taking(
    dispute: &Dispute,
    who: &Party,
    standing: Standing,
    assigned: Standing,
) -> Result<Decision, CantDo> {
    let scene = judged();
    let facts = TakeDisputeFacts {
        standing,
        assigned,
        initiator: Some(user(&taker())),
        counterpart: None,
        hold: scene.hold.clone(),
    };
    let req = says(who, Ask::TakeDispute(Some(dispute.id)));
    take_dispute(&scene.order, dispute, &req, now(), &facts)
}

#[test]
fn a1_who_may_take_a_dispute() {
    let open = dispute();
    let closed = taken_dispute().closed(DisputeEnd::Settled);
    let had = taken_dispute();
    let nobody = Standing::Nobody;
    let table = [
        (
            "operator, open",
            &open,
            operator(),
            Standing::Operator,
            nobody,
            true,
        ),
        (
            "operator, taken",
            &had,
            operator(),
            Standing::Operator,
            WRITER,
            true,
        ),
        (
            "operator, closed",
            &closed,
            operator(),
            Standing::Operator,
            WRITER,
            false,
        ),
        ("reader, open", &open, other(), READER, nobody, true),
        ("writer, open", &open, other(), WRITER, nobody, true),
        (
            "writer, a reader has it",
            &had,
            other(),
            WRITER,
            READER,
            true,
        ),
        (
            "writer, a writer has it",
            &had,
            other(),
            WRITER,
            WRITER,
            false,
        ),
        (
            "writer, the operator has it",
            &had,
            other(),
            WRITER,
            Standing::Operator,
            false,
        ),
        (
            "reader, a reader has it",
            &had,
            other(),
            READER,
            READER,
            false,
        ),
        ("the same again", &had, solver(), READER, READER, true),
        ("the same, closed", &closed, solver(), WRITER, WRITER, false),
        ("anybody, open", &open, stranger(), nobody, nobody, false),
        ("anybody, taken", &had, stranger(), nobody, WRITER, false),
    ];
    for (case, dispute, who, standing, assigned, may) in table {
        let found = taking(dispute, &who, standing, assigned);
        assert_eq!(found.is_ok(), may, "{case}");
        assert!(may || found == Err(CantDo::InvalidPubkey), "{case}");
    }
}

#[test]
fn a2_d5_up_a3_all_hear_who_judges_and_only_he_what_it_is_about() {
    let decision = taking(&taken_dispute(), &other(), WRITER, READER).unwrap();
    let assigned = Assigned {
        solver: identity_key(6),
        transport: other().transport,
        taken_at: NOW,
    };
    let expected = taken_dispute().edit(|d| d.state = DisputeState::InProgress(assigned));
    assert_eq!(decision.disputes, [expected]);
    assert_eq!(decision.effects, [Effect::PublishDispute(dispute_id())]);
    let to: Vec<_> = decision.pushes.iter().map(|letter| letter.to.0).collect();
    let loser = identity_key(5).0;
    assert_eq!(to, [taker().trade_key.0, maker().trade_key.0, loser]);
    let told = Notice::SolverTook {
        solver: identity_key(6),
    };
    assert!(decision.pushes.iter().all(|letter| letter.notice == told));

    let answer = decision.answer.unwrap();
    assert_eq!(
        (answer.to.0, answer.request_id),
        (identity_key(6).0, Some(77))
    );
    let Notice::DisputeTaken { id, info } = answer.notice else {
        panic!("no info");
    };
    assert_eq!(id, dispute_id());
    assert_eq!((info.hash, info.preimage), (None, None));
    assert_eq!((info.amount, info.fee, info.fiat_amount), (10_000, 30, 10));
    assert_eq!(info.initiator_info.map(|info| info.reviews), Some(3));
}

#[test]
fn a2_whoever_has_it_is_told_again_and_nobody_else() {
    let decision = taking(&taken_dispute(), &solver(), READER, READER).unwrap();
    assert!(decision.answer.is_some());
    assert_eq!(
        (decision.pushes, decision.disputes),
        (Vec::new(), Vec::new())
    );
}

type Ruling = fn(&Order, &Request, bool, Now, &RulingFacts) -> Result<Decision, CantDo>;

/// Stages in which the order has or had a dispute.
fn has_dispute(scene: &Scene) -> bool {
    matches!(
        scene.order.stage,
        Stage::Dispute { .. }
            | Stage::Releasing { .. }
            | Stage::PayingBuyer { .. }
            | Stage::Canceling { .. }
            | Stage::Success { .. }
            | Stage::Canceled { .. }
    )
}

fn short(found: Result<Decision, CantDo>) -> &'static str {
    match found {
        Ok(decision) if decision.orders.is_empty() => "A7",
        Ok(_) => "ok",
        Err(CantDo::InvalidOrderStatus) => "st",
        Err(CantDo::NotAllowedByStatus) => "na",
        Err(CantDo::IsNotYourDispute | CantDo::DisputeTakenByAdmin) => "nd",
        Err(CantDo::NotAuthorized) => "nz",
        Err(other) => panic!("{other:?}"),
    }
}

/// The parties have agreed while the dispute was open.
fn agreed(side: Side) -> Scene {
    let why = CancelReason::ByBoth;
    let take = Some(take());
    scene("canceled by both", side, Stage::Canceled { why, take })
}

#[test]
fn a4_a5_a6_a7_a8_up_a1_who_may_rule_in_which_stage() {
    let rulings: [(&str, Ruling); 2] = [("settle", admin_settle), ("cancel", admin_cancel)];
    let sides = [Side::Sell, Side::Buy];
    let of_side = |side| scenes(side).into_iter().chain([agreed(side)]);
    for scene in sides.into_iter().flat_map(of_side) {
        let had = has_dispute(&scene);
        let scene = scene.edit(|scene| scene.dispute = had.then(taken_dispute));
        let early = matches!(
            scene.order.stage,
            Stage::Pending | Stage::OpeningHold { .. }
        );
        let both = matches!(
            scene.order.stage,
            Stage::Canceled {
                why: CancelReason::ByBoth,
                ..
            }
        );
        for (name, rule) in rulings {
            let ruled = |who: &Party, standing| {
                let req = says(who, Ask::AdminSettle { slashes: false });
                short(rule(
                    &scene.order,
                    &req,
                    false,
                    now(),
                    &ruling_facts(&scene, standing),
                ))
            };
            let is_cancel = name == "cancel";
            let by_writer = match (early && is_cancel, had, both) {
                (true, ..) => "nz",
                (_, false, _) => "nd",
                (.., true) => "A7",
                _ if matches!(scene.order.stage, Stage::Dispute { .. }) => "ok",
                _ if is_cancel => "na",
                _ => "st",
            };
            let of_others = if early && is_cancel { "nz" } else { "nd" };
            let by_reader = if early && is_cancel || had {
                "nz"
            } else {
                "nd"
            };
            let by_operator = if early && is_cancel { "ok" } else { "nd" };
            let context = format!("{name} in {}", scene.name);
            assert_eq!(ruled(&solver(), WRITER), by_writer, "his, {context}");
            assert_eq!(ruled(&solver(), READER), by_reader, "reader, {context}");
            assert_eq!(ruled(&other(), WRITER), of_others, "another, {context}");
            assert_eq!(ruled(&stranger(), Standing::Nobody), of_others, "{context}");
            let found = ruled(&operator(), Standing::Operator);
            assert_eq!(found, by_operator, "operator, {context}");
        }
    }
}

#[test]
fn a5_the_operator_takes_the_dispute_before_he_rules() {
    let scene = judged().edit(|scene| {
        let assigned = Assigned {
            solver: identity_key(99),
            transport: operator().transport,
            taken_at: SINCE,
        };
        let dispute = dispute().edit(|d| d.state = DisputeState::InProgress(assigned));
        scene.dispute = Some(dispute);
    });
    let rule = |who: &Party, standing| {
        let req = says(who, Ask::AdminSettle { slashes: false });
        let facts = ruling_facts(&scene, standing);
        admin_settle(&scene.order, &req, false, now(), &facts)
    };
    assert!(rule(&operator(), Standing::Operator).is_ok());
    let refused = rule(&solver(), WRITER);
    assert_eq!(refused, Err(CantDo::DisputeTakenByAdmin));
}

#[test]
fn a9_there_is_no_bond_to_slash() {
    let scene = judged();
    let facts = ruling_facts(&scene, WRITER);
    let req = says(&solver(), Ask::AdminSettle { slashes: true });
    for rule in [admin_settle as Ruling, admin_cancel] {
        let refused = rule(&scene.order, &req, true, now(), &facts);
        assert_eq!(refused, Err(CantDo::InvalidPayload));
    }
}

#[test]
fn a10_d4_k1_a_ruling_for_the_buyer_pays_him() {
    let scene = judged();
    let req = says(&solver(), Ask::AdminSettle { slashes: false });
    let facts = ruling_facts(&scene, WRITER);
    let ruled = admin_settle(&scene.order, &req, false, now(), &facts).unwrap();
    assert_eq!(ruled.payouts, [payout(PayoutState::WaitFunds)]);
    assert_eq!(ruled.answer, None, "nobody is told before it is done");

    let settling = Scene {
        order: ruled.orders[0].clone(),
        hold: ruled.holds.first().cloned(),
        owed: Some(owed(ruled.payouts[0].clone(), None)),
        ..judged()
    };
    let hold = settling.hold.as_ref().unwrap();
    let done = hold_settled(&settling.order, hold, &settling.hold_facts(), now());
    let answer = done.answer.unwrap();
    assert_eq!(answer.notice, Notice::AdminSettled);
    assert_eq!(
        (answer.to.0, answer.request_id),
        (identity_key(5).0, Some(77))
    );
    assert_eq!(answer.trade_index, Some(TradeIndex(8)), "w8");
    let pushes = [
        push(&maker(), Notice::AdminSettled),
        push(&taker(), Notice::AdminSettled),
    ];
    assert_eq!(done.pushes, pushes, "and no vote is asked of the seller");
    assert_eq!(done.disputes, [taken_dispute().closed(DisputeEnd::Settled)]);
}

#[test]
fn a11_d4_a_ruling_for_the_seller_refunds_him() {
    let scene = judged();
    let req = says(&solver(), Ask::AdminCancel { slashes: false });
    let facts = ruling_facts(&scene, WRITER);
    let ruled = admin_cancel(&scene.order, &req, false, now(), &facts).unwrap();
    let canceling = Scene {
        order: ruled.orders[0].clone(),
        hold: ruled.holds.first().cloned(),
        ..judged()
    };
    let hold = canceling.hold.as_ref().unwrap();
    let done = hold_canceled(&canceling.order, hold, &canceling.hold_facts(), now());
    let answer = done.answer.unwrap();
    assert_eq!(answer.notice, Notice::AdminCanceled);
    assert_eq!(answer.trade_index, Some(TradeIndex(8)), "w8");
    let to: Vec<_> = done.pushes.iter().map(|letter| letter.to).collect();
    assert_eq!(to, [maker().trade_key, taker().trade_key]);
    let refunded = taken_dispute().closed(DisputeEnd::SellerRefunded);
    assert_eq!(done.disputes, [refunded]);
    assert!(matches!(
        done.orders[0].stage,
        Stage::Canceled {
            why: CancelReason::ByAdmin,
            ..
        }
    ));
}

#[test]
fn a12_up_a18_the_operator_withdraws_an_order_that_nobody_has() {
    let pending = scene("pending", Side::Sell, Stage::Pending);
    let taken = opening(Side::Sell, BackTo::Pending);
    for scene in [pending, taken] {
        let req = says(&operator(), Ask::AdminCancel { slashes: false });
        let facts = ruling_facts(&scene, Standing::Operator);
        let decision = admin_cancel(&scene.order, &req, false, now(), &facts).unwrap();
        let last = decision.pushes.last().unwrap();
        assert_eq!(last.to, maker().trade_key, "{}", scene.name);
        assert_eq!(last.notice, Notice::AdminCanceled, "{}", scene.name);
        let gives_up = decision
            .effects
            .contains(&Effect::CancelHold(fresh_hold().hash));
        assert_eq!(gives_up, scene.hold.is_some(), "{}", scene.name);
    }
}

#[test]
fn d6_d7_up_a6_the_solver_hears_how_it_ended_without_him() {
    let mut scene = releasing(Side::Sell);
    scene.dispute = Some(taken_dispute());
    let hold = scene.hold.as_ref().unwrap();
    let released = hold_settled(&scene.order, hold, &scene.hold_facts(), now());
    let told = released.pushes.last().unwrap();
    assert_eq!(told.to.0, identity_key(5).0);
    assert_eq!(told.notice, Notice::ReleasedInDispute(dispute_id()));

    let scene = judged();
    let hold = scene.hold.as_ref().unwrap();
    let lost = hold_canceled(&scene.order, hold, &scene.hold_facts(), now());
    let told = lost.pushes.last().unwrap();
    assert_eq!(told.to.0, identity_key(5).0);
    assert_eq!(told.notice, Notice::CanceledInDispute(dispute_id()));
}
