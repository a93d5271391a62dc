//! The relay from outside: real websockets and files, its own port for each test.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop there"
)]

mod abuse;
mod auth;
mod bad_input;
mod counting;
mod crowd;
mod fan_out;
mod harbour;
mod http;
mod http_abuse;
mod nips;
mod overload;
mod raw;
mod reading;
mod scraper;
mod writing;
