//! The real binary is killed twenty times in the middle of its work. Whatever
//! it had said `OK true` to must be decided when it is back (rule G15).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends at its first surprise"
)]

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use escrow_core::order::OrderId;
use escrow_core::party::TradeKey;
use escrow_core::stage::Stage;
use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, SmallOrder, Transport};
use mostro_relay::trader::{Ask, Heard, Persona, Trade, Trader, TraderError};
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use storage::ledger::Ledger;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

const KILLS: u64 = 20;
const TRADERS: u8 = 8;

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the counts are for people")]
async fn g15_twenty_kills_lose_no_ok() {
    let folder = tempfile::tempdir().unwrap();
    let node = Keys::generate();
    let mut running = RunningBox::start(folder.path(), &node).await;
    let mut crowd = Vec::new();
    for seed in 1..=TRADERS {
        crowd.push(Regular::joins(seed, &running.url, node.public_key()).await);
    }
    let board = Board::default();
    for kill in 0..KILLS {
        let (promises, kept) = watch::channel(0);
        let mut at_work = JoinSet::new();
        for regular in crowd.drain(..) {
            at_work.spawn(regular.works(board.clone(), promises.clone()));
        }
        reaches(kept, 5 + kill * 7 % 60).await;
        running.is_killed().await;
        if kill % 4 == 3 {
            RunningBox::start_half(folder.path(), &node).await;
        }
        running = RunningBox::start(folder.path(), &node).await;
        let mut comparing = JoinSet::new();
        for regular in at_work.join_all().await {
            comparing.spawn(regular.compares(running.url.clone()));
        }
        crowd = comparing.join_all().await;
    }
    the_book_is_complete(&crowd, &running.url, node.public_key()).await;
    running.is_killed().await;
    the_ledger_is_complete(&crowd, folder.path());
    let total = |count: fn(&Regular) -> usize| crowd.iter().map(count).sum::<usize>();
    println!(
        "{KILLS} kills: {} messages decided, {} of them with OK and {} without when the node \
         died before its answer; 0 lost",
        total(|regular| regular.answered.len()),
        total(|regular| regular.promised_at_a_kill),
        total(|regular| regular.unknown_at_a_kill),
    );
    // A test in which the kills hit nothing would prove nothing.
    assert!(total(|regular| regular.promised_at_a_kill) > 0);
    assert!(total(|regular| regular.unknown_at_a_kill) > 0);
}

async fn reaches(mut promised: watch::Receiver<u64>, count: u64) {
    let enough = promised.wait_for(|promised| *promised >= count);
    let enough = timeout(PATIENCE, enough).await;
    drop(enough.expect("the node gets on").unwrap());
}

async fn the_book_is_complete(crowd: &[Regular], url: &str, node: PublicKey) {
    let persona = persona("reader", 0);
    let mut reader = Trader::join(persona, url, node).await.unwrap();
    reader.watch_book().await.unwrap();
    let answers = || crowd.iter().flat_map(|regular| &regular.answered);
    let canceled: BTreeSet<_> = answers()
        .filter(|(_, heard)| heard.message.action == Action::Canceled)
        .map(|(_, heard)| heard.message.id)
        .collect();
    for (_, heard) in answers() {
        let order = heard.message.id.unwrap_or_default();
        let status = match heard.message.action {
            Action::Canceled => BookStatus::Canceled,
            // Its maker may have canceled it after it was taken.
            Action::AddInvoice | Action::PayInvoice if canceled.contains(&heard.message.id) => {
                continue;
            }
            Action::AddInvoice | Action::PayInvoice => BookStatus::InProgress,
            _ => continue,
        };
        reader.sees(order, status).await.unwrap();
    }
}

/// What the traders were told is what the ledger says.
fn the_ledger_is_complete(crowd: &[Regular], folder: &Path) {
    let ledger = Ledger::open(&folder.join("data/ledger.redb")).unwrap();
    let view = ledger.views().view().unwrap();
    let answers = crowd.iter().flat_map(|regular| &regular.answered);
    for (trade, heard) in answers {
        let order = || {
            let id = heard.message.id.expect("it is about an order");
            view.order(OrderId(id))
                .unwrap()
                .expect("it is in the ledger")
        };
        let key = TradeKey(trade.keys.public_key());
        match heard.message.action {
            Action::CantDo => (),
            Action::NewOrder => assert_eq!(order().maker.trade_key, key),
            Action::Canceled => assert!(matches!(order().stage, Stage::Canceled { .. })),
            Action::AddInvoice | Action::PayInvoice => {
                let taker = order().stage.take().map(|take| take.taker.trade_key);
                assert_eq!(taker, Some(key));
            }
            _ => panic!("nobody asked for {}", heard.json),
        }
    }
}

