//! The `mostro-relay` command.

fn main() {}
