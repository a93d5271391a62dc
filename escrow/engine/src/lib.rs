//! One after the other: the single writer of the escrow, its intake and its
//! workers.
//!
//! A message is opened by [`intake`] when its turn has come, waits in the mailbox, is decided and
//! committed by [`writer::Engine::step`]; the workers then do what was decided
//! and report back the same way. [`Escrow`] ties them together.
//!
//! The secret of the data directory and a hold's id are all it takes to settle
//! that hold, so nothing of it is ever stored:
//!
//! ```
//! use escrow_core::hold::HoldId;
//! use escrow_engine::entropy::Entropy;
//! use escrow_engine::preimages::Preimages;
//! use secrecy::SecretBox;
//!
//! let preimages = Preimages::new(SecretBox::new(Box::new([7; 32])));
//! let hold = preimages.fresh_hold(HoldId(Entropy::seeded(1).uuid()));
//! assert_eq!(preimages.of(hold.id).hash(), hold.hash);
//! ```

mod addresses;
mod book;
pub mod clock;
pub mod desk;
mod draft;
pub mod entropy;
mod escrow;
mod fair_queue;
mod gather;
pub mod intake;
pub mod known_keys;
mod letter_times;
pub mod mailbox;
mod mailroom;
pub mod preimages;
pub mod prices;
mod questions;
mod reception;
mod recovery;
pub mod reports;
mod strangers;
pub mod submission;
mod treasury;
mod workers;
pub mod writer;

pub use escrow::{Escrow, EscrowError, EscrowHandle, Parts, Readiness};
pub use fair_queue::Source;
pub use recovery::ForeignLedger;
pub use workers::alarms::contradiction;
pub use workers::courier::{PublishError, Publisher};
pub use workers::health::{ANSWER_LIMIT, Answer, LightningHealth, Standing};
pub use writer::DEV_FEE_COMMANDS;
