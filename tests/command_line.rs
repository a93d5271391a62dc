//! The real binary, as a person or a service manager runs it.
//!
//! A process of its own for these tests: a child that is being started holds
//! every file of its parent for a moment, and so would hold the lock of a node
//! that lives in the parent.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::books::Breach;
use escrow_core::wire::{Action, Message, OrderKind, Payload, SmallOrder, Transport};
use mostro_relay::trader::{Ask, Heard, Persona, Trade, Trader};
use nostr::key::{Keys, PublicKey};
use storage::ledger::{JournalEntry, Latch, Ledger};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn z1_up_a15_wrong_settings_are_all_told_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = "[relay]\nlisen = \"x\"\n[mostro]\nfee = 2\npow = \"much\"\n";
    fs::write(folder.path().join("settings.toml"), wrong).unwrap();
    let ended = box_in(folder.path()).output().await.unwrap();
    assert_eq!(ended.status.code(), Some(2));
    let told = String::from_utf8(ended.stderr).unwrap();
    for place in [
        "settings.toml:2: ",
        "settings.toml:4: ",
        "settings.toml:5: ",
    ] {
        assert!(told.contains(place), "{told}");
    }
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn a_box_that_is_told_to_stop_stops_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let mut running = RunningBox::in_folder(folder.path()).await;
        let second = box_in(folder.path()).output().await.unwrap();
        assert_eq!(second.status.code(), Some(1));
        let told = String::from_utf8(second.stderr).unwrap();
        assert!(told.contains("data/lock is locked"), "{told}");
        assert_eq!(running.ends_on(signal).await, Some(0));
    }
}

#[tokio::test]
async fn a_box_that_is_told_twice_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = RunningBox::in_folder(folder.path()).await;
    // He never answers a goodbye, so a clean stop waits for him.
    let _visitor = running.visited().await;
    running.hears("TERM").await;
    running.writes("stopping").await;
    running.hears("TERM").await;
    running.writes("told twice").await;
    let ended = timeout(PATIENCE, running.process.wait()).await.unwrap();
    assert_eq!(ended.unwrap().code(), Some(1));
}

/// Rule P10: a box is asked while it runs, and its ledger is read when it does not.
#[tokio::test]
async fn p10_the_operator_lists_payouts_of_a_box_that_runs_or_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let list = || async {
        let asking = box_in(folder.path()).args(["payouts", "--json"]).output();
        let ended = timeout(PATIENCE, asking).await.unwrap().unwrap();
        let told = String::from_utf8(ended.stdout).unwrap();
        (ended.status.code(), told)
    };
    assert_eq!(list().await, (Some(1), String::new()));
    let mut running = RunningBox::in_folder(folder.path()).await;
    assert_eq!(list().await, (Some(0), "[]\n".into()));
    assert_eq!(running.ends_on("TERM").await, Some(0));
    assert_eq!(list().await, (Some(0), "[]\n".into()));
}

#[tokio::test]
async fn x13_p14_the_operator_clears_and_decides_with_a_reason_and_only_in_a_box_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let asked = async |words: &[&str]| {
        let asking = box_in(folder.path()).args(words).output();
        let ended = timeout(PATIENCE, asking).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ended.status.code(), text(ended.stdout), text(ended.stderr))
    };
    let mut running = RunningBox::in_folder(folder.path()).await;
    assert_eq!(running.ends_on("TERM").await, Some(0));
    let breach = Breach::HistoryCutShort;
    let at = UnixTime(7);
    let mut ledger = Ledger::open(&folder.path().join("data/ledger.redb")).unwrap();
    let mut page = ledger.page().unwrap();
    page.put_latch(&Latch { at, breach }).unwrap();
    page.commit().unwrap();
    drop(ledger);

    let status = ["ledger", "status"];
    let clear = ["ledger", "clear", "--reason", "Lightning was restored"];
    let (code, told, _) = asked(&status).await;
    assert_eq!(code, Some(0));
    assert!(told.contains("NO PAYMENT LEAVES"), "{told}");
    let (code, _, why) = asked(&clear).await;
    assert_eq!(code, Some(1));
    assert!(why.contains("start it first"), "{why}");

    let mut running = RunningBox::in_folder(folder.path()).await;
    assert!(asked(&status).await.1.contains("NO PAYMENT LEAVES"));
    let unknown = "11".repeat(32);
    let (code, _, why) = asked(&["payouts", "adopt", &unknown, "--no-order"]).await;
    assert_eq!(code, Some(1));
    assert!(why.contains("no payment that is to be explained"), "{why}");
    let (code, _, why) = asked(&["payouts", "give-up", &unknown, "--reason", "gone"]).await;
    assert_eq!(code, Some(1));
    assert!(why.contains("no payment to be given up"), "{why}");
    let (code, _, why) = asked(&["payouts", "give-up", "11", "--reason", "gone"]).await;
    assert_eq!(code, Some(2));
    assert!(why.contains("64 hexadecimal digits"), "{why}");
    let nobody = "00000000-0000-0000-0000-000000000001";
    let (code, _, why) = asked(&["payouts", "write-off", nobody, "--reason", "paid"]).await;
    assert_eq!(code, Some(1));
    assert!(why.contains("nothing is parked"), "{why}");
    assert_eq!(asked(&clear).await.0, Some(0));
    let (code, _, why) = asked(&clear).await;
    assert_eq!(code, Some(1), "{why}");
    let (_, told, _) = asked(&status).await;
    assert!(told.starts_with("payments leave"), "{told}");
    assert_eq!(running.ends_on("TERM").await, Some(0));
}

