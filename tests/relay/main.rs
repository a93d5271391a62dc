//! The relay from outside: real websockets and files, its own port for each test.

mod bad_input;
mod harbour;
mod http;
mod overload;
mod reading;
mod writing;
