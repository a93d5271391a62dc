//! The backend against an LND that does what it is told.

mod answers;
mod door;
mod holds;
mod payments;
mod scripted;

use std::time::Duration;

use self::scripted::Scripted;
use super::{Lnd, TEMPO, Tempo};

/// Nobody in a test looks beside a stream, unless it is about that.
const NO_SWEEP: Tempo = Tempo {
    sweep: Duration::from_secs(3_600),
    ..TEMPO
};

fn backend(node: &Scripted) -> Lnd {
    Lnd::at(NO_SWEEP, node.access(), 18).unwrap()
}