#[tokio::test]
async fn a14_x10_the_operator_looks_and_acts_by_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let asked = async |words: &str| {
        let mut asking = box_in(folder.path());
        asking.args(words.split(' ')).stdin(Stdio::null());
        let ended = timeout(PATIENCE, asking.output()).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ended.status.code(), text(ended.stdout), text(ended.stderr))
    };
    let done = async |words: &str| {
        let (code, told, why) = asked(words).await;
        assert_eq!(code, Some(0), "{words}: {why}");
        told
    };
    let refused = async |words: &str| {
        let (code, told, why) = asked(words).await;
        assert_eq!(code, Some(1), "{words}: {told}");
        why
    };
    let mut running = RunningBox::in_folder(folder.path()).await;
    let told = done("status").await;
    assert!(told.starts_with("box              running\n"), "{told}");
    assert!(told.contains("new trades       taken\n"), "{told}");
    assert_eq!(done("maintenance on --reason channels").await, "done\n");
    assert!(done("maintenance status").await.contains("(channels)"));
    let status: serde_json::Value = serde_json::from_str(&done("status --json").await).unwrap();
    assert_eq!(status["rest"]["maintenance"]["by"], "Operator");
    done("maintenance off").await;

    let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    done(&format!("solver add {key}:read")).await;
    assert!(done("solver list").await.contains("  read  "));
    let remove = format!("solver remove {key}");
    assert!(refused(&remove).await.contains("add --yes"));
    done(&format!("{remove} --yes")).await;
    assert_eq!(done("solver list").await, "no solvers\n");
    for (words, told) in [
        (
            "solver add nobody",
            "64 hexadecimal digits (invalid_text_message)",
        ),
        (
            &*format!("solver add {key}:rule"),
            ":read-write (invalid_parameters)",
        ),
        (&*format!("{remove} --yes"), "`solver list` tells who is"),
        (
            "maintenance on --reason lnd_unsynced",
            "say it in other words",
        ),
    ] {
        let why = refused(words).await;
        assert!(why.contains(told), "{why}");
    }
    let (code, _, why) = asked("solver remove nobody --yes").await;
    assert_eq!(code, Some(2));
    assert!(why.contains("64 hexadecimal digits"), "{why}");

    assert_eq!(done("orders").await, "no orders\n");
    assert_eq!(done("orders --status active --json").await, "[]\n");
    assert_eq!(done("disputes").await, "no open disputes\n");
    let unknown = "00000000-0000-4000-8000-000000000000";
    assert!(refused(&format!("order {unknown}")).await.contains(unknown));
    for (act, list) in [
        ("order cancel", "`orders` lists"),
        ("dispute take", "`disputes` lists"),
        ("dispute settle", "`orders` lists"),
        ("dispute cancel", "`orders` lists"),
    ] {
        let why = refused(&format!("{act} {unknown} --yes")).await;
        assert!(why.contains("(not_found)") && why.contains(list), "{why}");
    }
    let told = done("audit verify").await;
    assert!(told.contains("as they were written"), "{told}");
    assert_eq!(running.ends_on("TERM").await, Some(0));
    assert_eq!(done("audit verify").await, told, "of the stopped box");
    assert!(
        done("status")
            .await
            .starts_with("box              stopped\n")
    );
    for act in ["maintenance on".into(), format!("order cancel {unknown}")] {
        assert!(refused(&act).await.contains("start it first"), "{act}");
    }
}

