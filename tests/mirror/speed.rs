//! How fast a mirror is served.

use std::time::Instant;

use crate::bridge::Bridge;
use crate::place::{Place, foreign_relay};

const ORDERS: u32 = 10_000;

async fn says_many(place: &Place, revision: u32) {
    const AT_ONCE: u32 = 64;
    for first in (0..ORDERS).step_by(64) {
        let names: Vec<_> = (first..(first + AT_ONCE).min(ORDERS))
            .map(|name| name.to_string())
            .collect();
        let saying = names.iter().map(|name| place.says(name, revision));
        futures_util::future::join_all(saying).await;
    }
}

/// `cargo test --release --test mirror speed -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of ten thousand changed orders"]
async fn an_outage_with_ten_thousand_changed_orders() {
    let (_relay, relay) = foreign_relay().await;
    let bridge = Bridge::to(relay).await;
    let place = Place::with_mirrors(&[bridge.url()]).await;
    let began = Instant::now();
    says_many(&place, 1).await;
    place.all_is_acknowledged().await;
    let live = began.elapsed();
    bridge.falls();
    let began = Instant::now();
    says_many(&place, 2).await;
    says_many(&place, 3).await;
    let away = began.elapsed();
    bridge.stands_again();
    let began = Instant::now();
    place.all_is_acknowledged().await;
    let recovered = began.elapsed();
    eprintln!("{ORDERS} orders published and mirrored in {live:?}");
    eprintln!("changed twice without the mirror in {away:?}");
    eprintln!(
        "recovered in {recovered:?}: {:.0} events/s",
        f64::from(ORDERS) / recovered.as_secs_f64()
    );
    assert!(recovered.as_secs() <= 30);
}
