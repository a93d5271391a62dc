//! A ledger whose disk fails: the same rooms as in a node, over a disk of the
//! test's own.

use std::net::SocketAddr;
use std::sync::Arc;

use escrow_core::time::UnixTime;
use escrow_core::wire::{Action, OrderKind, Transport};
use escrow_lightning::Sandbox;
use escrow_lightning::sandbox::Setup;
use mostro_relay::trader::{Persona, Trader, Wallet};
use storage::ledger::Ledger;
use storage::testing::{PowerCutDisk, Trouble};

use crate::envelopes::{now, signed_at};
use crate::person::Person;
use crate::rooms::{Ground, Rooms};
use crate::town::PURSE;

/// Story "commit fails": nothing is promised, nothing is half done, and the
/// same message is decided once the disk is well (rule G15, up-S15).
#[tokio::test]
async fn g15_up_s15_a_failed_commit_is_told_and_the_resend_is_clean() {
    for trouble in [Trouble::Refuses, Trouble::SyncsAndComplains] {
        let workshop = Workshop::open().await;
        let mut alice = workshop.person("alice").await;
        let kept = alice.offers(OrderKind::Sell, 10_000).await;
        let cancel = alice.message(Action::Cancel, None);
        let node = workshop.ground.keys.public_key();
        let cancel = signed_at(&alice, &cancel, Transport::Direct, node, now());

        workshop.disk.set_trouble(trouble);
        let verdict = alice.publishes(&cancel).await;
        assert!(!verdict.taken);
        assert!(verdict.text.starts_with("error: "), "{}", verdict.text);
        workshop.disk.set_trouble(Trouble::None);
        workshop.rooms.is_ready().await;

        let again = alice.publishes(&cancel).await;
        assert!(again.taken, "{}", again.text);
        // Had the failed commit reached the disk, it would count.
        assert!(again.text.is_empty() || again.text.starts_with("duplicate:"));
        alice.hears_an_answer("canceled E").await;
        alice.hears_no_more().await;
        let view = workshop.rooms.escrow.views().view().unwrap();
        let order = view.order(escrow_core::order::OrderId(kept)).unwrap();
        assert!(order.unwrap().stage.is_terminal());
    }
}

/// A relay with an escrow over a disk that fails on demand.
struct Workshop {
    disk: PowerCutDisk,
    sandbox: Sandbox,
    ground: Ground,
    rooms: Rooms,
}

impl Workshop {
    async fn open() -> Workshop {
        let disk = PowerCutDisk::new();
        let clock = Arc::new(|| UnixTime(now()));
        let sandbox = Sandbox::in_memory(&Setup::from_seed([1; 32]), clock);
        let ledger = Ledger::with_backend(disk.clone()).unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let ground = Ground::new().await;
        let backend = Arc::new(sandbox.clone());
        Workshop {
            disk,
            rooms: Rooms::open(&ground, ledger, backend, nobody).await,
            ground,
            sandbox,
        }
    }

    async fn person(&self, name: &str) -> Person {
        let persona = Persona {
            full_privacy: true,
            ..Persona::new(name, [1; 32], Transport::Direct)
        };
        let node = self.ground.keys.public_key();
        let trader = Trader::join(persona, &self.rooms.url, node).await.unwrap();
        let wallet = Wallet::funded(&self.sandbox, name, PURSE).await.unwrap();
        Person::new(trader, wallet).await
    }
}
