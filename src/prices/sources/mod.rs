//! The sources, one file each.

mod blockchain;
mod coingecko;
mod currency_api;
mod eltoque;
mod fixed;
mod nostr;
mod web;
mod yadio;

pub use self::blockchain::Blockchain;
pub use self::coingecko::Coingecko;
pub use self::currency_api::CurrencyApi;
pub use self::eltoque::Eltoque;
pub use self::fixed::FixedTable;
pub use self::nostr::{Nodes, NostrSource};
pub use self::web::Web;
pub use self::yadio::Yadio;
