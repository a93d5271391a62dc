//! How long a box takes to be there again.

use super::filled_store::{self, Filling};
use super::report::{Figure, Row};
use super::{Bench, Scenario};
use crate::bench::own_box::OwnBox;
use crate::bench::times::Times;

/// So often a box is started; the files are in the system's cache.
const STARTS: usize = 5;

/// Runs the whole scenario.
pub(super) async fn run(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let filling = Filling {
        orders: bench.scale.live_orders,
        events: bench.scale.stored_events.max(bench.scale.live_orders),
    };
    let Filling { orders, events } = filling;
    let case = format!("{orders} live orders of {events} events");
    bench.begins(Scenario::StartUp, &case);
    filled_store::fill(bench, filling).await?;
    let mut starts = Times::default();
    for _ in 0..STARTS {
        let started = OwnBox::start(&bench.site).await?;
        starts.add(started.started_after);
        started.kill().await?;
    }
    let figures = vec![Figure::Wait("open port", starts)];
    bench.tells(Row::new(Scenario::StartUp, case, figures));
    Ok(())
}