/// A trade in dispute is brought to its end with nothing but the command line.
#[tokio::test]
async fn a10_a14_the_operator_rules_by_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = RunningBox::in_folder(folder.path()).await;
    let wallets = running.wallets.clone();
    let asked = async |words: &str| {
        let mut asking = box_in(folder.path());
        asking.env("MOSTRO_RELAY__SANDBOX__LISTEN", &wallets);
        asking.args(words.split(' ')).stdin(Stdio::null());
        let ended = timeout(PATIENCE, asking.output()).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            ended.status.success(),
            text(ended.stdout) + &text(ended.stderr),
        )
    };
    let done = async |words: &str| {
        let (is_done, told) = asked(words).await;
        assert!(is_done, "{words}: {told}");
        told
    };
    let refused = async |words: &str, why: &str| {
        let (is_done, told) = asked(words).await;
        assert!(!is_done && told.contains(why), "{words}: {told}");
    };
    let key = fs::read_to_string(folder.path().join("data/node.key")).unwrap();
    let node = Keys::parse(key.trim()).unwrap().public_key();
    let url = format!("ws://{}", running.address);
    let mut alice = Guest::joins("alice", 1, &url, node).await;
    let mut bob = Guest::joins("bob", 2, &url, node).await;

    let offer = SmallOrder {
        kind: Some(OrderKind::Sell),
        amount: 10_000,
        fiat_code: "USD".into(),
        fiat_amount: 10,
        payment_method: "cash".into(),
        ..SmallOrder::default()
    };
    let sell = Ask::about(Action::NewOrder, None).with_index();
    let order = alice.asks(sell.with(Payload::Order(offer))).await;
    let id = order.message.id.unwrap();
    assert!(
        done("orders")
            .await
            .contains(&format!("{id}  pending  sell  10 USD  10000"))
    );
    let invoice = done("sandbox invoice 9970").await.trim().to_owned();
    let invoice = Payload::PaymentRequest(None, invoice, None);
    let take = Ask::about(Action::TakeSell, Some(id)).with_index();
    bob.asks(take.with(invoice)).await;
    let wanted = alice.hears(|message| {
        let Some(Payload::PaymentRequest(_, bolt11, _)) = &message.payload else {
            return None;
        };
        Some(bolt11.clone())
    });
    let bolt11 = wanted.await;
    done(&format!("sandbox pay {bolt11}")).await;
    bob.hears_of(Action::HoldInvoicePaymentAccepted).await;
    let (cancel, settle) = (format!("order cancel {id}"), format!("dispute settle {id}"));
    refused(&cancel, "add --yes").await;
    refused(&format!("{cancel} --yes"), "for its parties to end").await;

    bob.asks(Ask::about(Action::Dispute, Some(id))).await;
    assert!(done("disputes").await.contains("nobody"));
    refused(
        &format!("{settle} --yes"),
        "`dispute take ID` makes one yours",
    )
    .await;
    done(&format!("dispute take {id} --yes")).await;
    assert!(done("disputes").await.contains("npub1"));
    assert_eq!(done(&format!("{settle} --yes")).await, "done\n");
    bob.hears_of(Action::PurchaseCompleted).await;
    refused(&format!("{settle} --yes"), "nothing left to rule").await;
    let story = done(&format!("order {id}")).await;
    let lines = [
        "seller makes the order",
        "buyer opens a dispute",
        "operator takes the dispute",
        "operator rules for the buyer",
        "lightning has paid the buyer",
    ];
    let mut rest = story.as_str();
    for line in lines {
        rest = rest.split_once(line).expect(&story).1;
    }
    assert_eq!(done(&format!("audit show {id}")).await, story);
    assert_eq!(running.ends_on("TERM").await, Some(0));
    assert_eq!(
        done(&format!("order {id}")).await,
        story,
        "of the stopped box"
    );
}

/// Somebody who trades with a box of another process.
struct Guest {
    trader: Trader,
    trade: Trade,
}

impl Guest {
    async fn joins(name: &str, seed: u8, url: &str, node: PublicKey) -> Guest {
        let persona = Persona {
            patience: PATIENCE,
            ..Persona::new(name, [seed; 32], Transport::Direct)
        };
        let mut trader = Trader::join(persona, url, node).await.unwrap();
        let trade = trader.new_trade().await.unwrap();
        Guest { trader, trade }
    }

    async fn asks(&mut self, ask: Ask) -> Heard {
        let heard = self.trader.request(&self.trade, ask).await.unwrap().heard;
        assert_eq!(heard.refusal(), None, "{}", heard.json);
        heard
    }

    async fn hears<T>(&mut self, is_it: impl Fn(&Message) -> Option<T>) -> T {
        loop {
            let heard = self.trader.next_letter(&self.trade).await.unwrap();
            if let Some(found) = is_it(&heard.message) {
                return found;
            }
        }
    }

    async fn hears_of(&mut self, action: Action) {
        self.hears(|message| (message.action == action).then_some(()))
            .await;
    }
}

