//! The house rules that a program can check.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mostro_relay::settings::{self, Settings};

/// The folders of the packages, with the floor each lives on. An arrow only
/// goes down; rooms on one floor do not know each other.
const PACKAGES: [(&str, &str, u8); 8] = [
    ("mostro-relay", "", 4),
    ("escrow-simulation", "escrow/simulation", 3),
    ("escrow-engine", "escrow/engine", 2),
    ("storage", "storage", 1),
    ("relay-policy", "relay-policy", 1),
    ("escrow-lightning", "escrow/lightning", 1),
    ("escrow-core", "escrow/core", 0),
    ("escrow-regtest", "escrow/regtest", 0),
];

const MOST_LINES: usize = 600;

const BANNED_NAMES: [&str; 8] = [
    "util",
    "utils",
    "helper",
    "helpers",
    "manager",
    "common",
    "misc",
    "process_data",
];

/// The parts of the rule book, each with its highest number, and after them the
/// guarantees that go beyond other implementations.
const RULES: [(&str, u32); 29] = [
    ("w", 10),
    ("f", 8),
    ("s", 9),
    ("g", 19),
    ("b", 8),
    ("o", 15),
    ("t", 12),
    ("v", 9),
    ("h", 8),
    ("m", 3),
    ("r", 6),
    ("e", 14),
    ("c", 10),
    ("p", 16),
    ("n", 10),
    ("q", 14),
    ("k", 7),
    ("l", 7),
    ("d", 10),
    ("a", 16),
    ("x", 18),
    ("j", 6),
    ("y", 8),
    ("z", 4),
    ("u", 33),
    ("up_m", 19),
    ("up_r", 13),
    ("up_s", 21),
    ("up_a", 19),
];

/// Numbers of what the node does not do yet.
const NOT_YET: [(&str, u32); 3] = [("up_s", 14), ("up_a", 12), ("up_a", 13)];

#[test]
fn every_key_stands_in_the_settings_file_and_no_other() {
    let text = fs::read_to_string(house().join("settings.toml")).unwrap();
    let mut section = String::new();
    let mut written = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, _)) = line.trim_start_matches('#').split_once(" = ") {
            // A sentence begins with a blank after its `#`, a key does not.
            if !key.contains(' ') {
                written.push(format!("{section}.{key}"));
            }
        }
    }
    assert_eq!(written, settings::key_names().collect::<Vec<_>>());
}

#[test]
fn the_settings_file_holds_the_defaults() {
    let loaded = settings::load(Some(&house().join("settings.toml")), []).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert_eq!(loaded.notices, [] as [&str; 0]);
}

/// A key that is commented out shows the value it would have anyway, unless
/// the value is an example.
#[test]
fn a_default_that_follows_another_key_is_shown_as_it_is() {
    let text = fs::read_to_string(house().join("settings.toml")).unwrap();
    let numbers = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') && !key.contains('"') => key,
        Some(_) | None => line,
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, numbers.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(
        settings::load(Some(&file), []).unwrap().settings,
        Settings::default()
    );
}

#[test]
fn no_package_looks_upwards_or_sideways() {
    let floors: BTreeMap<_, _> = PACKAGES
        .iter()
        .map(|(name, _, floor)| (*name, *floor))
        .collect();
    for (name, folder, floor) in PACKAGES {
        let manifest = fs::read_to_string(house().join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(needed) = manifest.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for other in needed.keys() {
                let below = floors
                    .get(other.as_str())
                    .is_none_or(|other| *other < floor);
                assert!(below, "{name} must not know {other}");
                let knows_escrow = name == "relay-policy" && floors.contains_key(other.as_str());
                assert!(!knows_escrow, "relay-policy must not know {other}");
            }
        }
    }
}

#[test]
fn the_relay_engine_does_not_know_the_escrow() {
    for file in rust_files(&house().join("src/relay")) {
        let text = fs::read_to_string(&file).unwrap();
        for word in [
            "escrow_core",
            "escrow_engine",
            "escrow_lightning",
            "storage::ledger",
        ] {
            assert!(!text.contains(word), "{} names {word}", file.display());
        }
    }
}

#[test]
fn no_file_is_too_long() {
    for file in all_rust_files() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines", file.display());
    }
}

#[test]
fn every_file_is_reachable() {
    let mut reached = BTreeSet::new();
    for (_, folder, _) in PACKAGES {
        let package = house().join(folder);
        let mut roots = vec![package.join("build.rs")];
        roots.extend(["src/lib.rs", "src/main.rs"].map(|root| package.join(root)));
        for folder in ["src/bin", "tests", "benches", "examples"] {
            let folder = package.join(folder);
            let is_root = |file: &PathBuf| {
                let above = file.parent().and_then(Path::parent);
                file.parent() == Some(&folder)
                    || file.ends_with("main.rs") && above == Some(&folder)
            };
            roots.extend(rust_files(&folder).into_iter().filter(is_root));
        }
        for root in roots.into_iter().filter(|root| root.is_file()) {
            let folder = root.parent().unwrap().to_owned();
            reach(&root, &folder, &mut reached);
        }
    }
    let lost: Vec<_> = all_rust_files()
        .into_iter()
        .filter(|file| !reached.contains(file))
        .collect();
    assert!(lost.is_empty(), "in no module: {lost:?}");
}

