//! mostro-relay: a Nostr relay with a Mostro escrow inside, in one process.

pub mod front_door;
pub mod relay;