/// Somebody rewrites the journal of a stopped box. What is pruned leaves a checkpoint,
/// from which the rest is still verified.
#[tokio::test]
async fn a_journal_is_verified_after_pruning_and_a_change_in_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let file = folder.path().join("data/ledger.redb");
    let mut ledger = Ledger::open(&file).unwrap();
    let mut page = ledger.page().unwrap();
    for number in 1..=9 {
        let entry = JournalEntry {
            at: UnixTime(number),
            origin: "operator".into(),
            order: None,
            command: "admin-add-solver".into(),
            outcome: format!("the {number}th"),
        };
        page.push_journal(&entry).unwrap();
    }
    page.commit().unwrap();
    drop(ledger);
    let verify = async || {
        let asking = box_in(folder.path()).args(["audit", "verify"]).output();
        let ended = timeout(PATIENCE, asking).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ended.status.code(), text(ended.stdout), text(ended.stderr))
    };
    let head_of = |told: &str| told.split_once("head ").unwrap().1.to_owned();

    let (code, told, _) = verify().await;
    assert!(
        told.starts_with("entries 1 to 9: as they were written\n"),
        "{told}"
    );
    assert_eq!(code, Some(0));
    let mut ledger = Ledger::open(&file).unwrap();
    let mut page = ledger.page().unwrap();
    assert_eq!(page.prune_journal(UnixTime(4), 100).unwrap(), 3);
    page.commit().unwrap();
    drop(ledger);
    let (code, pruned, _) = verify().await;
    assert!(
        pruned.starts_with("entries 4 to 9: as they were written\n"),
        "{pruned}"
    );
    assert_eq!((code, head_of(&pruned)), (Some(0), head_of(&told)));

    let bytes = fs::read(&file).unwrap();
    for (written, forged, number) in [("the 6th", "the 5th", 6), ("the 9th", "the 0th", 9)] {
        fs::write(&file, replaced(&bytes, written, forged)).unwrap();
        let (code, told, why) = verify().await;
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("NOT as they were written"), "{told}");
        let expected = format!("entry {number} is not as it was written");
        assert!(why.contains(&expected), "{why}");
    }
    fs::write(&file, bytes).unwrap();
    assert_eq!(verify().await.0, Some(0));
}

/// Wherever a file says `from`, it says `to`, which is as long.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut bytes = bytes.to_vec();
    let windows = bytes.windows(from.len()).enumerate();
    let places: Vec<_> = windows
        .filter(|(_, it)| *it == from)
        .map(|(at, _)| at)
        .collect();
    for at in places {
        bytes.splice(at..at + from.len(), to.iter().copied());
    }
    bytes
}

/// The real binary, with settings of its folder and any free ports.
fn box_in(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mostro-relay"));
    command
        .current_dir(folder)
        .env("MOSTRO_RELAY__RELAY__LISTEN", "127.0.0.1:0")
        .env("MOSTRO_RELAY__SANDBOX__LISTEN", "127.0.0.1:0")
        .kill_on_drop(true)
        .stderr(Stdio::piped());
    command
}

struct RunningBox {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: String,
    /// Where its simulated wallets are.
    wallets: String,
}

impl RunningBox {
    /// Starts a box and waits until its port is open.
    async fn in_folder(folder: &Path) -> Self {
        let mut process = box_in(folder).stdout(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut banner = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut running = Self {
            process,
            log,
            address: String::new(),
            wallets: String::new(),
        };
        let line = running.writes("the port is open").await;
        running.address = line.rsplit('=').next().unwrap().trim().into();
        let reading = async {
            loop {
                let line = banner.next_line().await.unwrap().unwrap();
                if let Some((_, address)) = line.split_once("wallets at ") {
                    return address.trim().to_owned();
                }
            }
        };
        running.wallets = timeout(PATIENCE, reading).await.unwrap();
        running
    }

    /// A websocket that nobody reads.
    async fn visited(&self) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let url = format!("ws://{}", self.address);
        client_async(url, stream).await.unwrap().0
    }

    /// Waits for a line of the log, and returns it.
    async fn writes(&mut self, words: &str) -> String {
        let reading = async {
            let mut line = String::new();
            while !line.contains(words) {
                line = self.log.next_line().await.unwrap().expect(words);
            }
            line
        };
        timeout(PATIENCE, reading).await.unwrap()
    }

    async fn hears(&self, signal: &str) {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.await.unwrap().success());
    }

    async fn ends_on(&mut self, signal: &str) -> Option<i32> {
        self.hears(signal).await;
        let ended = timeout(PATIENCE, self.process.wait()).await.unwrap();
        ended.unwrap().code()
    }
}
