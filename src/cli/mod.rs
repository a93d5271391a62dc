//! The subcommands of `mostro-relay`.

pub mod sandbox;
