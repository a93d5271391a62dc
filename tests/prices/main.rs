//! Prices: sources on the web and on relays, rounds, and a whole node.

mod node;
mod rounds;
mod shop;
mod sources;
