//! The table of the rule book (part 18), without the rows of solvers, and of
//! keys that are moved. It is copied from there, not made from the code.

use escrow_core::decision::Decision;
use escrow_core::hold::HoldState;
use escrow_core::order::Side;
use escrow_core::stage::Stage;

use super::fixtures::{self, Scene, maker, scenes, stranger, taker};
use super::{accepted, asked, hold, opened, outcome, reports, requests, short};

/// Refusals and marks as the page has them; anything else is the number of the
/// rule by which it is done. `x` stands for what is not tested by this table.
const STAGES: &str = "Pe  Op  WI  WP  PW  Ac  FS  Di  Re  PB  Cg  Su  Ca  Ex";

/// Command, who says it, and what becomes of it in each stage.
const REQUESTS: [(&str, Who, &str); 12] = [
    (
        "take",
        Who::Taker,
        "T11 st  st  st  st  st  st  st  st  st  st  st  st  st",
    ),
    (
        "take",
        Who::Maker,
        "pk  st  st  st  st  st  st  st  st  st  st  st  st  st",
    ),
    (
        "add-invoice",
        Who::Buyer,
        "na  na  V7  na  V8  na  na  na  P8  P8  na  na  na  na",
    ),
    (
        "add-invoice",
        Who::NotBuyer,
        "pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe",
    ),
    (
        "fiat-sent",
        Who::Buyer,
        "st  st  st  st  st  M3  st  st  st  st  st  st  st  st",
    ),
    (
        "fiat-sent",
        Who::NotBuyer,
        "st  st  st  st  st  pk  st  st  st  st  st  st  st  st",
    ),
    (
        "release",
        Who::Seller,
        "na  na  na  na  na  na  R3  R3  na  na  na  na  na  na",
    ),
    (
        "release",
        Who::NotSeller,
        "pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe  pe",
    ),
    (
        "cancel",
        Who::Maker,
        "C2  C3  C4  C4  C6  C7  C7  C7  na  na  ac  na  ac  na",
    ),
    (
        "cancel",
        Who::Taker,
        "ny  C3  C4  C4  C6  C7  C7  C7  na  na  ac  na  ac  na",
    ),
    (
        "cancel",
        Who::Stranger,
        "ny  ny  pk  pk  pk  pk  pk  pk  na  na  ac  na  ac  na",
    ),
    (
        "dispute",
        Who::Party,
        "na  na  na  na  na  D2  D2  na  na  na  na  na  na  na",
    ),
];

/// The same for those who may vote, and for a third party's dispute.
const VOTES: [(&str, Who, &str); 4] = [
    (
        "dispute",
        Who::Stranger,
        "na  na  na  na  na  pk  pk  na  na  na  na  na  na  na",
    ),
    (
        "rate-user",
        Who::Seller,
        "st  st  st  st  st  st  st  st  st  K3  st  K3  st  st",
    ),
    (
        "rate-user",
        Who::Buyer,
        "st  st  st  st  st  st  st  st  st  st  st  K3  st  st",
    ),
    (
        "rate-user",
        Who::Stranger,
        "st  st  st  st  st  st  st  st  st  st  st  pk  st  st",
    ),
];