#[test]
fn no_module_is_named_after_nothing() {
    for file in all_rust_files() {
        let path = file.strip_prefix(house()).unwrap().with_extension("");
        for name in path.iter().filter_map(|name| name.to_str()) {
            assert!(
                !BANNED_NAMES.contains(&name),
                "{}: name what it is for",
                file.display()
            );
        }
    }
}

#[test]
fn every_rule_is_named_by_a_test_and_no_other() {
    let book: BTreeSet<Rule> = RULES
        .iter()
        .flat_map(|(part, last)| (1..=*last).map(|number| ((*part).to_owned(), number)))
        .filter(|(part, number)| !NOT_YET.contains(&(part, *number)))
        .collect();
    let mut named = BTreeSet::new();
    for file in all_rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        for rule in test_names(&text).flat_map(rules_in) {
            let (part, number) = &rule;
            let name = format!("{}: {part}{number}", file.display());
            assert!(book.contains(&rule), "{name} is in no rule book");
            named.insert(rule);
        }
    }
    let missing = book.difference(&named);
    let missing: Vec<_> = missing
        .map(|(part, number)| format!("{part}{number}"))
        .collect();
    assert_eq!(missing, [""; 0], "no test proves them by its name");
}

#[test]
fn the_rules_in_a_name_are_those_that_it_begins_with() {
    let table = [
        ("b6_up_m11_lightning_hangs", "b6 up_m11"),
        ("t2_to_t4_p6a_a_take", "t2 t3 t4 p6"),
        ("up_s2_up_s17_a_child", "up_s2 up_s17"),
        ("a_good_invoice_of_a1", ""),
        ("up_and_away", ""),
    ];
    for (name, expected) in table {
        let rules = rules_in(name).into_iter();
        let rules: Vec<_> = rules
            .map(|(part, number)| format!("{part}{number}"))
            .collect();
        assert_eq!(rules.join(" "), expected, "{name}");
    }
}

/// A part of the rule book, and a number in it.
type Rule = (String, u32);

/// The names of the tests in a file.
fn test_names(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            return None;
        }
        let declared = line.strip_prefix("async ").unwrap_or(line);
        let (name, _) = declared.strip_prefix("fn ")?.split_once('(')?;
        std::mem::take(&mut is_test).then_some(name)
    })
}

/// `b6_up_m11_t2_to_t4_the_taker_is_told` begins with `b6`, `up_m11`, `t2`, `t3` and `t4`.
fn rules_in(name: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut words = name.split('_');
    while let Some(word) = words.next() {
        let read = match word {
            "up" => words.next().and_then(|word| rule_in("up_", word)),
            "to" => words.next().and_then(|word| rule_in("", word)),
            word => rule_in("", word),
        };
        let Some((part, number)) = read else {
            break;
        };
        let first = match rules.last() {
            Some((before, last)) if word == "to" && *before == part => last + 1,
            Some(_) | None => number,
        };
        rules.extend((first..=number).map(|number| (part.clone(), number)));
    }
    rules
}

/// `p6a` is one row of the rule `p6`.
fn rule_in(kind: &str, word: &str) -> Option<Rule> {
    let (part, number) = word.split_at_checked(1)?;
    let number = number.trim_end_matches(|row: char| row.is_ascii_lowercase());
    Some((format!("{kind}{part}"), number.parse().ok()?))
}

/// Adds `file` and the files of its modules, which lie in `folder`.
fn reach(file: &Path, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    reached.insert(file.to_owned());
    let text = fs::read_to_string(file).expect("source files are readable text");
    let mut elsewhere = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            let beside = file.parent().expect("a file lies in a folder");
            let path = beside.join(path.trim_end_matches("\"]"));
            elsewhere = Some(path.canonicalize().expect("the path leads somewhere"));
            continue;
        }
        let Some(name) = module_name(line) else {
            continue;
        };
        let (flat, nested) = (
            folder.join(format!("{name}.rs")),
            folder.join(name).join("mod.rs"),
        );
        let modules = elsewhere
            .take()
            .map_or(vec![flat, nested], |path| vec![path]);
        for module in modules.into_iter().filter(|module| module.is_file()) {
            reach(&module, &folder.join(name), reached);
        }
    }
}

/// `pub(crate) mod take;` names `take`.
fn module_name(line: &str) -> Option<&str> {
    let declared = line.trim().strip_suffix(';')?;
    let (before, name) = declared.rsplit_once(' ')?;
    (before == "mod" || before.starts_with("pub") && before.ends_with(" mod")).then_some(name)
}

fn all_rust_files() -> Vec<PathBuf> {
    [
        "src",
        "tests",
        "benches",
        "examples",
        "escrow",
        "relay-policy",
        "storage",
    ]
    .iter()
    .flat_map(|folder| rust_files(&house().join(folder)))
    .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("the folder is readable").path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn house() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
