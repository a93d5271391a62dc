//! Opening a node, room by room.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use escrow_core::wire::rates_event::RatesEvent;
use escrow_engine::clock::SystemClock;
use escrow_engine::desk::{Desk, Sealing};
use escrow_engine::entropy::Entropy;
use escrow_engine::intake::Intake;
use escrow_engine::mailbox::MailboxLimits;
use escrow_engine::preimages::Preimages;
use escrow_engine::{Escrow, EscrowHandle, Parts};
use escrow_lightning::LightningBackend;
use nostr::event::Kind;
use nostr::filter::{Filter, SingleLetterTag};
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use relay_policy::{Gate, Inbox, OrderHead, Reading};
use secrecy::{ExposeSecret, SecretBox};
use storage::events::{EventStore, EventStoreError};
use storage::ledger::{Ledger, StorageError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::crew::Crew;
use super::lightning::Lightning;
use super::port::Port;
use super::seams::{EscrowDesk, OwnRelay};
use super::{Node, NodeError, Part, assistant, lightning, readiness, terms};
use crate::admin;
use crate::announce::Announcer;
use crate::books;
use crate::front_door::{self, FrontDoor, Readiness};
use crate::health::{self, HealthParts};
use crate::identity::Identity;
use crate::mirror::{self, Calling, MirrorParts, Standing};
use crate::operator_door::OperatorDoor;
use crate::prices::{self, Prices};
use crate::relay::{Relay, RelayParts};
use crate::settings::Settings;
use crate::{audit, overview, payouts};

/// Files and folders in the data directory.
pub(crate) const LEDGER: &str = "ledger.redb";
const EVENTS: &str = "events";

/// How often expired events are removed.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);

/// A node that was stopped in this process a moment ago may still be closing
/// its files; nobody else can have them, since the data directory is locked.
const FILE_WAIT: Duration = Duration::from_millis(50);
const FILE_TRIES: u32 = 60;

pub(super) async fn node(
    mut settings: Settings,
    calling: Calling,
    ear: impl FnOnce(Arc<dyn LightningBackend>) -> Arc<dyn LightningBackend>,
) -> Result<Node, NodeError> {
    let data = settings.node.data_dir.clone();
    let identity = Identity::open(&data, settings.node.key.as_ref(), Path::new(LEDGER))?;
    let port = Port::take("relay.listen", settings.relay.listen)?;
    // Port 0 becomes the port that was got, for everything that names it.
    settings.relay.listen = port.address;
    let public_key = identity.keys.public_key();

    let store = Arc::new(open_events(&data, &settings).await?);
    let desk = EscrowDesk::default();
    let (relay, gate) = open_relay(&settings, &identity, &store, &desk);
    let (mut doors, mut rooms) = (Crew::default(), Crew::default());

    let admin = settings.rpc.enabled.then(|| settings.rpc.listen());
    let admin = admin.map(|address| Port::take("rpc.port", address));
    let admin = admin.transpose()?;
    let admin_address = admin.as_ref().map(|port| port.address);

    let mut sandbox = None;
    let mut escrow = None;
    let mut readiness = watch::channel(Readiness::Ready).1;
    if settings.escrow.enabled {
        let mut ledger = open_ledger(&data).await?;
        let mut opened = lightning::open(&settings, &mut ledger, &mut doors, &mut rooms).await?;
        opened.backend = ear(opened.backend);
        let prices = open_prices(&settings, &identity, &store, &mut rooms).await;
        let handle = open_escrow(EscrowSite {
            settings: &settings,
            identity: &identity,
            ledger,
            lightning: &opened,
            relay: &relay,
            desk: &desk,
            prices: prices.board(),
            rooms: &mut rooms,
        });
        let handle = handle.await?;
        if let Some(key) = settings.mostro.serbero_pubkey {
            assistant::register(&handle, public_key, key).await?;
        }
        let mirrors = Standing::default();
        readiness = readiness::watch(&handle, &mirrors, &mut doors);
        let site = MirrorSite {
            settings: &settings,
            identity: &identity,
            escrow: &handle,
            store: &store,
            doors: &mut doors,
        };
        mirror(site, &mirrors, calling);
        let (views, stop) = (handle.views(), doors.stop());
        doors.hire(Part::Audit, async move {
            audit::run(views, stop).await;
            Ok(())
        });
        let keys = identity.keys.clone();
        watch_health(&settings, keys, &handle, &mirrors, &mut doors);
        let asked = payouts::routes(handle.views())
            .merge(books::routes(handle.clone()))
            .merge(overview::routes(handle.clone()))
            .merge(audit::routes(handle.clone()))
            .merge(mirror::routes(mirrors, handle.views()))
            .merge(prices.routes());
        announce(
            &settings,
            public_key,
            &handle,
            &store,
            prices.rates(),
            &mut doors,
        );
        open_operator_door(&data, asked, &mut doors);
        if let Some(port) = admin {
            open_admin_door(port, &handle, &settings, &mut doors)?;
        }
        sandbox = opened.sandbox;
        escrow = Some(handle);
    }

    doors.hire(Part::Purge, housekeeping(store, gate, doors.stop()));
    let door = FrontDoor {
        relay,
        profile: terms::relay_profile(&settings, public_key),
        readiness,
    };
    let (listener, stop) = (port.open()?, doors.stop());
    doors.hire(Part::FrontDoor, async move {
        let served = front_door::run(listener, door, stop).await;
        served.map_err(NodeError::FrontDoor)
    });
    Ok(Node {
        url: settings.relay.url(),
        public_key,
        relay_address: settings.relay.listen,
        admin_address,
        sandbox,
        escrow,
        doors,
        rooms,
        _lock: identity.lock,
    })
}

async fn open_events(data: &Path, settings: &Settings) -> Result<EventStore, EventStoreError> {
    let path = data.join(EVENTS);
    let options = terms::store_options(&settings.relay);
    let mut tries = 0;
    loop {
        tries += 1;
        match EventStore::open(&path, options).await {
            Err(_) if tries < FILE_TRIES => sleep(FILE_WAIT).await,
            opened => return opened,
        }
    }
}

async fn open_ledger(data: &Path) -> Result<Ledger, StorageError> {
    let path = data.join(LEDGER);
    let mut tries = 0;
    loop {
        tries += 1;
        match Ledger::open(&path) {
            Err(StorageError::Locked { .. }) if tries < FILE_TRIES => sleep(FILE_WAIT).await,
            opened => return opened,
        }
    }
}

fn open_relay(
    settings: &Settings,
    identity: &Identity,
    store: &Arc<EventStore>,
    desk: &EscrowDesk,
) -> (Relay, Arc<Gate>) {
    let node = identity.keys.public_key();
    let limits = terms::relay_limits(&settings.relay);
    let inbox = settings.escrow.enabled.then(|| {
        let inbox: Arc<dyn Inbox> = Arc::new(desk.clone());
        inbox
    });
    let gate = Arc::new(Gate::new(
        node,
        terms::gate_terms(settings, &limits),
        Arc::new(desk.clone()),
        inbox,
    ));
    let relay = Relay::new(RelayParts {
        store: store.clone(),
        writing: gate.clone(),
        reading: Arc::new(Reading::new(node)),
        limits,
        urls: settings.relay.urls(),
        clock: terms::relay_clock(),
    });
    (relay, gate)
}

/// Where an escrow is opened.
struct EscrowSite<'a> {
    settings: &'a Settings,
    identity: &'a Identity,
    ledger: Ledger,
    lightning: &'a Lightning,
    relay: &'a Relay,
    desk: &'a EscrowDesk,
    prices: prices::Board,
    rooms: &'a mut Crew,
}

