//! The load generator for relays: it finds a good relay good, and a relay
//! that lies out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at its first surprise"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpStream as TcpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use mostro_relay::bench::relay::{self, Plan, Scale, Scenario};
use mostro_relay::bench::{Finding, Listener};
use mostro_relay::node::Node;
use mostro_relay::settings::Settings;
use nostr_relay_builder::LocalRelay;
use nostr_relay_builder::builder::{RateLimit, RelayBuilder};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

/// Enough of everything to go wrong.
const TINY: Scale = Scale {
    pipelined_events: 256,
    lock_step_events: 8,
    at_most: Duration::from_secs(20),
    idle_connections: 10,
    orders_in_book: 40,
    asking_time: Duration::from_millis(5),
    subscribers: 5,
    slow_events: 30,
    burst_events: 200,
    events_to_miss: 100,
    live_orders: 10,
    stored_events: 20,
    flood_time: Duration::from_secs(1),
};

#[derive(Default)]
struct Notes(Vec<Value>);

impl Listener for Notes {
    fn begins(&mut self, _: &str) {}

    fn hears(&mut self, finding: &Finding) {
        assert!(!finding.to_text().is_empty());
        self.0.push(finding.to_json());
    }
}

async fn measure(url: &str, scenarios: &[Scenario]) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let plan = Plan {
        url: Some(url.to_owned()),
        pid: Some(std::process::id()),
        scenarios: scenarios.to_vec(),
        scale: TINY,
        program: PathBuf::from(env!("CARGO_BIN_EXE_mostro-relay")),
    };
    let mut notes = Notes::default();
    relay::run(&plan, folder.path(), &mut notes).await?;
    Ok(notes.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn our_relay_does_everything_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.node.data_dir = folder.path().join("data");
    settings.relay.listen.set_port(0);
    settings.relay.orders_per_foreign_key = 1_000;
    settings.relay.max_messages_per_second = 1_000_000;
    settings.escrow.enabled = false;
    let node = Node::start(settings).await.unwrap();
    let scenarios = [
        Scenario::Ingest,
        Scenario::FanOut,
        Scenario::SlowSubscriber,
        Scenario::Queries,
        Scenario::Count,
        Scenario::IdleMemory,
    ];
    let found = measure(node.url(), &scenarios).await.unwrap();
    node.stop().await.unwrap();
    assert_told(&found, &scenarios);
}

fn assert_told(found: &[Value], scenarios: &[Scenario]) {
    for scenario in scenarios {
        let rows = found.iter();
        let rows: Vec<_> = rows
            .filter(|row| row["scenario"] == scenario.name())
            .collect();
        assert!(!rows.is_empty(), "{} told nothing", scenario.name());
        for row in rows {
            for rate in ["events", "deliveries", "requests"] {
                if let Some(rate) = row.get(rate) {
                    assert!(rate["per_second"].as_f64().unwrap() > 0.0, "{row}");
                    assert!(rate["of_verify_rate"].as_f64().unwrap() > 0.0, "{row}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_relay_is_measured_by_the_same_words() {
    let relay = LocalRelay::new(RelayBuilder::default().rate_limit(RateLimit {
        max_reqs: 1_000,
        notes_per_minute: 1_000_000,
    }));
    relay.run().await.unwrap();
    let url = relay.url().await.to_string();
    let scenarios = [Scenario::FanOut, Scenario::Queries];
    let found = measure(&url, &scenarios).await.unwrap();
    relay.shutdown();
    assert_told(&found, &scenarios);
}

#[tokio::test]
async fn a_relay_that_only_pretends_to_store_is_found_out() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut pretending = JoinSet::new();
    pretending.spawn(async move {
        let mut visitors = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            visitors.spawn(pretend(stream));
        }
    });
    for (scenario, words) in [
        (
            Scenario::Ingest,
            ["ingest (1059, 1 conn", "256 of them are missing"],
        ),
        (Scenario::Queries, ["queries (book)", "0 came"]),
    ] {
        let why = measure(&url, &[scenario]).await.unwrap_err();
        let why = format!("{why:#}");
        for words in words {
            assert!(why.contains(words), "{why}");
        }
    }
    let impossible = measure(&url, &[Scenario::StartUp]).await.unwrap_err();
    assert!(impossible.to_string().contains("leave --url out"));
}

/// Says yes to every event and remembers none.
async fn pretend(stream: TcpStream) {
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        let said: Value = serde_json::from_str(&text).unwrap();
        let answer = match said[0].as_str() {
            Some("EVENT") => json!(["OK", said[1]["id"], true, ""]),
            Some("REQ") => json!(["EOSE", said[1]]),
            _ => continue,
        };
        let _gone = socket.send(Message::text(answer.to_string())).await;
    }
}

#[test]
fn a_box_of_its_own_is_started_measured_and_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    let ended = bench(&["relay", "--scenario", "start-up", "--quick", "--json"])
        .args(["--orders", "50", "--events", "200", "--folder"])
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    let complaints = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{told}{complaints}");
    let lines: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [machine, start, end] = lines.as_slice() else {
        panic!("{told}");
    };
    assert!(machine["verified_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(start["case"], "50 live orders of 200 events");
    assert_eq!(start["open_port"]["count"], 5);
    assert_eq!(*end, json!({"part": "end", "ok": true}));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn who_is_told_to_stop_leaves_no_box_and_no_folder() {
    for word in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut running = bench(&["relay", "--scenario", "queries", "--folder"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut progress = BufReader::new(running.stderr.take().unwrap()).lines();
        // The box is there when something is published into it.
        assert!(progress.any(|line| line.unwrap().contains("queries: publishing")));
        let address = address_of_box(folder.path());
        TcpSocket::connect(&address).unwrap();
        let id = running.id().to_string();
        let told = Command::new("kill").args(["-s", word, &id]).status();
        assert!(told.unwrap().success());
        assert_eq!(running.wait().unwrap().code(), Some(1), "{word}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 0, "{word}");
        // The system may need a moment to bury who was killed.
        let began = Instant::now();
        while TcpSocket::connect(&address).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(20), "still there");
            std::thread::yield_now();
        }
    }
}

/// Where the box of the scenario `queries` listens.
fn address_of_box(folder: &Path) -> String {
    let measuring = folder.read_dir().unwrap().next().unwrap().unwrap();
    let settings = measuring.path().join("queries/settings.toml");
    let settings: toml::Table = fs::read_to_string(settings).unwrap().parse().unwrap();
    settings["relay"]["listen"].as_str().unwrap().to_owned()
}

#[test]
fn bench_alone_says_what_there_is() {
    let ended = bench(&[]).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let complaint = String::from_utf8(ended.stderr).unwrap();
    for words in ["bench --quick", "bench relay"] {
        assert!(complaint.contains(words), "{complaint}");
    }
}

fn bench(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mostro-relay"));
    command.arg("bench").args(args);
    command
}
