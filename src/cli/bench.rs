//! `mostro-relay bench`: measures this box on this machine.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::bench::{self, Finding, Listener};

/// Measure whole trades and the writer on this machine.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// The short measurement, of less than a minute.
    #[arg(long, required = true)]
    quick: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// The disk to measure on; data goes into a new folder in it.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

/// Measures, prints the findings as they are made, and tidies up.
///
/// # Errors
/// If the folder cannot be used, or a measurement goes wrong.
pub async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir_in(&args.folder)
        .with_context(|| format!("no folder in {}", args.folder.display()))?;
    let mut printer = Printer { json: args.json };
    // Dropped by a signal too, so that the folder goes in any case.
    tokio::select! {
        measured = bench::quick(folder.path(), &mut printer) => measured?,
        _ = tokio::signal::ctrl_c() => return Ok(ExitCode::FAILURE),
    }
    if args.json {
        print(&json!({"part": "end", "ok": true}).to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Findings go to the standard output, progress to the standard error.
struct Printer {
    json: bool,
}

fn print(text: &str) {
    // Who closes the pipe does not want to hear more.
    let _nobody_listens = writeln!(io::stdout(), "{}", text.trim_end_matches('\n'));
}

impl Listener for Printer {
    fn begins(&mut self, what: &str) {
        let _nobody_listens = writeln!(io::stderr(), "measuring {what} …");
    }

    fn hears(&mut self, finding: &Finding) {
        if self.json {
            print(&finding.to_json().to_string());
        } else {
            print(&finding.to_text());
        }
    }
}
