//! What the node says about itself: its terms (kind 38385), its profile (kind
//! 0), its relays (kind 10002) and its prices (kind 30078).
//!
//! Clients trade only while the terms are fresh, so those are said again and
//! again; the profile and the relays when they are not as they were said last,
//! and once a day; prices whenever they were looked up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::maintenance::Maintenance;
use escrow_core::wire::info_event::{
    INFO, InfoEvent, LightningInfo, PROFILE, Profile, RELAY_LIST, relay_list_tags,
};
use escrow_core::wire::rates_event::{RATES, RATES_NAME, RatesEvent};
use escrow_engine::submission::{Announcement, Receipt};
use escrow_engine::{EscrowHandle, LightningHealth};
use escrow_lightning::backend::NodeInfo;
use nostr::event::{Event, Kind, Tag};
use nostr::filter::Filter;
use nostr::key::PublicKey;
use nostr::types::{RelayUrl, Timestamp};
use storage::events::EventStore;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::settings::{SIMULATED, Settings};

/// Age in seconds at which an unchanged profile or relay list is published again.
const STALE_SECS: u64 = 24 * 3_600;

/// The chain below every Lightning node we know.
const CHAIN: &str = "bitcoin";

/// Publishes the events about the node.
pub struct Announcer {
    settings: Settings,
    node: PublicKey,
    escrow: EscrowHandle,
    store: Arc<EventStore>,
    /// The prices to be published.
    rates: watch::Receiver<Option<RatesEvent>>,
    /// Why no new trades are taken.
    maintenance: watch::Receiver<Option<Maintenance>>,
    /// As Lightning introduced itself last; it may be out of reach by now.
    lightning: Option<NodeInfo>,
}

impl Announcer {
    /// Announces `node` by way of its escrow, which stamps and signs; the
    /// store tells what was said before, and `rates` what a bitcoin costs.
    #[must_use]
    pub fn new(
        settings: Settings,
        node: PublicKey,
        escrow: EscrowHandle,
        store: Arc<EventStore>,
        rates: watch::Receiver<Option<RatesEvent>>,
    ) -> Self {
        Self {
            settings,
            node,
            maintenance: escrow.maintenance(),
            escrow,
            store,
            rates,
            lightning: None,
        }
    }

