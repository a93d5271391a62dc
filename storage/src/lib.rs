//! What the node remembers.

pub mod events;
