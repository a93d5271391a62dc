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
fn the_list_of_scenarios_names_each_of_them() {
    let output = demo(&["--scenario", "list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let names = [
        "trades", "cancel", "coop", "expiry", "payfail", "mirror", "restart", "list",
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
