//! What a bitcoin costs.
//!
//! A [`Watcher`] asks the [sources] in rounds, [combines](fn@combine) their words
//! and shows the prices on a [`Board`], where the escrow reads them in the
//! middle of a step. The last good price of each currency is kept on disk with
//! its age; what is too old is not served.

mod board;
mod breaker;
mod combine;
mod currency;
mod kept;
mod open;
mod source;
pub mod sources;
mod status;
mod watcher;
mod worries;

pub use self::board::{Board, Price, PriceList};
pub use self::breaker::BreakerTerms;
pub use self::combine::{Agreed, Found, Word, agree, combine};
pub use self::currency::{Currency, Scope};
pub use self::kept::{Kept, KeptError};
pub use self::open::{Prices, open};
pub use self::source::{Answer, PriceSource, Quotes, SourceError, SourceId};
pub use self::status::{
    Deviation, PATH, PriceStatus, PricesStatus, SourceState, SourceStatus, routes,
};
pub use self::watcher::{WatchParts, WatchTerms, Watcher};