/// What is reported; `-` cannot happen.
const REPORTS: [(&str, &str); 7] = [
    (
        "hold opened in time",
        "-   B4  -   -   -   -   -   -   -   -   -   -   -   -",
    ),
    (
        "hold accepted",
        "-   x   -   H2  =   =   =   =   =   =   H5  =   H5  -",
    ),
    (
        "hold canceled by Lightning",
        "-   B6  -   H8  X6  X6  X6  X6  R6  -   C8  -   =   -",
    ),
    (
        "step deadline",
        "x   x   E2  E9  E9  -   -   -   -   -   -   -   -   -",
    ),
    (
        "looked up at the deadline",
        "-   -   -   E3  E5  -   -   -   -   -   -   -   -   -",
    ),
    (
        "escrow's end: 36 blocks",
        "-   -   -   -   =   X3  X4  X5  X7  -   =   -   -   -",
    ),
    (
        "payment succeeded",
        "-   -   -   -   -   -   -   -   -   P12 -   =   -   -",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Who {
    Maker,
    Taker,
    Buyer,
    NotBuyer,
    Seller,
    NotSeller,
    Party,
    Stranger,
}

#[test]
fn part_18_every_request_is_answered_as_the_rule_book_says() {
    for side in [Side::Sell, Side::Buy] {
        for (command, who, row) in REQUESTS.iter().chain(&VOTES) {
            for (scene, cell) in cells(side, row) {
                // Where the book waits for the buyer's invoice, it is he who has none.
                let asks_for_invoice = *command == "add-invoice" && *who == Who::Buyer;
                let scene = if asks_for_invoice && short(&scene) == "PB" {
                    fixtures::needing_invoice(side)
                } else {
                    scene
                };
                for sender in who.among(&scene) {
                    for (name, ask) in requests(side) {
                        if name.starts_with(command) {
                            let made = asked(&scene, &sender, &ask);
                            compare(cell, &made, &format!("{name}, {who:?}, {}", scene.name));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn part_18_every_report_does_what_the_rule_book_says() {
    let reports = reports();
    for side in [Side::Sell, Side::Buy] {
        for (name, row) in REPORTS {
            let (_, report) = reports.iter().find(|(row, _)| *row == name).unwrap();
            for (scene, cell) in cells(side, row) {
                let made = report(&scene).map(|decision| outcome(&decision));
                let case = format!("{name}, {}", scene.name);
                compare(cell, made.as_deref().unwrap_or("."), &case);
            }
        }
        for (name, stage) in [
            ("offer's deadline", "Pe"),
            ("8 s of opening are over", "Op"),
        ] {
            let (_, report) = reports.iter().find(|(row, _)| *row == name).unwrap();
            let scene = scenes(side).into_iter().find(|scene| short(scene) == stage);
            let made = report(&scene.unwrap()).map(|decision| outcome(&decision));
            compare("E1", made.as_deref().unwrap(), name);
        }
    }
}

/// The invoice leaves with B4, so nobody can pay before: the two come in order.
#[test]
fn part_18_a_hold_that_opens_and_is_paid_at_once_starts_the_trade() {
    let scene = fixtures::opening(Side::Sell, escrow_core::stage::BackTo::Pending);
    let first: Decision = opened(&scene, fixtures::now()).unwrap();
    let next = Scene {
        order: first.orders[0].clone(),
        hold: Some(first.holds[0].clone()),
        ..scene
    };
    assert!(matches!(hold(&next).unwrap().state, HoldState::Open { .. }));
    let second = accepted(&next, hold(&next).unwrap());
    assert!(matches!(second.orders[0].stage, Stage::Active { .. }));
}

#[test]
fn part_18_a_canceling_that_leads_back_to_the_book_is_refused_otherwise() {
    let scene = fixtures::canceling(Side::Sell, escrow_core::stage::Then::BackToBook);
    let cancel = escrow_core::command::Ask::Cancel;
    for sender in [maker(), taker(), stranger()] {
        assert_eq!(asked(&scene, &sender, &cancel), "na");
    }
}

/// Each scene of a stage that the table has, with its cell.
fn cells(side: Side, row: &'static str) -> Vec<(Scene, &'static str)> {
    let (stages, cells): (Vec<_>, Vec<_>) = (
        STAGES.split_whitespace().collect(),
        row.split_whitespace().collect(),
    );
    assert_eq!(stages.len(), cells.len(), "{row}");
    let cell_of = |scene: &Scene| {
        let at = stages.iter().position(|stage| *stage == short(scene));
        at.and_then(|at| cells.get(at)).copied()
    };
    scenes(side)
        .into_iter()
        .filter_map(|scene| cell_of(&scene).map(|cell| (scene, cell)))
        .collect()
}

/// A refusal must be the same; where a rule acts, something must be done.
fn compare(cell: &str, made: &str, case: &str) {
    let refusals = ["st", "na", "pk", "pe", "ny", "ac"];
    match cell {
        "x" | "-" => {}
        "=" => assert_eq!(made, "=", "{case}"),
        cell if refusals.contains(&cell) => assert_eq!(made, cell, "{case}"),
        rule => assert!(
            made.starts_with('>') || made.starts_with("ok") || made == "!",
            "{case}: {rule} expected, {made} made"
        ),
    }
}

impl Who {
    /// Those of this kind who take part in, or know of, the order.
    fn among(self, scene: &Scene) -> Vec<escrow_core::party::Party> {
        let (buyer, seller) = (scene.order.buyer(), scene.order.seller());
        let parties = [
            Some(&scene.order.maker),
            scene.order.stage.take().map(|t| &t.taker),
        ];
        let everybody = [maker(), taker(), stranger()];
        let but = |one: Option<&escrow_core::party::Party>| {
            let others = everybody.iter().filter(|party| Some(*party) != one);
            others.cloned().collect()
        };
        match self {
            Who::Maker => vec![maker()],
            Who::Taker => vec![taker()],
            Who::Stranger => vec![stranger()],
            Who::Buyer => buyer.into_iter().cloned().collect(),
            Who::Seller => seller.into_iter().cloned().collect(),
            Who::Party => parties.into_iter().flatten().cloned().collect(),
            Who::NotBuyer => but(buyer),
            Who::NotSeller => but(seller),
        }
    }
}
