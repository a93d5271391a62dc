//! A box of our own to measure: this program once more, as a plain relay in
//! a process of its own, so that nothing of the load is counted as its.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// A start takes no longer than this.
const STARTING_TIME: Duration = Duration::from_secs(60);

/// How often it is looked whether the port is open.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A running box; killed when dropped.
pub(super) struct OwnBox {
    process: Child,
    /// The file of its complaints.
    log: PathBuf,
    /// Where it listens.
    pub(super) url: String,
    /// From the start of the process to the open port.
    pub(super) started_after: Duration,
}

/// Where boxes find their data, and what they are.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// This program.
    pub(super) program: PathBuf,
    /// A folder that exists; the data directory is `data` in it.
    pub(super) folder: PathBuf,
}

impl Site {
    /// The data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl OwnBox {
    /// Starts a box and waits until its port is open.
    ///
    /// # Errors
    /// If it ends, or takes too long.
    pub(super) async fn start(site: &Site) -> anyhow::Result<OwnBox> {
        OwnBox::start_on(site, free_port()?).await
    }

    /// As [`OwnBox::start`], on this port.
    ///
    /// # Errors
    /// As [`OwnBox::start`].
    pub(super) async fn start_on(site: &Site, port: u16) -> anyhow::Result<OwnBox> {
        let settings = site.folder.join("settings.toml");
        fs::write(&settings, settings_text(&site.data(), port))?;
        let log = site.folder.join("log");
        let mut command = Command::new(&site.program);
        command
            .arg("--settings")
            .arg(&settings)
            // The operator's own settings are not meant for this box.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .kill_on_drop(true);
        let began = Instant::now();
        let process = command
            .spawn()
            .with_context(|| format!("{} does not start", site.program.display()))?;
        let mut started = OwnBox {
            process,
            log,
            url: format!("ws://127.0.0.1:{port}"),
            started_after: Duration::ZERO,
        };
        timeout(STARTING_TIME, started.opens(port))
            .await
            .context("the box takes too long to start")??;
        started.started_after = began.elapsed();
        Ok(started)
    }

    /// The number of its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends it at once, and waits until it is gone.
    ///
    /// # Errors
    /// If it had ended before: then nothing it did counts.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.must_run()?;
        Ok(self.process.kill().await?)
    }

    async fn opens(&mut self, port: u16) -> anyhow::Result<()> {
        let address = (Ipv4Addr::LOCALHOST, port);
        while TcpStream::connect(address).await.is_err() {
            self.must_run()?;
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.process.try_wait()? {
            let words = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("the box has ended: {ended}\n{words}");
        }
        Ok(())
    }
}

/// A port that nobody has at the moment.
pub(super) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Usual settings, but for what keeps one address from being a crowd.
fn settings_text(data: &Path, port: u16) -> String {
    // A string of JSON is one of TOML, too.
    let data = json!(data.to_string_lossy());
    format!(
        "[node]\ndata_dir = {data}\n\
         [relay]\nlisten = \"127.0.0.1:{port}\"\n\
         max_connections = 10000\nmax_connections_per_address = 10000\n\
         max_messages_per_second = 1000000\norders_per_foreign_key = 100000\n\
         [escrow]\nenabled = false\n\
         [log]\nfilter = \"warn\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_understands_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.toml");
        fs::write(&file, settings_text(&folder.path().join("data"), 7_000)).unwrap();
        let loaded = crate::settings::load(Some(&file), []).unwrap();
        assert!(!loaded.settings.escrow.enabled);
        assert_eq!(loaded.notices, [] as [&str; 0]);
    }
}
