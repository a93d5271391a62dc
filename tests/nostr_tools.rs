//! A client that shares no code with the relay: the cases of
//! `nostr-tools/client.mjs`, over a real websocket to a whole box.
//!
//! It needs Node and, for the first run, a package registry. Without them it
//! says so and passes, but for a build server (`CI=true`), where it fails.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mostro_relay::node::Node;
use mostro_relay::settings::Settings;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

/// Longer than the packages take to come over a slow line.
const TIME_TO_INSTALL: Duration = Duration::from_secs(120);

/// Longer than all cases take on a busy machine.
const TIME_TO_ASK: Duration = Duration::from_secs(120);

/// The oldest Node that the packages run on.
const OLDEST_NODE: u32 = 20;

const CLIENT: &str = "client.mjs";
const LOCK: &str = "package-lock.json";

/// One line of the client.
#[derive(Debug, Deserialize)]
struct Case {
    #[serde(rename = "case")]
    name: String,
    ok: bool,
    why: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_client_finds_the_relay_as_the_nips_describe_it() {
    let client = match installed_client().await {
        Ok(client) => client,
        Err(why) => return skip(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(settings(folder.path())).await.unwrap();
    let cases = heard_by(&client, node.url()).await;
    node.stop().await.unwrap();
    for Case { name, ok, why } in &cases {
        assert!(*ok, "{name}: {why}");
    }
    let names: Vec<_> = cases.into_iter().map(|it| it.name).collect();
    assert_eq!(names, written_cases(), "the client did not come to its end");
}

/// A plain relay whose limits are none of the defaults, so that a document
/// which only repeats those is found out.
fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.node.data_dir = folder.join("data");
    settings.escrow.enabled = false;
    settings.relay.listen.set_port(0);
    settings.relay.max_filters = 3;
    settings.relay.max_subscriptions = 6;
    settings.relay.max_limit = 20;
    settings.relay.max_frame_bytes = 200_000;
    settings.relay.max_future = Duration::from_secs(600);
    settings
}

/// Runs the client and reads what it says, a line for each case.
async fn heard_by(client: &Path, url: &str) -> Vec<Case> {
    let mut asking = Command::new("node");
    asking.arg(client).arg(url).stderr(Stdio::inherit());
    let output = timeout(TIME_TO_ASK, asking.kill_on_drop(true).output());
    let output = output.await.expect("the client ends in time").unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{lines}{}", output.status);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The names of the cases as they stand in the client, in their order.
fn written_cases() -> Vec<String> {
    let text = fs::read_to_string(written().join(CLIENT)).unwrap();
    let names = text.lines().filter_map(|line| {
        let name = line.strip_prefix("  '")?;
        Some(name.strip_suffix("': async () => {")?.to_owned())
    });
    names.collect()
}

/// Puts the client beside the packages it needs, which are kept between runs.
async fn installed_client() -> Result<PathBuf, String> {
    node_is_here().await?;
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nostr-tools");
    fs::create_dir_all(&place).unwrap();
    let lock = fs::read(written().join(LOCK)).unwrap();
    // Written last: where it is the same, everything it names has been installed.
    let installed = place.join("installed.json");
    if fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(copied(CLIENT, &place));
    }
    for file in ["package.json", LOCK, ".npmrc"] {
        copied(file, &place);
    }
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    said(npm.current_dir(&place), TIME_TO_INSTALL).await?;
    fs::write(installed, lock).unwrap();
    Ok(copied(CLIENT, &place))
}

async fn node_is_here() -> Result<(), String> {
    let version = said(Command::new("node").arg("--version"), TIME_TO_ASK).await?;
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    match major {
        Some(OLDEST_NODE..) => Ok(()),
        Some(0..OLDEST_NODE) | None => Err(format!(
            "node is {}, {OLDEST_NODE} is needed",
            version.trim()
        )),
    }
}

/// What a command prints, or why it cannot be had.
async fn said(command: &mut Command, patience: Duration) -> Result<String, String> {
    let name = command.as_std().get_program().display().to_string();
    command.kill_on_drop(true).stdin(Stdio::null());
    let output = match timeout(patience, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{name} cannot be started: {error}")),
        Err(_) => return Err(format!("{name} was not done in {patience:?}")),
    };
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let complaint = String::from_utf8_lossy(&output.stderr);
        Err(format!("{name} failed: {}", complaint.trim()))
    }
}

fn copied(file: &str, place: &Path) -> PathBuf {
    let copy = place.join(file);
    fs::copy(written().join(file), &copy).unwrap();
    copy
}

fn written() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nostr-tools")
}

/// Passes without a proof, and says so where nobody can overlook it.
fn skip(why: &str) {
    assert!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "a build server must have Node and its packages: {why}"
    );
    let rule = "!".repeat(72);
    // Not eprintln!, which the test harness hides when a test passes.
    let _said = writeln!(
        io::stderr(),
        "\n{rule}\nSKIPPED: the independent client (nostr-tools) did NOT run.\n\
         SKIPPED: {why}\n\
         SKIPPED: install Node {OLDEST_NODE} or later with npm to prove what it proves.\n{rule}"
    );
}

#[test]
fn the_lock_file_names_no_place_to_fetch_from() {
    let lock = fs::read_to_string(written().join(LOCK)).unwrap();
    assert!(!lock.contains("://"), "see its .npmrc");
}
