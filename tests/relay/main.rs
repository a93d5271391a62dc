//! The relay from outside: real websockets and files, its own port for each test.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall stop there"
)]

mod bad_input;
mod crowd;
mod harbour;
mod http;
mod overload;
mod reading;
mod writing;
