//! Who may say what on the relay, and who may read it.
//!
//! The relay engine asks two traits and nothing else: a [`WritePolicy`] before it keeps
//! an event, a [`QueryPolicy`] before it shows one. [`Gate`] and [`Reading`] are the
//! policies of a Mostro node; both work on any engine that can call them. The crate knows
//! nothing of the escrow: a message for the node leaves through [`Inbox`], and who is
//! known comes in through [`KnownKeys`].
//!
//! ```
//! use std::{collections::BTreeSet, net::IpAddr, sync::Arc};
//! use nostr::event::{EventBuilder, FinalizeEvent, Kind};
//! use nostr::key::Keys;
//! use relay_policy::{Arrival, Gate, GateTerms, Session, Verdict, WritePolicy};
//!
//! let (node, stranger) = (Keys::generate(), Keys::generate());
//! let gate = Gate::new(node.public_key(), GateTerms::default(), Arc::new(BTreeSet::new()), None);
//! let session = Session::new(1, IpAddr::from([192, 0, 2, 7]));
//!
//! let note = EventBuilder::new(Kind::TextNote, "gm").finalize(&stranger).unwrap();
//! let arrival = Arrival { event: &note, size_bytes: 300, now: note.created_at };
//! assert!(gate.before_signature(&session, arrival).is_ok());
//! assert!(matches!(gate.after_signature(&session, arrival), Verdict::Keep));
//! ```

mod gate;
mod inbox;
mod known_keys;
mod policy;
mod reading;
mod rules;
mod session;
mod verdict;

pub use gate::{Gate, GateTerms};
pub use inbox::{BoxFuture, Inbox, Receipt};
pub use known_keys::KnownKeys;
pub use policy::{Arrival, EventHead, QueryPolicy, WritePolicy};
pub use reading::Reading;
pub use rules::MAX_D_TAG_BYTES;
pub use rules::order_book::OrderHead;
pub use rules::rate::Rate;
pub use session::{ProvenKeys, Session, address_group};
pub use verdict::{Prefix, Refusal, Verdict};
