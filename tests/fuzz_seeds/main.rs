//! What the fuzz targets check, on their seeds and on some thousand mutations
//! of them.
//!
//! `fuzz/` gives the same functions to a fuzzer, which has more patience and
//! sees where it has been; see CONTRIBUTING.md.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a check that cannot go on shall stop there"
)]

mod event;
mod filter;
mod frame;
mod mutation;

use std::fs;
use std::path::Path;
use std::thread;

use self::mutation::Mutations;

const MUTATIONS: usize = 3_000;

/// The author of the seeds.
const AUTHOR: &str = "1b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f";

#[test]
fn every_frame_has_its_answer() {
    let frames = frame::Frames::open();
    try_all("frame", &hostile_frames(), |data| frames.check(data));
}

#[test]
fn every_event_is_kept_whole_or_refused() {
    let events = event::Events::open();
    try_all("event", &hostile_events(), |data| events.check(data));
}

#[test]
fn every_filter_finds_what_it_says() {
    let filters = filter::Filters::open();
    try_all("filter", &hostile_filters(), |data| filters.check(data));
}

/// Checks all seeds, all of `hostile`, and mutations of the seeds.
fn try_all(target: &str, hostile: &[String], check: impl Fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut files: Vec<_> = fs::read_dir(folder.join(target))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let try_one = |data: &[u8]| {
        let _if_it_fails = Suspect(data);
        check(data)
    };
    let understood = seeds.iter().filter(|seed| try_one(seed)).count();
    assert!(understood > 8, "{understood} seeds of {target} understood");
    for data in hostile {
        try_one(data.as_bytes());
    }
    let mutations = Mutations::of(&seeds).take(MUTATIONS);
    let understood = mutations.filter(|data| try_one(data)).count();
    assert!(
        understood > MUTATIONS / 20,
        "only {understood} mutations of {target} understood: they prove little"
    );
}

/// Shows what was being checked when a check failed.
struct Suspect<'a>(&'a [u8]);

impl Drop for Suspect<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let shown = self.0.get(..4_000).unwrap_or(self.0);
            eprintln!("{} bytes: {}", self.0.len(), shown.escape_ascii());
        }
    }
}

fn hostile_frames() -> Vec<String> {
    let mut frames = huge_values();
    frames.extend(
        hostile_events()
            .iter()
            .map(|it| format!("[\"EVENT\",{it}]")),
    );
    let filters = hostile_filters();
    frames.extend(filters.iter().map(|it| format!("[\"REQ\",\"a\",{it}]")));
    frames.push(format!("[\"REQ\",\"a\",{}]", ["{}"; 21].join(",")));
    frames.push(format!("[\"REQ\",\"{}\",{{}}]", "long".repeat(20_000)));
    frames.push(format!("[\"{}\"]", "SING".repeat(20_000)));
    frames
}

fn hostile_events() -> Vec<String> {
    let event = |tags: &str, content: &str| {
        let (id, key, sig) = ("ab".repeat(32), AUTHOR, "cd".repeat(64));
        format!(
            r#"{{"id":"{id}","pubkey":"{key}","created_at":1700000000,"kind":30000,"tags":{tags},"content":{content},"sig":"{sig}"}}"#
        )
    };
    let mut events: Vec<_> = huge_values().iter().map(|it| event("[]", it)).collect();
    events.extend(huge_values().iter().map(|it| event(it, "\"\"")));
    let many = |tag: &str| format!("[{}]", vec![tag; 10_000].join(","));
    events.extend([r#"["d"]"#, r#"["e","x"]"#, "[]"].map(|tag| event(&many(tag), "\"\"")));
    let long_name = format!(r#"[["d","{}"]]"#, "n".repeat(183));
    events.push(event(&long_name, "\"\""));
    events
}

fn hostile_filters() -> Vec<String> {
    let mut filters = huge_values();
    let values = huge_values().into_iter();
    filters.extend(values.map(|it| format!(r##"{{"kinds":{it},"#d":{it}}}"##)));
    let many: Vec<_> = (0..5_000).map(|value| format!("\"{value}\"")).collect();
    filters.push(format!(r##"{{"#e":[{}]}}"##, many.join(",")));
    filters.push(format!(r##"{{"#d":["{}"]}}"##, "n".repeat(1_000_000)));
    filters
}

/// JSON values that are larger than anybody needs.
fn huge_values() -> Vec<String> {
    let text = |piece: &str, times| format!("\"{}\"", piece.repeat(times));
    vec![
        text("x", 1_000_000),
        text("\\u0000", 100_000),
        text("\\ud83d\\ude00", 50_000),
        text("\\ud83d", 50_000),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        "{\"a\":".repeat(100_000),
        "9".repeat(100_000),
        format!("-1e{}", "9".repeat(1_000)),
    ]
}
