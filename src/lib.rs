//! mostro-relay: a Nostr relay with a Mostro escrow inside, in one process.

pub mod announce;
pub mod bench;
pub mod cli;
pub mod front_door;
pub mod identity;
pub mod node;
pub mod relay;
pub mod sandbox_door;
pub mod settings;
pub mod trader;
