//! Real Lightning on one machine, for tests and for people: btcd and three LND
//! nodes, built from source with Go and driven by their own command line
//! programs.
//!
//! A [`Network`] is a seller, the operator and a buyer in a line above one
//! chain. [`Lnd`] is one of its nodes, with all that tests do to it: pay, hold,
//! kill, freeze. A [`Proxy`] is a bad line to one. [`Binaries`] builds the
//! programs once on a machine. The program `regtest` is the same for the
//! fingers; `deploy/regtest/README.md` tells its use.
//!
//! A network takes 20 to 40 s to build, so tests share one:
//!
//! ```no_run
//! use escrow_regtest::{Binaries, Network, Ports};
//!
//! # async fn story(folder: &std::path::Path) -> escrow_regtest::Result<()> {
//! let say = |what: &str| eprintln!("{what}");
//! let binaries = Binaries::ready(&say).await?;
//! let network = Network::up(&binaries, folder, Ports::free()?, &say).await?;
//! let network = network.ends_with_this_process()?;
//!
//! let invoice = network.buyer().invoice(1_000).await?;
//! println!("{:?}", network.seller().pays(&invoice.bolt11).await?);
//! println!("{}", network.balances().await?);
//! # Ok(())
//! # }
//! ```

mod answer;
mod balances;
mod binaries;
mod chain;
mod error;
mod lnd;
mod network;
mod patience;
mod ports;
mod process;
mod proxy;
mod wallet;

pub use answer::Answer;
pub use balances::Balances;
pub use binaries::{Binaries, GIVEN_FOLDER};
pub use chain::Chain;
pub use error::{RegtestError, Result};
pub use lnd::Lnd;
pub use network::Network;
pub use ports::Ports;
pub use proxy::{Line, Proxy};
pub use wallet::{Balance, Invoice, Payment};
