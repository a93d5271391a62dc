//! The demonstration, run as people run it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at its first surprise"
)]

use std::process::{Command, Output};

use serde_json::Value;

/// Runs the demonstration with a folder of its own for temporary files, and
/// looks whether it leaves any.
fn demo(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mostro-relay"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let left: Vec<_> = folder.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    output
}

#[test]
fn three_trades_are_told_in_json_and_the_last_line_says_ok() {
    let output = demo(&["--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();

    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    let told = ["box", "trade", "asked", "paid", "book", "balances", "end"].map(of);
    // In each trade five requests take it to its end and two are ratings; the
    // taker finds the order in the book, and both see it closed.
    assert_eq!(told, [1, 3, 3 * 7, 3, 3 * 3, 3, 1]);
    assert_eq!(lines.first().unwrap()["simulated"], true);
    assert_eq!(lines.last().unwrap()["ok"], true);

    let kinds = |number: u64| -> Vec<u64> {
        let mine = lines
            .iter()
            .skip_while(|line| line["number"] != number)
            .skip(1)
            .take_while(|line| line["event"] != "trade");
        let mut kinds: Vec<_> = mine.filter_map(|line| line["kind"].as_u64()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds(1), [14]);
    assert_eq!(kinds(2), [1_059]);
    assert_eq!(kinds(3), [14, 1_059]);
}

#[test]
fn f2_the_balances_that_people_read_are_right_to_the_sat() {
    let output = demo(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("SIMULATED"), "{text}");
    for moved in [
        "alice -100,300 sat, bob +99,700 sat",
        "alice +7,827 sat, bob -7,875 sat",
        "alice -50,150 sat, bob +49,850 sat",
    ] {
        assert!(text.contains(moved), "{moved} is not in {text}");
    }
}

/// Plays one scenario as people read it; it must end well and say so.
fn scenario(name: &str) -> String {
    let output = demo(&["--scenario", name]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let last = text.lines().last().unwrap();
    let verdict = format!(
        "All is well with {name}: every message came in its place, and every balance is right \
         to the sat."
    );
    assert!(last.starts_with(&verdict), "{text}");
    text
}

/// These must be told, in this order.
fn tells(text: &str, scenes: &[&str]) {
    let mut rest = text;
    for scene in scenes {
        let Some((_, after)) = rest.split_once(scene) else {
            panic!("{scene:?} is not in its place in {text}");
        };
        rest = after;
    }
}

#[test]
fn s7_scenario_cancel_puts_an_order_back_as_it_was_offered() {
    let text = scenario("cancel");
    tells(
        &text,
        &[
            "answer canceled",
            "bob    asks cancel",
            "alice  hears new-order, 20,000 sat",
            "bob    sees in the book: pending",
            "checked: the order in the book says word for word what it said at first",
            "bob    hears canceled",
            "Moved:  nothing.",
        ],
    );
}

#[test]
fn c8_scenario_coop_gives_the_seller_her_sats_back() {
    let text = scenario("coop");
    tells(
        &text,
        &[
            "alice  pays the hold invoice of 60,180 sat",
            "answer cooperative-cancel-initiated-by-you",
            "answer cant-do, invalid_pubkey",
            "bob    hears cooperative-cancel-accepted",
            "answer cant-do, order_already_canceled",
            "Moved:  nothing.",
        ],
    );
}

#[test]
fn e1_e2_scenario_expiry_tells_who_is_late_and_whose_offer_ended() {
    let text = scenario("expiry");
    tells(
        &text,
        &[
            "bob    hears canceled",
            "alice  hears new-order, 30,000 sat",
            "bob    sees in the book: pending",
            "alice  hears canceled",
            "alice  sees in the book: canceled",
            "Moved:  nothing.",
        ],
    );
}

#[test]
fn p5_scenario_payfail_pays_the_second_invoice() {
    let text = scenario("payfail");
    tells(
        &text,
        &[
            "bob    hears payment-failed, 2 tries left, the next after 1 s",
            "bob    hears add-invoice, 39,880 sat",
            "answer invoice-updated",
            "bob    hears purchase-completed",
            "Moved:  alice -40,120 sat, bob +39,880 sat",
        ],
    );
}

#[test]
fn g16_scenario_mirror_trades_through_an_outage() {
    let text = scenario("mirror");
    tells(
        &text,
        &[
            "alice  hears buyer-took-order, 25,075 sat",
            "checked: what waits on disk for the mirror",
            "bob    hears hold-invoice-payment-accepted, 24,925 sat",
            "bob    hears purchase-completed",
            "Moved:  alice -25,075 sat, bob +24,925 sat",
        ],
    );
}

#[test]
fn e11_up_r1_scenario_restart_costs_nobody_his_time() {
    let text = scenario("restart");
    tells(
        &text,
        &[
            "checked: Bob still has 1",
            "answer waiting-seller-to-pay",
            "alice  hears hold-invoice-payment-settled",
            "bob    hears purchase-completed",
            "Moved:  alice -70,210 sat, bob +69,790 sat",
        ],
    );
}

#[test]
fn f4_t9_scenario_market_fixes_the_sats_at_the_take() {
    let text = scenario("market");
    tells(
        &text,
        &[
            "answer cant-do, out_of_range_sats_amount",
            "answer cant-do, out_of_range_sats_amount",
            "answer cant-do, invalid_fiat_currency",
            "alice  asks new-order",
            "checked: the book says f EUR, fa 100, amt 0, premium 5",
            "checked: the book says amt 211111",
            "checked: the order in the book says word for word what it said at first",
            "answer pay-invoice, a hold invoice of 211,744 sat",
            "checked: the book says amt 211111",
            "Moved:  alice +210,478 sat, bob -211,744 sat",
        ],
    );
}

#[test]
fn n2_scenario_range_sells_in_parts_until_nothing_is_left() {
    let text = scenario("range");
    tells(
        &text,
        &[
            "checked: the book says fa 10 100, amt 0, premium 2",
            "answer cant-do, out_of_range_sats_amount",
            "checked: the book says fa 50, amt 98000",
            "checked: the order in the book says word for word what it said at first",
            "checked: the book says fa 10 50, amt 0, premium 2",
            "checked: the book says fa 10, amt 0, premium 2",
            "checked: three trades have sold the range, and nothing is left of it",
            "Moved:  alice -196,588 sat, bob +195,412 sat",
        ],
    );
}

#[test]
fn l1_l7_scenario_restore_finds_a_trade_and_ends_it() {
    let text = scenario("restore");
    tells(
        &text,
        &[
            "alice  hears restore-session",
            "checked: a copy of the question is a duplicate",
            "checked: she is told of both orders",
            "checked: her last index is 2",
            "answer trade-pubkey",
            "answer cant-do, is_not_your_order",
            "answer hold-invoice-payment-settled",
            "Moved:  alice -80,240 sat, bob +79,760 sat",
        ],
    );
}

#[test]
fn k3_k5_scenario_rating_is_public_at_once() {
    let text = scenario("rating");
    tells(
        &text,
        &[
            "answer cant-do, invalid_rating",
            "answer cant-do, invalid_pubkey",
            "answer rate-received, 4 stars",
            "answer cant-do, invalid_rating",
            "checked: everybody reads: 2 stars from 1 vote(s), the last of them 4",
            "checked: everybody reads: 2.5 stars from 1 vote(s), the last of them 5",
            "checked: her offer says that she has 2 stars from 1 vote",
            "checked: everybody reads: 3.5 stars from 2 vote(s), the last of them 5",
        ],
    );
}

#[test]
fn w3_k4_scenario_privacy_leaves_nothing_behind() {
    let text = scenario("privacy");
    tells(
        &text,
        &[
            "answer rate-received, 5 stars",
            "checked: no reputation of either was published",
            "answer cant-do, reputation_identity_required",
            "answer cant-do, not_found",
            "Moved:  alice -45,135 sat, bob +44,865 sat",
        ],
    );
}

#[test]
fn a1_a10_scenario_dispute_settle_pays_the_buyer() {
    let text = scenario("dispute-settle");
    tells(
        &text,
        &[
            "op     asks admin-add-solver",
            "carol  asks admin-add-solver",
            "answer cant-do, not_authorized",
            "checked: everybody reads of the dispute: initiated",
            "answer cant-do, not_authorized",
            "checked: everybody reads of the dispute: in-progress",
            "dave   hears admin-took-dispute",
            "answer admin-settled",
            "bob    hears purchase-completed",
            "checked: everybody reads of the dispute: settled",
            "answer cant-do, invalid_order_status",
            "Moved:  alice -55,165 sat, bob +54,835 sat",
        ],
    );
}

#[test]
fn a11_scenario_dispute_cancel_refunds_the_seller() {
    let text = scenario("dispute-cancel");
    tells(
        &text,
        &[
            "answer admin-canceled",
            "alice  hears admin-canceled",
            "checked: everybody reads of the dispute: seller-refunded",
            "bob    sees in the book: canceled",
            "answer cant-do, not_allowed_by_status",
            "Moved:  nothing.",
        ],
    );
}

#[test]
fn the_list_of_scenarios_names_each_of_them() {
    let output = demo(&["--scenario", "list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let names = [
        "trades",
        "cancel",
        "coop",
        "expiry",
        "payfail",
        "mirror",
        "restart",
        "market",
        "range",
        "restore",
        "rating",
        "privacy",
        "dispute-settle",
        "dispute-cancel",
        "list",
    ];
    let told: Vec<_> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(told, names);
    let unknown = demo(&["--scenario", "romance"]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn a_scenario_that_cannot_be_played_says_why_and_fails() {
    let output = Command::new(env!("CARGO_BIN_EXE_mostro-relay"))
        .args(["demo", "--scenario", "coop,cancel"])
        .env("TMPDIR", "/nowhere/at/all")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let last = text.lines().last().unwrap();
    let why = "Scenario coop went wrong: there is no temporary folder";
    assert!(last.starts_with(why), "{text}");
}
