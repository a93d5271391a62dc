//! A trade between a trader on our relay and one who only knows another.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use escrow_core::amount::Sats;
use escrow_core::wire::{Action, Transport};
use mostro_relay::trader::deal::{self, Player, Scene, Terms, Witness};
use mostro_relay::trader::{Persona, Trader, Wallet};
use nostr::key::PublicKey;
use serde_json::json;

use crate::bridge::Bridge;
use crate::place::{Place, foreign_relay};
use crate::reader::Reader;

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn player(place: &Place, name: &str, transport: Transport, relay: SocketAddr) -> Player {
    let seed = [u8::try_from(name.len()).unwrap(); 32];
    let persona = Persona {
        patience: PATIENCE,
        ..Persona::new(name, seed, transport)
    };
    let url = format!("ws://{relay}");
    let node = place.keys.public_key();
    let sandbox = place.node().sandbox().unwrap();
    let mut trader = Trader::join(persona, &url, node).await.unwrap();
    trader.watch_book().await.unwrap();
    Player {
        trader,
        wallet: Wallet::funded(sandbox, name, Sats(100_000)).await.unwrap(),
    }
}

/// Lets the bridge fall when it sees something, and lays it when it sees another.
struct Saboteur<'a> {
    bridge: &'a Bridge,
    told: Vec<String>,
}

impl Witness for Saboteur<'_> {
    fn sees(&mut self, scene: Scene<'_>) {
        let told = match scene {
            Scene::Asked { who, action, .. } => format!("{who} asked {}", action.as_str()),
            Scene::Heard { who, heard } => format!("{who} heard {}", heard.message.action.as_str()),
            Scene::Paid { who, .. } => format!("{who} paid"),
            Scene::Book { .. } => return,
        };
        match told.as_str() {
            "alice heard buyer-took-order" => self.bridge.stands_again(),
            "alice heard pay-invoice" | "robert heard hold-invoice-payment-accepted" => {
                self.bridge.falls();
            }
            _ => {}
        }
        self.told.push(told);
    }
}

/// Lays the bridge again as soon as a message to the node is on the relay
/// that the node cannot reach.
async fn lays_the_bridge(place: &Place, relay: SocketAddr, bridge: &Bridge, messages: usize) {
    let to_node = json!({ "#p": [place.keys.public_key()], "kinds": [14, 1059] });
    let mut reader = Reader::of(relay, &to_node).await;
    for _ in 0..messages {
        reader.event().await;
    }
    bridge.stands_again();
}

/// To whom the letters on a relay are, those to the node left out.
async fn readers_of_letters(place: &Place, relay: SocketAddr) -> BTreeSet<PublicKey> {
    let letters = json!({ "kinds": [14, 1059] });
    let stored = Reader::stored(relay, &letters).await;
    let readers = stored.iter().flat_map(|event| event.tags.public_keys());
    readers
        .filter(|key| *key != place.keys.public_key())
        .collect()
}

#[tokio::test]
async fn g16_a_trade_with_one_who_only_knows_a_mirror_survives_its_outages() {
    for transport in [Transport::Direct, Transport::GiftWrap] {
        let (_relay, relay) = foreign_relay().await;
        let bridge = Bridge::to(relay).await;
        let place = Place::with_mirrors(&[bridge.url()]).await;
        let mut alice = player(&place, "alice", Transport::Direct, place.relay()).await;
        let mut robert = player(&place, "robert", transport, relay).await;
        let mut saboteur = Saboteur {
            bridge: &bridge,
            told: Vec::new(),
        };
        let terms = Terms {
            sats: Sats(10_000),
            fee: Sats(30),
            by_the_book: true,
        };
        // Take-sell, add-invoice and fiat-sent: the third is sent into the dark.
        let (sold, ()) = tokio::join!(
            deal::sell(&mut alice, &mut robert, &terms, &mut saboteur),
            lays_the_bridge(&place, relay, &bridge, 3)
        );
        sold.unwrap_or_else(|why| panic!("{why}: {:?}", saboteur.told));
        let told = saboteur.told.join("\n");
        for (who, what) in [
            ("robert asked", Action::FiatSent),
            ("robert heard", Action::PurchaseCompleted),
            ("robert asked", Action::RateUser),
        ] {
            let line = format!("{who} {}", what.as_str());
            assert_eq!(told.matches(&line).count(), 1, "{line} in\n{told}");
        }
        let balance = robert.wallet.balance().await.unwrap();
        assert_eq!(balance.0, 109_970_000);
        place.all_is_acknowledged().await;
        assert_eq!(
            readers_of_letters(&place, relay).await.len(),
            1,
            "robert alone"
        );
    }
}
