//! The relay from outside: real websockets and files, its own port for each test.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop there"
)]

mod auth;
mod bad_input;
mod counting;
mod harbour;
mod http;
mod nips;
mod overload;
mod reading;
mod writing;