    /// Announces until `stop` is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let health = self.escrow.lightning();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.announce_forever(health) => {}
        }
    }

    async fn announce_forever(&mut self, mut health: watch::Receiver<LightningHealth>) {
        let mut terms = every(self.settings.mostro.publish_mostro_info_interval);
        let mut person = every(self.settings.mostro.publish_relays_interval);
        loop {
            tokio::select! {
                _ = terms.tick() => {
                    self.meet(&health.borrow_and_update());
                    self.say_terms().await;
                }
                _ = person.tick() => self.say_who_it_is().await,
                () = changed(&mut self.maintenance) => self.say_terms().await,
                () = changed(&mut self.rates) => {
                    let rates = self.rates.borrow_and_update().clone();
                    self.say_rates(rates).await;
                }
                changed = health.changed() => {
                    if changed.is_err() {
                        // The escrow has ended, and with it the voice.
                        return std::future::pending().await;
                    }
                    if self.meet(&health.borrow_and_update()) {
                        self.say_terms().await;
                    }
                }
            }
        }
    }

    /// Looks who Lightning is; true if it is not who it was.
    fn meet(&mut self, health: &LightningHealth) -> bool {
        match health {
            LightningHealth::Reachable(info) => {
                let changed = !self.lightning.as_ref().is_some_and(|known| {
                    (&known.pubkey, &known.alias, &known.version, known.network)
                        == (&info.pubkey, &info.alias, &info.version, info.network)
                });
                self.lightning = Some(info.clone());
                changed
            }
            LightningHealth::Unknown | LightningHealth::Unreachable(_) => false,
        }
    }

    async fn say_who_it_is(&self) {
        let settings = &self.settings;
        let about = about(settings);
        let profile = profile(settings, about.as_deref());
        let silent = profile == Profile::default();
        self.say_if_new(PROFILE, Vec::new(), profile.content(), silent)
            .await;
        let relays = relay_list(settings);
        let silent = relays.is_empty();
        self.say_if_new(RELAY_LIST, relays, String::new(), silent)
            .await;
    }

    /// Nothing is said while nothing true can be said about Lightning; what
    /// was said before stays.
    async fn say_terms(&self) {
        if let Some(lightning) = &self.lightning {
            let rests = self.maintenance.borrow().is_some();
            let tags = terms(&self.settings, self.node, lightning, rests);
            self.say(INFO, self.node.to_hex(), tags, String::new())
                .await;
        }
    }

    async fn say_rates(&self, rates: Option<RatesEvent>) {
        if let Some(rates) = rates {
            let (tags, content) = (rates.tags(), rates.content());
            self.say(RATES, RATES_NAME.to_owned(), tags, content).await;
        }
    }

    /// Says it unless the same was said within a day. What is `silent`, having
    /// nothing to tell, is said only to take back what was told before.
    async fn say_if_new(&self, kind: u16, tags: Vec<Tag>, content: String, silent: bool) {
        let now = Timestamp::now();
        let said = match self.said(kind, now).await {
            Ok(said) => said,
            Err(why) => {
                tracing::warn!(%why, kind, "what was announced before cannot be read");
                return;
            }
        };
        let again = match said {
            Some(said) if said.content != content || said.tags.as_slice() != tags => true,
            Some(said) => !silent && said.created_at.as_secs() + STALE_SECS <= now.as_secs(),
            None => !silent,
        };
        if again {
            self.say(kind, String::new(), tags, content).await;
        }
    }

    async fn said(
        &self,
        kind: u16,
        now: Timestamp,
    ) -> Result<Option<Event>, storage::events::EventStoreError> {
        let filter = Filter::new()
            .kind(Kind::from_u16(kind))
            .author(self.node)
            .limit(1);
        let found = self.store.query(vec![filter], now).await?;
        Ok(found.first().map(|kept| kept.event()))
    }

    async fn say(&self, kind: u16, identifier: String, tags: Vec<Tag>, content: String) {
        let announcement = Announcement {
            kind: Kind::from_u16(kind),
            identifier,
            tags,
            content,
        };
        // Without an answer the escrow is stopping.
        if let Some(Receipt::Refused(why)) = self.escrow.announce(announcement).await {
            tracing::warn!(?why, kind, "an announcement was refused; it is tried again");
        }
    }
}

fn every(time: Duration) -> Interval {
    let mut rounds = interval(time);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds
}

