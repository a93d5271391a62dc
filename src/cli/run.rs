//! `mostro-relay run`: starts the box and waits for the end.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{banner, complain};
use crate::node::{Node, NodeError};
use crate::settings::{Loaded, LogFormat, LogSettings, Settings};

/// The database tells of its own housekeeping at `info`, which is news to nobody.
const DATABASE_IS_QUIET: &str = "nostr_lmdb=warn";

/// Runs the box until a signal or a failure ends it; `myself` is how this
/// program was called.
pub(super) async fn until_told_to_stop(loaded: Loaded, myself: &str) -> ExitCode {
    let Loaded { settings, notices } = loaded;
    begin_log(&settings.log);
    for notice in notices {
        tracing::warn!("{notice}");
    }
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(why) => {
            complain(&format!("signals cannot be caught: {why}"));
            return ExitCode::FAILURE;
        }
    };
    let started = tokio::select! {
        started = Box::pin(Node::start(settings.clone())) => started,
        // Nothing was promised to anybody yet.
        () = signals.next() => return ExitCode::SUCCESS,
    };
    let mut node = match started {
        Ok(node) => node,
        Err(why) => return refuse(&why),
    };
    welcome(&node, &settings, myself);
    let failure = tokio::select! {
        why = node.failed() => {
            tracing::error!(%why, "the node cannot go on");
            Some(why)
        }
        () = signals.next() => {
            tracing::info!("stopping");
            None
        }
    };
    let stopped = tokio::select! {
        stopped = node.stop() => stopped,
        () = signals.next() => {
            tracing::warn!("told twice: ending at once");
            return ExitCode::FAILURE;
        }
    };
    match (failure, stopped) {
        (None, Ok(())) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        (Some(why), _) | (None, Err(why)) => refuse(&why),
    }
}

fn welcome(node: &Node, settings: &Settings, myself: &str) {
    if io::stdout().is_terminal() {
        let banner = banner::of(node, &settings.node.data_dir, myself);
        // Whoever closed the terminal does not miss it.
        let _unseen = io::stdout().write_all(banner.as_bytes());
    } else {
        let (url, key) = (node.url(), node.public_key().to_hex());
        let lightning_is_simulated = node.sandbox().is_some();
        tracing::info!(url, key, lightning_is_simulated, "the node is open");
    }
}

fn refuse(why: &NodeError) -> ExitCode {
    complain(&format!("mostro-relay: {why}"));
    ExitCode::FAILURE
}

fn begin_log(settings: &LogSettings) {
    // The settings were checked when they were read, and what the operator
    // says of this target comes later and wins.
    let filter = format!("{DATABASE_IS_QUIET},{}", settings.filter);
    let filter = EnvFilter::try_new(filter).unwrap_or_default();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match settings.format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
}

/// What tells a process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
