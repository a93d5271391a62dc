//! A whole escrow on a disk that can lose its power, beside a sandbox, with
//! traders who speak the wire. Time is tokio's own, so a paused clock makes
//! every wait short and every run the same.

pub(crate) mod steps;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::order::{Order, OrderId};
use escrow_core::party::TradeKey;
use escrow_core::price::PriceAnswer;
use escrow_core::terms::Terms;
use escrow_core::wire::{
    self, Action, Message, OrderKind, Payload, Seed, SmallOrder, Transport, Wrapper, read_message,
};
use escrow_core::{Msat, Sats, UnixTime};
use escrow_engine::clock::Clock;
use escrow_engine::desk::{Desk, Sealing, Stationery};
use escrow_engine::entropy::Entropy;
use escrow_engine::intake::Intake;
use escrow_engine::mailbox::MailboxLimits;
use escrow_engine::preimages::Preimages;
use escrow_engine::prices::PriceBoard;
use escrow_engine::submission::Receipt;
use escrow_engine::{Escrow, EscrowError, EscrowHandle, Parts, PublishError, Publisher, Source};
use escrow_lightning::backend::{Network, PayRequest, StartPayment};
use escrow_lightning::sandbox::{CreateInvoice, Fund, MemoryJournal, Setup, WalletPays};
use escrow_lightning::{InvoiceRules, LightningBackend, Lnurl, Sandbox};
use nostr::event::Event;
use nostr::key::{Keys, PublicKey, SecretKey};
use nostr::types::Timestamp;
use secrecy::SecretBox;
use storage::ledger::{Ledger, View};
use storage::testing::PowerCutDisk;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// The sats of every order, and what each side gives for the trade.
pub(crate) const SATS: u64 = 10_000;
pub(crate) const FEE: u64 = 30;

/// Nothing here takes longer than this, by the paused clock.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// From which each sandbox begins.
const SEED: [u8; 32] = [3; 32];

/// All letters come over one connection.
pub(crate) const SOURCE: Source = Source {
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    connection: 0,
};

/// Unix seconds that run with tokio's clock, and can be set.
#[derive(Clone, Debug)]
pub(crate) struct HouseClock {
    began: Instant,
    set_by_secs: Arc<AtomicI64>,
}

impl HouseClock {
    fn new() -> HouseClock {
        HouseClock {
            began: Instant::now(),
            set_by_secs: Arc::default(),
        }
    }

    /// Somebody sets the clock of the machine.
    pub(crate) fn is_set_by(&self, secs: i64) {
        self.set_by_secs.fetch_add(secs, Ordering::SeqCst);
    }
}

impl Clock for HouseClock {
    fn now(&self) -> UnixTime {
        let set_by = self.set_by_secs.load(Ordering::SeqCst);
        let now = 1_750_000_000 + self.began.elapsed().as_secs();
        UnixTime(now.checked_add_signed(set_by).unwrap())
    }

    fn uptime(&self) -> Duration {
        self.began.elapsed()
    }
}

/// A market on which a bitcoin costs 50,000 EUR, and nothing else is known.
#[derive(Debug)]
struct Market;

impl PriceBoard for Market {
    fn price(&self, code: &str, _now: UnixTime) -> PriceAnswer {
        match code {
            "EUR" => PriceAnswer::Served(50_000.0),
            _ => PriceAnswer::Unknown,
        }
    }
}

/// A relay that keeps everything once, and outlives the node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    events: Arc<Mutex<Vec<Event>>>,
    arrived: Arc<Notify>,
    /// How long it takes to keep anything.
    pub(crate) takes: Duration,
}

#[async_trait]
impl Publisher for Recorder {
    async fn publish(&self, events: Vec<Event>) -> Result<(), PublishError> {
        if !self.takes.is_zero() {
            sleep(self.takes).await;
        }
        let mut kept = self.events.lock().unwrap();
        for event in events {
            if kept.iter().all(|other| other.id != event.id) {
                kept.push(event);
            }
        }
        drop(kept);
        self.arrived.notify_waiters();
        Ok(())
    }
}

/// Nothing listens there.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// The node and all that it stands on.
pub(crate) struct House {
    pub(crate) clock: HouseClock,
    pub(crate) disk: PowerCutDisk,
    journal: MemoryJournal,
    pub(crate) sandbox: Sandbox,
    pub(crate) recorder: Recorder,
    keys: Keys,
    /// The terms of the next start.
    pub(crate) terms: Terms,
    running: Option<Escrow>,
    handle: Option<EscrowHandle>,
    starts: u64,
    /// Where the server behind every address is from the next start on.
    pub(crate) address_server: SocketAddr,
    /// Keys that get no new trades from the next start on.
    pub(crate) banned: Vec<PublicKey>,
}