async fn open_escrow(site: EscrowSite<'_>) -> Result<EscrowHandle, NodeError> {
    let EscrowSite {
        settings, identity, ..
    } = site;
    let Lightning {
        backend,
        identity: lightning,
        ..
    } = site.lightning;
    let rules = terms::invoice_rules(&settings.lightning, lightning);
    let secret = SecretBox::new(Box::new(*identity.secret.expose_secret()));
    let keys = identity.keys.clone();
    let parts = Parts {
        ledger: site.ledger,
        desk: Desk {
            keys: keys.clone(),
            terms: terms::terms_of_trade(settings),
            stationery: terms::stationery(settings, &settings.relay.url(), lightning),
            preimages: Arc::new(Preimages::new(secret)),
            entropy: Entropy::from_os(),
            prices: Arc::new(site.prices),
            lightning_is_ready: false,
            sealing: Sealing::Full,
        },
        intake: Intake::new(keys, rules.clone()),
        backend: backend.clone(),
        addresses: Arc::new(site.lightning.addresses(rules)),
        publisher: Arc::new(OwnRelay(site.relay.clone())),
        clock: Arc::new(SystemClock),
        mailbox: MailboxLimits::default(),
        banned: settings.limits.banned.clone(),
        strangers_per_second: settings.relay.stranger_envelopes_per_second,
        mirrors: terms::mirrors(settings),
    };
    let escrow = Escrow::start(parts, site.rooms.stop()).await?;
    let handle = escrow.handle();
    site.desk.open(handle.clone());
    site.rooms
        .hire(Part::Escrow, async move { Ok(escrow.ended().await?) });
    Ok(handle)
}

/// Begins to ask for prices, and waits for the first ones if nobody else is asked.
async fn open_prices(
    settings: &Settings,
    identity: &Identity,
    store: &Arc<EventStore>,
    rooms: &mut Crew,
) -> Prices {
    let (prices, mut watcher) = prices::open(settings, &identity.keys, store);
    if watcher.is_self_sufficient() {
        watcher.round().await;
    }
    let stop = rooms.stop();
    rooms.hire(Part::Prices, async move {
        watcher.run(stop).await;
        Ok(())
    });
    prices
}

