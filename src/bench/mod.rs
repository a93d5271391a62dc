//! Measurements of this box on this machine: real traders over real sockets,
//! real files, every commit synced to the disk.
//!
//! [`quick`] runs all of it and hands each [`Finding`] on as soon as it is made;
//! [`relay`] measures any relay from outside.

pub mod asking;
pub mod commands;
mod ear;
pub mod envelopes;
pub mod full_book;
pub mod lnd;
pub mod machine;
pub mod mirror;
mod own_box;
pub mod relay;
pub mod report;
pub mod times;
pub mod trades;

use std::path::Path;

use escrow_core::wire::Transport;
use escrow_engine::desk::Sealing;

use asking::AskingTimes;
use commands::Written;
use envelopes::Opening;
use full_book::BookTimes;
use lnd::LndTimes;
use machine::Machine;
use mirror::MirrorTimes;
use trades::{Crowd, CrowdTimes};

/// The crowds of the quick measurement.
const CROWDS: [Crowd; 3] = [
    Crowd {
        pairs: 1,
        trades_each: 50,
    },
    Crowd {
        pairs: 8,
        trades_each: 20,
    },
    Crowd {
        pairs: 32,
        trades_each: 10,
    },
];

/// Rounds of two batches in the quick measurement of the writer.
const ROUNDS: u32 = 30;

/// Something that was measured.
#[derive(Debug)]
pub enum Finding {
    /// The machine.
    Machine(Machine),
    /// How fast messages are opened.
    Opening(Opening),
    /// A crowd that traded.
    Crowd(CrowdTimes),
    /// The writer alone.
    Writer(Written),
    /// What the process holds after it, in bytes; none where the system does
    /// not say.
    Memory(Option<u64>),
    /// How fast a mirror was served.
    Mirror(MirrorTimes),
    /// Replies with an empty book and with a full one.
    FullBook(BookTimes),
    /// Takes at the market's price, and sessions restored.
    Asking(AskingTimes),
    /// Trades over real LND nodes.
    Lnd(LndTimes),
    /// What a relay was seen to do.
    Relay(relay::report::Row),
}

/// Somebody who waits for the findings.
pub trait Listener {
    /// What is being measured.
    fn begins(&mut self, what: &str);
    /// What was found.
    fn hears(&mut self, finding: &Finding);
}

/// The quick measurement, with all data under `folder`.
///
/// # Errors
/// If anything fails or goes wrong: half a measurement is none.
pub async fn quick(folder: &Path, listener: &mut dyn Listener) -> anyhow::Result<()> {
    listener.begins("the machine");
    listener.hears(&Finding::Machine(Machine::measure(folder)?));
    for transport in [Transport::Direct, Transport::GiftWrap] {
        listener.hears(&Finding::Opening(envelopes::measure(transport)?));
    }
    let node = trades::open_box(folder).await?;
    for crowd in CROWDS {
        let Crowd { pairs, trades_each } = crowd;
        listener.begins(&format!("{pairs} at once, {trades_each} trades each"));
        listener.hears(&Finding::Crowd(trades::measure(&node, crowd).await?));
    }
    listener.hears(&Finding::Memory(machine::resident_memory()));
    node.stop().await?;
    for sealing in [Sealing::Full, Sealing::Off] {
        listener.begins(match sealing {
            Sealing::Full => "the writer, with sealing",
            Sealing::Off => "the writer, without sealing",
        });
        let folder = folder.to_owned();
        let written =
            tokio::task::spawn_blocking(move || commands::measure(&folder, sealing, ROUNDS));
        listener.hears(&Finding::Writer(written.await??));
    }
    Ok(())
}
