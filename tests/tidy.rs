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

/// Adds `file` and the files of its modules, which lie in `folder`.
fn reach(file: &Path, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    reached.insert(file.to_owned());
    for line in fs::read_to_string(file)
        .expect("source files are readable text")
        .lines()
    {
        let Some(name) = module_name(line) else {
            continue;
        };
        let (flat, nested) = (
            folder.join(format!("{name}.rs")),
            folder.join(name).join("mod.rs"),
        );
        for module in [flat, nested].into_iter().filter(|module| module.is_file()) {
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
