//! The demonstration, run as people run it.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

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