/// Orders that somebody may take.
type Board = Arc<Mutex<VecDeque<(Uuid, OrderKind)>>>;

/// A trader who is always busy.
struct Regular {
    trader: Trader,
    /// Pending orders of his own.
    own: VecDeque<Trade>,
    turn: u64,
    waits_for: Option<Sent>,
    answered: Vec<(Trade, Heard)>,
    promised_at_a_kill: usize,
    unknown_at_a_kill: usize,
}

/// A message without an answer.
struct Sent {
    trade: Trade,
    request_id: u64,
    event: Event,
    /// Whether the relay has said `OK true`.
    promised: bool,
}

impl Regular {
    async fn joins(seed: u8, url: &str, node: PublicKey) -> Regular {
        let persona = persona(&format!("trader {seed}"), seed);
        Regular {
            trader: Trader::join(persona, url, node).await.unwrap(),
            own: VecDeque::new(),
            turn: u64::from(seed) << 32,
            waits_for: None,
            answered: Vec::new(),
            promised_at_a_kill: 0,
            unknown_at_a_kill: 0,
        }
    }

    /// Makes move after move until the line breaks.
    async fn works(mut self, board: Board, promises: watch::Sender<u64>) -> Regular {
        loop {
            match self.moves(&board, &promises).await {
                Ok(()) => (),
                Err(TraderError::Lost { .. }) => return self,
                Err(why) => panic!("{why}"),
            }
        }
    }

    async fn moves(
        &mut self,
        board: &Board,
        promises: &watch::Sender<u64>,
    ) -> Result<(), TraderError> {
        self.turn += 1;
        let takes = self.turn.is_multiple_of(3);
        let offered = takes.then(|| board.lock().unwrap().pop_front()).flatten();
        if let Some((order, kind)) = offered {
            return self.takes(order, kind, promises).await;
        }
        let cancels = self.turn.is_multiple_of(4);
        if let Some(trade) = cancels.then(|| self.own.pop_front()).flatten() {
            let ask = Ask::about(Action::Cancel, trade.order);
            return self.says(trade, ask, promises).await.map(drop);
        }
        self.offers(board, promises).await
    }

    async fn offers(
        &mut self,
        board: &Board,
        promises: &watch::Sender<u64>,
    ) -> Result<(), TraderError> {
        let kind = if self.turn.is_multiple_of(2) {
            OrderKind::Buy
        } else {
            OrderKind::Sell
        };
        let offer = SmallOrder {
            kind: Some(kind),
            amount: 10_000,
            fiat_code: "USD".to_owned(),
            fiat_amount: 10,
            payment_method: "cash".to_owned(),
            ..SmallOrder::default()
        };
        let mut trade = self.trader.new_trade().await?;
        let ask = Ask::about(Action::NewOrder, None)
            .with_index()
            .with(Payload::Order(offer));
        let heard = self.says(trade.clone(), ask, promises).await?;
        trade.order = heard.message.id;
        if let Some(order) = trade.order {
            board.lock().unwrap().push_back((order, kind));
            self.own.push_back(trade);
        }
        Ok(())
    }

    async fn takes(
        &mut self,
        order: Uuid,
        kind: OrderKind,
        promises: &watch::Sender<u64>,
    ) -> Result<(), TraderError> {
        let action = match kind {
            OrderKind::Sell => Action::TakeSell,
            OrderKind::Buy => Action::TakeBuy,
        };
        let trade = self.trader.new_trade().await?;
        let ask = Ask::about(action, Some(order)).with_index();
        self.says(trade, ask, promises).await.map(drop)
    }