fn announce(
    settings: &Settings,
    node: PublicKey,
    escrow: &EscrowHandle,
    store: &Arc<EventStore>,
    rates: watch::Receiver<Option<RatesEvent>>,
    doors: &mut Crew,
) {
    let (settings, escrow, store) = (settings.clone(), escrow.clone(), store.clone());
    let announcer = Announcer::new(settings, node, escrow, store, rates);
    let stop = doors.stop();
    doors.hire(Part::Announcer, async move {
        announcer.run(stop).await;
        Ok(())
    });
}

/// Where mirrors are called from.
struct MirrorSite<'a> {
    settings: &'a Settings,
    identity: &'a Identity,
    escrow: &'a EscrowHandle,
    store: &'a Arc<EventStore>,
    doors: &'a mut Crew,
}

/// Calls the mirrors. They are a door: messages to the node come from them.
fn mirror(site: MirrorSite<'_>, standing: &Standing, calling: Calling) {
    let MirrorSite {
        settings, doors, ..
    } = site;
    if settings.mirror.relays.is_empty() {
        return;
    }
    let limits = terms::relay_limits(&settings.relay);
    let parts = MirrorParts {
        urls: settings.mirror.relays.clone(),
        inward: settings.mirror.inward,
        keys: site.identity.keys.clone(),
        escrow: site.escrow.clone(),
        store: site.store.clone(),
        terms: terms::gate_terms(settings, &limits),
        calling,
    };
    let (standing, stop) = (standing.clone(), doors.stop());
    doors.hire(Part::Mirrors, async move {
        mirror::run(parts, standing, stop).await;
        Ok(())
    });
}

/// A box whose operator cannot look in trades all the same.
fn open_operator_door(data: &Path, routes: Router, doors: &mut Crew) {
    let door = match OperatorDoor::open(data) {
        Ok(door) => door,
        Err(why) => {
            tracing::warn!(%why, "the operator's door cannot be opened");
            return;
        }
    };
    let stop = doors.stop();
    doors.hire(Part::OperatorDoor, async move {
        door.run(routes, stop.cancelled_owned()).await;
        Ok(())
    });
}

fn watch_health(
    settings: &Settings,
    keys: Keys,
    escrow: &EscrowHandle,
    mirrors: &Standing,
    doors: &mut Crew,
) {
    let parts = HealthParts {
        settings: settings.health.clone(),
        instance: settings.node.name.clone(),
        keys,
        escrow: escrow.clone(),
        mirrors: settings.mirror.relays.len(),
        standing: mirrors.clone(),
    };
    let stop = doors.stop();
    doors.hire(Part::Health, async move {
        health::run(parts, stop).await;
        Ok(())
    });
}

fn open_admin_door(
    port: Port,
    escrow: &EscrowHandle,
    settings: &Settings,
    doors: &mut Crew,
) -> Result<(), NodeError> {
    let token = settings.rpc.auth_token.clone();
    let (listener, escrow, stop) = (port.open()?, escrow.clone(), doors.stop());
    doors.hire(Part::AdminDoor, async move {
        let served = admin::run(listener, escrow, token, stop).await;
        served.map_err(NodeError::AdminDoor)
    });
    Ok(())
}

/// Keeps the store in order beside everything else. It begins with what a full store
/// makes long, so that the port need not wait for it: until then the database answers
/// what memory will, and foreign orders that are stored count towards no quota.
async fn housekeeping(
    store: Arc<EventStore>,
    gate: Arc<Gate>,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        remembered = remember(&store, &gate) => {
            if let Err(why) = remembered {
                tracing::warn!(%why, "the order book could not be read into memory");
            }
        }
    }
    purge(&store, stop).await;
    Ok(())
}

async fn remember(store: &EventStore, gate: &Gate) -> Result<(), EventStoreError> {
    store.fill_memory().await?;
    let orders = Filter::new().kind(Kind::from_u16(escrow_core::wire::order_event::ORDER));
    for order in store.query(vec![orders], Timestamp::now()).await? {
        let mut names = order.values(SingleLetterTag::LOWERCASE_D);
        gate.remember_order(OrderHead {
            author: order.author,
            name: names.next().unwrap_or_default(),
            expires_at: order.expires_at,
        });
    }
    Ok(())
}

async fn purge(store: &EventStore, stop: CancellationToken) {
    let mut hours = interval(PURGE_EVERY);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = hours.tick() => match store.purge_expired(Timestamp::now()).await {
                Ok(0) => {}
                Ok(purged) => tracing::info!(purged, "expired events were removed"),
                Err(why) => tracing::warn!(%why, "expired events could not be removed"),
            },
        }
    }
}
