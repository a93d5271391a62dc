//! The measurement of a mirror, on a small scale.

use std::path::PathBuf;

use mostro_relay::bench::mirror::measure;
use mostro_relay::bench::{Finding, Listener};

struct Nobody;

impl Listener for Nobody {
    fn begins(&mut self, _: &str) {}
    fn hears(&mut self, _: &Finding) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_measured_with_a_mirror_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_mostro-relay"));
    let measured = measure(folder.path(), program, 100, &mut Nobody).await;
    let times = measured.unwrap();
    assert_eq!(times.orders, 100);
    assert!(times.healthy_per_second() > 1.0);
    let told = Finding::Mirror(times);
    assert_eq!(told.to_json()["orders"], 100);
    assert!(told.to_text().contains("100 new orders"));
}
