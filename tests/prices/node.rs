//! Whole nodes: what they publish, what they tell their operators, and what
//! one learns from another.

use std::process::Command;
use std::time::Duration;

use escrow_core::wire::rates_event::{RATES, RATES_NAME, read_rates};
use futures_util::{SinkExt, StreamExt};
use mostro_relay::node::Node;
use mostro_relay::operator_door;
use mostro_relay::prices::{self, PriceStatus, PricesStatus, SourceId, SourceState};
use mostro_relay::settings::Settings;
use nostr::event::Event;
use nostr::message::RelayMessage;
use nostr::types::RelayUrl;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::shop::{GOOD, Manner, Shop};

/// Prices of a node are there within this time, whatever else the machine does.
const PATIENCE: Duration = Duration::from_secs(60);

struct Place {
    settings: Settings,
    node: Option<Node>,
    _folder: TempDir,
}

impl Place {
    async fn opens(differ: impl FnOnce(&mut Settings)) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.node.data_dir = folder.path().to_owned();
        settings.relay.listen.set_port(0);
        settings.relay.max_store_gib = 1;
        settings.sandbox.listen.set_port(0);
        differ(&mut settings);
        let node = Some(Node::start(settings.clone()).await.unwrap());
        Place {
            settings,
            node,
            _folder: folder,
        }
    }

    /// With yadio alone, at a shop.
    async fn with_yadio(shop: &Shop) -> Place {
        Place::opens(|settings| {
            let providers = &mut settings.price.providers;
            providers.fixed.enabled = false;
            providers.yadio.enabled = true;
            providers.yadio.url = Some(shop.url.clone());
        })
        .await
    }

    async fn closes(&mut self) {
        self.node.take().unwrap().stop().await.unwrap();
    }

    async fn reopens(&mut self) {
        self.node = Some(Node::start(self.settings.clone()).await.unwrap());
    }

    /// What the node tells its operator once it has asked its sources.
    async fn status(&self) -> PricesStatus {
        let data_dir = &self.settings.node.data_dir;
        let asking = async {
            loop {
                let status = operator_door::ask::<PricesStatus>(data_dir, prices::PATH).await;
                let status = status.unwrap().expect("the node runs");
                if status.asked_at.is_some() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap()
    }

    /// The first prices that the node publishes.
    async fn rates(&self) -> Event {
        let address = self.node.as_ref().unwrap().relay_address();
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(format!("ws://{address}"), stream)
            .await
            .unwrap();
        let question = json!(["REQ", "rates", { "kinds": [RATES], "#d": [RATES_NAME] }]);
        socket
            .send(Message::text(question.to_string()))
            .await
            .unwrap();
        let hearing = async {
            loop {
                let Message::Text(text) = socket.next().await.unwrap().unwrap() else {
                    continue;
                };
                if let RelayMessage::Event { event, .. } =
                    RelayMessage::from_json(text.as_str()).unwrap()
                {
                    return event.into_owned();
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.unwrap()
    }

    /// What `mostro-relay prices` prints about the node's folder.
    async fn printed(&self, more: &[&str]) -> String {
        let folder = self.settings.node.data_dir.clone();
        let more: Vec<_> = more.iter().map(|word| (*word).to_owned()).collect();
        let printing = tokio::task::spawn_blocking(move || {
            Command::new(env!("CARGO_BIN_EXE_mostro-relay"))
                .args(["prices", "--data-dir"])
                .arg(&folder)
                .args(more)
                .current_dir(&folder)
                .output()
                .unwrap()
        });
        let printed = printing.await.unwrap();
        assert!(printed.status.success(), "{printed:?}");
        String::from_utf8(printed.stdout).unwrap()
    }
}

fn price<'a>(status: &'a PricesStatus, code: &str) -> &'a PriceStatus {
    let mut prices = status.prices.iter();
    prices
        .find(|price| price.code == code)
        .unwrap_or_else(|| panic!("no {code}: {status:?}"))
}

#[tokio::test]
async fn q9_q11_a_box_with_simulated_money_has_prices_and_publishes_them() {
    let mut place = Place::opens(|_| ()).await;
    let status = place.status().await;
    assert_eq!(status.sources[0].source, SourceId::Fixed);
    assert!(price(&status, "USD").is_served);

    let rates = place.rates().await;
    let node = place.node.as_ref().unwrap();
    assert_eq!(rates.pubkey, node.public_key());
    rates.verify().unwrap();
    let tags: Vec<_> = rates
        .tags
        .iter()
        .map(|tag| tag.as_slice().join(" "))
        .collect();
    let [name, published, source, expiration] = &tags[..] else {
        panic!("four tags: {tags:?}");
    };
    assert_eq!(
        (name.as_str(), source.as_str()),
        ("d mostro-rates", "source fixed")
    );
    let secs = |tag: &str| -> u64 { tag.rsplit(' ').next().unwrap().parse().unwrap() };
    assert_eq!(secs(expiration), secs(published) + 600);
    let prices = read_rates(&rates.content).unwrap();
    assert!(prices.contains(&("USD".to_owned(), 50_000.0)), "{prices:?}");
    place.closes().await;
}

#[tokio::test]
async fn q6_a_node_that_restarts_without_a_network_has_its_prices_still() {
    let shop = Shop::says(GOOD).await;
    let mut place = Place::with_yadio(&shop).await;
    let before = place.status().await;
    assert!(price(&before, "USD").is_served);
    let words = place.printed(&[]).await;
    assert!(
        words.contains("source       yadio\n  state      well\n"),
        "{words}"
    );
    place.closes().await;

    let stopped: PricesStatus = serde_json::from_str(&place.printed(&["--json"]).await).unwrap();
    assert!(
        !stopped.is_running && stopped.sources.is_empty(),
        "{stopped:?}"
    );
    assert_eq!(
        price(&stopped, "USD").observed_at,
        price(&before, "USD").observed_at
    );
    let words = place.printed(&[]).await;
    assert!(words.starts_with("the box is stopped"), "{words}");

    shop.turns(Manner::Status(500));
    place.reopens().await;
    let after = place.status().await;
    assert!(
        matches!(after.sources[0].state, SourceState::Failing { .. }),
        "{after:?}"
    );
    let dollar = price(&after, "USD");
    assert_eq!(dollar.observed_at, price(&before, "USD").observed_at);
    assert!(dollar.is_served);
    place.closes().await;
}

#[tokio::test]
async fn q6_a_damaged_file_of_prices_stops_nobody() {
    let shop = Shop::says(GOOD).await;
    let mut place = Place::with_yadio(&shop).await;
    place.status().await;
    place.closes().await;
    let file = place.settings.node.data_dir.join("prices.json");
    std::fs::write(&file, b"\0\0\0\0").unwrap();
    place.reopens().await;
    assert!(price(&place.status().await, "EUR").is_served);
    place.closes().await;
}

#[tokio::test]
async fn q4_a_node_learns_from_one_it_trusts_and_does_not_say_it_after_it() {
    let mut teacher = Place::opens(|_| ()).await;
    let said = teacher.rates().await;
    let shop = Shop::says(r#"{"BTC":{"EUR":44000.0}}"#).await;
    let mut pupil = Place::opens(|settings| {
        let providers = &mut settings.price.providers;
        providers.fixed.enabled = false;
        providers.yadio.enabled = true;
        providers.yadio.url = Some(shop.url.clone());
        providers.nostr.enabled = true;
        providers.nostr.trusted_nodes = vec![said.pubkey];
        let url = teacher.node.as_ref().unwrap().url();
        providers.nostr.relays = vec![RelayUrl::parse(url).unwrap()];
    })
    .await;
    let status = pupil.status().await;
    let (dollar, euro) = (price(&status, "USD"), price(&status, "EUR"));
    assert!(dollar.is_relayed && dollar.is_served, "{status:?}");
    assert_eq!(dollar.observed_at.0, said.created_at.as_secs());
    assert_eq!(
        (euro.is_relayed, euro.units.to_string().as_str()),
        (false, "44000")
    );
    let own = read_rates(&pupil.rates().await.content).unwrap();
    assert_eq!(own, [("EUR".to_owned(), 44_000.0)]);
    pupil.closes().await;
    teacher.closes().await;
}