impl House {
    /// A house on an empty disk; its escrow is not started yet.
    pub(crate) async fn build() -> House {
        House::build_with(Setup::from_seed(SEED)).await
    }

    async fn build_with(world: Setup) -> House {
        let clock = HouseClock::new();
        let journal = MemoryJournal::default();
        let sandbox = sandbox(&journal, &world, clock.clone());
        for wallet in ["alice", "bob", "carol"] {
            let amount = Sats(1_000_000);
            let wallet = wallet.into();
            sandbox
                .apply(Fund { wallet, amount })
                .await
                .unwrap()
                .unwrap();
        }
        House {
            clock,
            disk: PowerCutDisk::new(),
            journal,
            sandbox,
            recorder: Recorder::default(),
            keys: key(99),
            terms: Terms {
                payment_attempts: 2,
                ..Terms::default()
            },
            running: None,
            handle: None,
            starts: 0,
            address_server: NOBODY,
            banned: Vec::new(),
        }
    }

    /// A house whose escrow runs.
    pub(crate) async fn open() -> House {
        let mut house = House::build().await;
        house.start().await.unwrap();
        house
    }

    /// A house whose escrow runs, and can send so much.
    pub(crate) async fn with_outbound(outbound: Sats) -> House {
        let world = Setup {
            outbound,
            ..Setup::from_seed(SEED)
        };
        let mut house = House::build_with(world).await;
        house.start().await.unwrap();
        house
    }

    /// Starts the escrow on the house's own sandbox.
    pub(crate) async fn start(&mut self) -> Result<(), String> {
        let backend = Arc::new(self.sandbox.clone());
        self.start_with(backend).await
    }

    /// Starts the escrow on another line to Lightning.
    pub(crate) async fn start_with(
        &mut self,
        backend: Arc<dyn LightningBackend>,
    ) -> Result<(), String> {
        self.starts += 1;
        let own_node_pubkey = self
            .sandbox
            .look(|world| world.node_key().to_string())
            .await
            .unwrap();
        let rules = InvoiceRules {
            network: Network::Regtest,
            max_final_cltv_expiry_delta: 144,
            own_node_pubkey,
        };
        let parts = Parts {
            ledger: Ledger::with_backend(self.disk.clone()).map_err(|why| why.to_string())?,
            desk: self.desk(),
            intake: Intake::new(self.keys.clone(), rules.clone()),
            backend,
            addresses: Arc::new(Lnurl::only_at(self.address_server, rules)),
            publisher: Arc::new(self.recorder.clone()),
            clock: Arc::new(self.clock.clone()),
            mailbox: MailboxLimits::default(),
            strangers_per_second: 1_000,
            banned: self.banned.clone(),
            mirrors: Vec::new(),
        };
        let escrow = Escrow::start(parts, CancellationToken::new())
            .await
            .map_err(|why| why.to_string())?;
        self.handle = Some(escrow.handle());
        self.running = Some(escrow);
        Ok(())
    }

    /// The power goes: what was not synced is lost, on both sides.
    pub(crate) fn lose_power(&mut self) {
        self.running = None;
        self.handle = None;
        self.disk = self.disk.after_power_cut();
        self.journal = MemoryJournal::from(self.journal.bytes());
        // The journal knows how the world began.
        let world = Setup::from_seed(SEED);
        self.sandbox = sandbox(&self.journal, &world, self.clock.clone());
    }

    /// Waits until the escrow has ended.
    pub(crate) async fn ends(&mut self) -> Result<(), EscrowError> {
        self.running.take().unwrap().ended().await
    }

    pub(crate) fn handle(&self) -> EscrowHandle {
        self.handle.clone().unwrap()
    }

    pub(crate) fn view(&self) -> View {
        self.handle().views().view().unwrap()
    }

    pub(crate) fn order(&self, id: OrderId) -> Order {
        self.view().order(id).unwrap().unwrap()
    }

    /// The status of an order in the newest revision of its public event.
    pub(crate) fn book_says(&self, id: OrderId) -> String {
        let events = self.recorder.events.lock().unwrap();
        let newest = events
            .iter()
            .filter(|event| event.kind.as_u16() == wire::order_event::ORDER)
            .filter(|event| value(event, "d") == id.0.to_string())
            .max_by_key(|event| event.created_at)
            .unwrap();
        value(newest, "s")
    }

