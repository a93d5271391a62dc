//! The `mostro-relay` command.

use std::process::ExitCode;

use clap::Parser;
use mostro_relay::cli::CommandLine;

#[tokio::main]
async fn main() -> ExitCode {
    CommandLine::parse().execute().await
}