/// Waits for something new; where nobody finds any, for ever.
async fn changed<T>(news: &mut watch::Receiver<T>) {
    if news.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn terms(
    settings: &Settings,
    node: PublicKey,
    lightning: &NodeInfo,
    maintenance: bool,
) -> Vec<Tag> {
    let Settings {
        mostro,
        lightning: rules,
        ..
    } = settings;
    InfoEvent {
        node,
        commit_hash: "",
        max_order_sats: mostro.max_order_amount.0,
        min_order_sats: mostro.min_payment_amount.0,
        expiration_hours: mostro.expiration_hours.into(),
        expiration_seconds: mostro.expiration_seconds.as_secs(),
        fiat_currencies: &mostro.fiat_currencies_accepted,
        max_orders_per_response: u64::try_from(mostro.max_orders_per_response).unwrap_or(u64::MAX),
        fee: &mostro.fee.to_string(),
        pow: mostro.pow,
        pow_first_contact: mostro.pow_first_contact,
        hold_invoice_cltv_delta: rules.hold_invoice_cltv_delta,
        escrow_deadline_margin_blocks: rules.escrow_deadline_margin_blocks,
        lightning: LightningInfo {
            version: &lightning.version,
            node_pubkey: &lightning.pubkey,
            commit_hash: "",
            alias: &lightning.alias,
            chains: &[CHAIN.to_owned()],
            networks: &[lightning.network.to_string()],
            uris: &[],
        },
        invoice_expiration_window: rules.invoice_expiration_window.as_secs(),
        hold_invoice_expiration_window: rules.hold_invoice_expiration_window.as_secs(),
        maintenance,
        serbero: mostro.serbero_pubkey,
        instance: settings.node.name.as_deref(),
        software_version: env!("CARGO_PKG_VERSION"),
    }
    .tags()
}

fn profile<'a>(settings: &'a Settings, about: Option<&'a str>) -> Profile<'a> {
    let node = &settings.node;
    Profile {
        name: node.name.as_deref(),
        about,
        picture: node.picture.as_deref(),
        website: node.website.as_deref(),
    }
}

/// Nobody shall take simulated money for money (rule Z4); a node without a profile
/// has nothing to say it in.
fn about(settings: &Settings) -> Option<String> {
    let node = &settings.node;
    let about = node.about.clone();
    if !settings.money_is_simulated() || profile(settings, about.as_deref()) == Profile::default() {
        return about;
    }
    Some(match about {
        Some(about) => format!("{about} ({SIMULATED})"),
        None => SIMULATED.to_owned(),
    })
}

/// Clients adopt this list, so what only this machine can reach is left out, and
/// so are mirrors from which no message is taken.
fn relay_list(settings: &Settings) -> Vec<Tag> {
    let public_url = settings.relay.public_url.as_ref();
    let own = public_url.filter(|url| !is_of_this_machine(url));
    let mirrors = settings.mirror.relays_of_traders();
    let urls: Vec<_> = own.into_iter().chain(mirrors).collect();
    relay_list_tags(
        &urls
            .into_iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
    )
}

/// Whether an address leads nowhere but to the machine that reads it.
pub(crate) fn is_of_this_machine(url: &RelayUrl) -> bool {
    let host = url.host().map(|host| host.to_string()).unwrap_or_default();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    match address.map(|address| address.to_canonical()) {
        Some(address) => address.is_loopback() || address.is_unspecified(),
        None => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_for_others_is_listed() {
        let table = [
            ("wss://relay.example.org", true),
            ("ws://192.0.2.7:7000", true),
            ("ws://127.0.0.1:7000", false),
            ("ws://127.8.0.1", false),
            ("ws://[::1]:7000", false),
            ("ws://[::ffff:127.0.0.1]:7000", false),
            ("ws://0.0.0.0:7000", false),
            ("ws://[::]:7000", false),
            ("ws://localhost:7000", false),
            ("ws://relay.localhost", false),
        ];
        for (url, listed) in table {
            let mut settings = Settings::default();
            settings.relay.public_url = Some(RelayUrl::parse(url).unwrap());
            assert_eq!(!relay_list(&settings).is_empty(), listed, "{url}");
        }
        assert_eq!(relay_list(&Settings::default()), []);
    }

    #[test]
    fn the_public_address_is_listed_first_and_then_mirrors_that_are_read() {
        let url = |text| RelayUrl::parse(text).unwrap();
        let mut settings = Settings::default();
        settings.relay.public_url = Some(url("wss://own.example"));
        settings.mirror.relays = vec![url("wss://b.example"), url("wss://a.example")];
        let listed = |settings: &Settings| {
            let tags = relay_list(settings);
            let values = tags.iter().map(|tag| tag.as_slice()[1].clone());
            values.collect::<Vec<_>>().join(" ")
        };
        let all = "wss://own.example wss://b.example wss://a.example";
        assert_eq!(listed(&settings), all);
        settings.mirror.inward = false;
        assert_eq!(listed(&settings), "wss://own.example");
    }
}