    /// The public events of a kind.
    pub(crate) fn published(&self, kind: u16) -> Vec<Event> {
        let events = self.recorder.events.lock().unwrap();
        let of_kind = events.iter().filter(|event| event.kind.as_u16() == kind);
        of_kind.cloned().collect()
    }

    /// Waits until something is true of what was published.
    pub(crate) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let waiting = async {
            loop {
                let arrived = self.recorder.arrived.notified();
                if let Some(found) = look() {
                    return found;
                }
                arrived.await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("it never comes")
    }

    /// The operator pays an invoice past the escrow.
    pub(crate) async fn pays_by_hand(&self, bolt11: &str) {
        let request = PayRequest {
            bolt11: bolt11.into(),
            amount: Sats(SATS - FEE).to_msat().unwrap(),
            fee_limit: Msat(100_000),
            cltv_limit: 1_008,
            max_parts: 1,
            timeout: Duration::from_secs(60),
        };
        let started = self.sandbox.start_payment(&request).await.unwrap();
        assert_eq!(started, StartPayment::Started);
    }

    pub(crate) async fn balance(&self, wallet: &'static str) -> Msat {
        self.sandbox
            .look(move |world| world.balance(wallet))
            .await
            .unwrap()
    }

    fn desk(&self) -> Desk {
        Desk {
            keys: self.keys.clone(),
            terms: self.terms.clone(),
            stationery: Stationery {
                network: "regtest".into(),
                relays: vec!["wss://relay.example".into()],
                instance: None,
                closed_order_secs: 30 * 86_400,
                dispute_secs: 7_776_000,
                rating_secs: 7_776_000,
                dev_fee_secs: 365 * 86_400,
                letter_secs: 30 * 86_400,
            },
            preimages: Arc::new(Preimages::new(SecretBox::new(Box::new([5; 32])))),
            entropy: Entropy::seeded(self.starts),
            prices: Arc::new(Market),
            lightning_is_ready: true,
            sealing: Sealing::Full,
        }
    }
}

/// Somebody with a trade key and a wallet.
pub(crate) struct Trader {
    pub(crate) keys: Keys,
    identity: Option<Keys>,
    transport: Transport,
    pub(crate) wallet: &'static str,
    pub(crate) index: i64,
    requests: Mutex<u64>,
    /// Letters that were heard.
    heard: usize,
}

impl Trader {
    /// In reputation mode.
    pub(crate) fn new(number: u8, wallet: &'static str, transport: Transport) -> Trader {
        Trader {
            keys: key(number),
            identity: Some(key(number + 100)),
            transport,
            wallet,
            index: 1,
            requests: Mutex::new(0),
            heard: 0,
        }
    }

    /// The same person with another trade key.
    pub(crate) fn under_another_key(self, number: u8, index: i64) -> Trader {
        Trader {
            keys: key(number),
            index,
            requests: Mutex::new(1_000),
            ..self
        }
    }

    /// The same person, who writes from his identity itself.
    pub(crate) fn under_his_identity(self) -> Trader {
        Trader {
            keys: self.identity.unwrap(),
            identity: None,
            ..self
        }
    }

    pub(crate) fn trade_key(&self) -> TradeKey {
        TradeKey(self.keys.public_key())
    }

    /// Who he is in the journal, in hex.
    pub(crate) fn origin(&self) -> String {
        let keys = self.identity.as_ref().unwrap_or(&self.keys);
        keys.public_key().to_hex()
    }

    pub(crate) fn identity(&self) -> escrow_core::party::IdentityKey {
        escrow_core::party::IdentityKey(self.identity.as_ref().unwrap().public_key())
    }

    /// A request in its envelope, ready to be sent more than once.
    pub(crate) fn letter(
        &self,
        house: &House,
        action: Action,
        order: Option<OrderId>,
        payload: Option<Payload>,
    ) -> Event {
        let mut requests = self.requests.lock().unwrap();
        *requests += 1;
        let message = Message {
            wrapper: Wrapper::Order,
            version: self.transport.version(),
            request_id: Some(*requests),
            trade_index: Some(self.index),
            id: order.map(|order| order.0),
            action,
            payload,
        };
        let letter = wire::Letter {
            message_json: &message.to_json(),
            to: house.keys.public_key(),
            transport: self.transport,
            created_at: house.clock.now(),
            expiration: None,
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&requests.to_le_bytes());
        seed[8] = self.keys.public_key().to_bytes()[0];
        wire::client::wrap(&letter, &self.keys, self.identity.as_ref(), &Seed(seed)).unwrap()
    }

