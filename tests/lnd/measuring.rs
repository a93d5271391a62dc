//! The measurement over real nodes measures what it says.

use mostro_relay::bench::lnd::measure;
use mostro_relay::bench::trades::Crowd;
use mostro_relay::bench::{Finding, Listener};

use crate::town::network;

struct Nobody;

impl Listener for Nobody {
    fn begins(&mut self, _: &str) {}
    fn hears(&mut self, _: &Finding) {}
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs real nodes: run .ci/lnd"]
async fn each_trade_of_a_pair_alone_has_all_its_moments() {
    let network = network().await;
    let folder = tempfile::tempdir().unwrap();
    let crowds = [1, 2].map(|pairs| Crowd {
        pairs,
        trades_each: 2,
    });
    let all = measure(folder.path(), &network, crowds, &mut Nobody).await;
    let all = all.unwrap();
    assert_eq!([all[0].trades, all[1].trades], [2, 4]);
    assert!(all[1].alone.is_none());
    let alone = all[0].alone.as_ref().unwrap();
    for times in [
        &alone.released_to_settle,
        &alone.released_to_payment,
        &alone.accepted_to_message,
        &alone.paid_to_message,
    ] {
        assert_eq!(times.count(), 2, "{alone:?}");
    }
}