    async fn says(
        &mut self,
        trade: Trade,
        ask: Ask,
        promises: &watch::Sender<u64>,
    ) -> Result<Heard, TraderError> {
        let request_id = self.turn;
        let event = self.trader.wrap(&trade, &ask, Some(request_id))?;
        let sent = self.waits_for.insert(Sent {
            trade,
            request_id,
            event,
            promised: false,
        });
        let verdict = self.trader.publish(&sent.event).await?;
        assert!(verdict.taken, "{}", verdict.text);
        sent.promised = true;
        promises.send_modify(|promised| *promised += 1);
        self.hears_the_answer().await
    }

    /// The answer to what he said last; after it he stops listening, unless
    /// the order is his.
    async fn hears_the_answer(&mut self) -> Result<Heard, TraderError> {
        let sent = self.waits_for.take().expect("he has asked");
        let heard = loop {
            match self.trader.next_letter(&sent.trade).await {
                Ok(heard) if heard.message.request_id == Some(sent.request_id) => break heard,
                Ok(_push) => (),
                Err(why) => {
                    self.waits_for = Some(sent);
                    return Err(why);
                }
            }
        };
        self.answered.push((sent.trade.clone(), heard.clone()));
        if heard.message.action != Action::NewOrder {
            self.trader.forget(&sent.trade).await?;
        }
        Ok(heard)
    }

    /// After a kill: what was promised is decided, what was not can be sent
    /// again, and either has its answer.
    async fn compares(mut self, url: String) -> Regular {
        self.trader.rejoin(&url).await.unwrap();
        let Some(sent) = &self.waits_for else {
            return self;
        };
        let verdict = self.trader.publish(&sent.event).await.unwrap();
        assert!(verdict.taken, "{}", verdict.text);
        if sent.promised {
            assert!(verdict.text.starts_with("duplicate:"), "an OK was lost");
            self.promised_at_a_kill += 1;
        } else {
            self.unknown_at_a_kill += 1;
        }
        self.hears_the_answer().await.unwrap();
        self
    }
}

/// Half of them hide their identity.
fn persona(name: &str, seed: u8) -> Persona {
    let transport = if seed.is_multiple_of(3) {
        Transport::GiftWrap
    } else {
        Transport::Direct
    };
    Persona {
        full_privacy: seed.is_multiple_of(2),
        patience: PATIENCE,
        ..Persona::new(name, [seed; 32], transport)
    }
}

/// The real binary at work.
struct RunningBox {
    process: Child,
    url: String,
    /// Reads the log, so that the binary never waits for a reader.
    _reader: JoinSet<()>,
}

impl RunningBox {
    /// Starts it and waits until its port is open.
    async fn start(folder: &Path, node: &Keys) -> RunningBox {
        let mut process = command(folder, node).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let reading = async {
            while let Some(line) = log.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("the port is open address=") {
                    return format!("ws://{}", address.trim());
                }
            }
            panic!("the box ended before it opened its port");
        };
        let url = timeout(PATIENCE, reading).await.unwrap();
        let mut reader = JoinSet::new();
        reader.spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        RunningBox {
            process,
            url,
            _reader: reader,
        }
    }

    /// Starts it and kills it as soon as it has said a word.
    async fn start_half(folder: &Path, node: &Keys) {
        let mut process = command(folder, node).spawn().unwrap();
        let stderr: ChildStderr = process.stderr.take().unwrap();
        let mut log = BufReader::new(stderr).lines();
        let word = timeout(PATIENCE, log.next_line()).await.unwrap();
        assert!(word.unwrap().is_some());
        process.kill().await.unwrap();
    }

    /// SIGKILL: nothing of it runs any more when this returns.
    async fn is_killed(&mut self) {
        self.process.kill().await.unwrap();
    }
}

fn command(folder: &Path, node: &Keys) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mostro-relay"));
    command
        .current_dir(folder)
        .env("MOSTRO_RELAY__NODE__KEY", node.secret_key().to_secret_hex())
        .env("MOSTRO_RELAY__RELAY__LISTEN", "127.0.0.1:0")
        .env("MOSTRO_RELAY__RELAY__MAX_SUBSCRIPTIONS", "10000")
        .env("MOSTRO_RELAY__SANDBOX__LISTEN", "127.0.0.1:0")
        .env(
            "MOSTRO_RELAY__LIMITS__PENDING_ORDERS_PER_IDENTITY",
            "100000",
        )
        .env(
            "MOSTRO_RELAY__LIMITS__PENDING_ORDERS_WITHOUT_IDENTITY",
            "100000",
        )
        .kill_on_drop(true)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}