    /// As [`Trader::letter`], in the wrapper that clients use for sessions.
    pub(crate) async fn asks(
        &self,
        house: &House,
        action: Action,
        payload: Option<Payload>,
    ) -> Receipt {
        let event = self.letter(house, action, None, payload);
        house.handle().submit(SOURCE, event).await
    }

    pub(crate) async fn says(
        &self,
        house: &House,
        action: Action,
        order: Option<OrderId>,
        payload: Option<Payload>,
    ) -> Receipt {
        let event = self.letter(house, action, order, payload);
        house.handle().submit(SOURCE, event).await
    }

    /// Everything the node has said to this key, in the order a client shows it.
    pub(crate) fn mail(&self, house: &House) -> Vec<Message> {
        let events = house.recorder.events.lock().unwrap();
        let own = events.iter().filter(|event| self.is_letter_to_him(event));
        let node = house.keys.public_key();
        own.map(|event| {
            let json = wire::client::unwrap(event, &self.keys, node).unwrap();
            read_message(&json).unwrap()
        })
        .collect()
    }

    /// When the letters of [`Trader::mail`] were stamped.
    pub(crate) fn stamps(&self, house: &House) -> Vec<Timestamp> {
        let events = house.recorder.events.lock().unwrap();
        let own = events.iter().filter(|event| self.is_letter_to_him(event));
        own.map(|event| event.created_at).collect()
    }

    fn is_letter_to_him(&self, event: &Event) -> bool {
        let is_letter = matches!(event.kind.as_u16(), 14 | 1_059);
        is_letter && value(event, "p") == self.keys.public_key().to_hex()
    }

    /// The next letter, which must be of this kind.
    pub(crate) async fn hears(&mut self, house: &House, action: Action) -> Message {
        let heard = self.heard;
        let message = house.until(|| self.mail(house).get(heard).cloned()).await;
        assert_eq!(message.action, action, "{message:?}");
        self.heard += 1;
        message
    }

    /// Puts an order into the book and hears of it.
    pub(crate) async fn offers(&mut self, house: &House, kind: OrderKind) -> OrderId {
        let payload = Payload::Order(offer(kind));
        let receipt = self
            .says(house, Action::NewOrder, None, Some(payload))
            .await;
        assert_eq!(receipt, Receipt::Decided);
        let ack = self.hears(house, Action::NewOrder).await;
        OrderId(ack.id.unwrap())
    }

    /// An invoice of this trader's wallet for what a buyer gets.
    pub(crate) async fn invoice(&self, house: &House) -> Payload {
        let invoice = CreateInvoice {
            wallet: self.wallet.into(),
            amount: Sats(SATS - FEE).to_msat(),
            memo: "payout".into(),
            expiry_secs: 86_400,
            cltv_delta: 40,
        };
        let text = house.sandbox.apply(invoice).await.unwrap().unwrap();
        Payload::PaymentRequest(None, text, None)
    }

    /// Pays the hold invoice that a letter asks for.
    pub(crate) async fn pays(&self, house: &House, message: &Message) {
        let Some(Payload::PaymentRequest(_, bolt11, _)) = &message.payload else {
            panic!("{message:?} asks for no payment");
        };
        self.pays_invoice(house, bolt11).await;
    }

    pub(crate) async fn pays_invoice(&self, house: &House, bolt11: &str) {
        let payment = WalletPays::exactly(self.wallet, bolt11);
        house.sandbox.apply(payment).await.unwrap().unwrap();
    }
}

pub(crate) fn offer(kind: OrderKind) -> SmallOrder {
    SmallOrder {
        kind: Some(kind),
        amount: i64::try_from(SATS).unwrap(),
        fiat_code: "EUR".into(),
        fiat_amount: 10,
        payment_method: "cash".into(),
        ..SmallOrder::default()
    }
}

fn sandbox(journal: &MemoryJournal, world: &Setup, clock: HouseClock) -> Sandbox {
    let clock = Arc::new(move || clock.now());
    Sandbox::with_journal(Box::new(journal.clone()), world, clock).unwrap()
}

fn value(event: &Event, name: &str) -> String {
    let tag = event.tags.iter().find(|tag| tag.as_slice()[0] == name);
    tag.unwrap().as_slice()[1].clone()
}

fn key(number: u8) -> Keys {
    Keys::new(SecretKey::from_slice(&[number; 32]).unwrap())
}
