//! The chain below: one btcd, which mines at command.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::process::Command;

use crate::answer::{Answer, ask};
use crate::binaries::Binaries;
use crate::error::{RegtestError, Result};
use crate::patience::{Seen, until};
use crate::ports::Ports;
use crate::process::Process;

/// Name and password of the chain; nothing but this machine can reach it.
const ACCOUNT: &str = "regtest";

/// The miner and chain backend of all nodes of a network.
///
/// It forgets its chain at every start, so it runs as long as its network.
#[derive(Debug)]
pub struct Chain {
    folder: PathBuf,
    binaries: Binaries,
    ports: Ports,
    process: Process,
}

impl Chain {
    pub(crate) fn at(network: &Path, binaries: &Binaries, ports: Ports) -> Chain {
        let folder = network.join("btcd");
        Chain {
            process: Process::at("btcd", &folder),
            folder,
            binaries: binaries.clone(),
            ports,
        }
    }

    /// Starts btcd, which will mine for this address, and waits until it answers.
    pub(crate) async fn start(&self, mining_address: &str) -> Result<()> {
        let failed = RegtestError::system(format!("write to {}", self.folder.display()));
        // Empty ones, or it would read the files of whoever starts it.
        let files = fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(self.file("btcd.conf"), ""))
            .and_then(|()| fs::write(self.file("btcctl.conf"), ""));
        files.map_err(failed)?;
        let arguments = [
            "--regtest".to_owned(),
            format!("-C={}", self.file("btcd.conf").display()),
            format!("--datadir={}", self.file("data").display()),
            format!("--logdir={}", self.file("logs").display()),
            "--txindex".to_owned(),
            "--nodnsseed".to_owned(),
            "--nobanning".to_owned(),
            "--nostalldetect".to_owned(),
            format!("--listen={}", self.ports.chain_peers()),
            format!("--rpclisten={}", self.ports.chain_rpc()),
            format!("--rpccert={}", self.certificate().display()),
            format!("--rpckey={}", self.file("rpc.key").display()),
            format!("--rpcuser={ACCOUNT}"),
            format!("--rpcpass={ACCOUNT}"),
            "--rpcmaxwebsockets=50".to_owned(),
            "--rpcmaxclients=50".to_owned(),
            format!("--miningaddr={mining_address}"),
        ];
        let program = self.binaries.program("btcd");
        self.process.start(&program, &arguments)?;
        until("btcd answers", &[&self.process], async || {
            Ok(Seen::There(self.height().await?))
        })
        .await?;
        Ok(())
    }

    /// The height of the newest block.
    ///
    /// # Errors
    /// When btcd does not answer.
    pub async fn height(&self) -> Result<u64> {
        self.ask(&["getblockcount"]).await?.number("")
    }

    /// Mines so many blocks; the nodes hear of them a moment later.
    pub(crate) async fn generate(&self, blocks: u32) -> Result<()> {
        self.ask(&["generate", &blocks.to_string()]).await?;
        Ok(())
    }

    /// Stops answering without closing anything, as an overloaded machine does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn freezes(&self) -> Result<()> {
        self.process.freeze()
    }

    /// Goes on after [`Chain::freezes`].
    ///
    /// # Errors
    /// When the system refuses.
    pub fn thaws(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// What a node needs to know to use this chain.
    pub(crate) fn flags(&self) -> [String; 4] {
        [
            format!("--btcd.rpchost={}", self.ports.chain_rpc()),
            format!("--btcd.rpcuser={ACCOUNT}"),
            format!("--btcd.rpcpass={ACCOUNT}"),
            format!("--btcd.rpccert={}", self.certificate().display()),
        ]
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    async fn ask(&self, asked: &[&str]) -> Result<Answer> {
        let mut client = Command::new(self.binaries.program("btcctl"));
        client
            .arg("--regtest")
            .arg(format!("-C={}", self.file("btcctl.conf").display()))
            .arg(format!("--rpcserver={}", self.ports.chain_rpc()))
            .arg(format!("--rpccert={}", self.certificate().display()))
            .args([
                format!("--rpcuser={ACCOUNT}"),
                format!("--rpcpass={ACCOUNT}"),
            ]);
        ask("btcd", asked, client).await
    }

    fn certificate(&self) -> PathBuf {
        self.file("rpc.cert")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
