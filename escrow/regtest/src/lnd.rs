//! One real LND node: its process and how far it is.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tokio::process::Command;

use crate::answer::{Answer, ask};
use crate::binaries::Binaries;
use crate::chain::Chain;
use crate::error::{RegtestError, Result};
use crate::patience::{Seen, until};
use crate::ports::Ports;
use crate::process::Process;

/// A node of the network, running or not.
#[derive(Debug)]
pub struct Lnd {
    name: String,
    folder: PathBuf,
    binaries: Binaries,
    peers: SocketAddr,
    grpc: SocketAddr,
    wallet: Wallet,
    chain: [String; 4],
    process: Process,
}

/// How a node keeps its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wallet {
    /// Opened at each start without a password.
    Open,
    /// Waits for its operator to create or unlock it.
    Locked,
}

/// Where a node belongs.
pub(crate) struct Place<'a> {
    pub(crate) network: &'a Path,
    pub(crate) binaries: &'a Binaries,
    pub(crate) ports: Ports,
    pub(crate) chain: &'a Chain,
}

impl Lnd {
    pub(crate) fn at(place: &Place<'_>, name: &str, number: u16, wallet: Wallet) -> Lnd {
        let folder = place.network.join(name);
        Lnd {
            name: name.to_owned(),
            process: Process::at(name, &folder),
            folder,
            binaries: place.binaries.clone(),
            peers: place.ports.peers(number),
            grpc: place.ports.grpc(number),
            wallet,
            chain: place.chain.flags(),
        }
    }

    /// Its name in the network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its gRPC listens, with TLS.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// Its TLS certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("tls.cert")
    }

    /// The macaroon that may do everything.
    #[must_use]
    pub fn admin_macaroon(&self) -> PathBuf {
        self.folder
            .join("data/chain/bitcoin/regtest/admin.macaroon")
    }

    /// The file with all it has said since it was made.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.process.log()
    }

    /// Starts the node and does not wait for it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(&self) -> Result<()> {
        self.start_with(&[])
    }

    /// As [`Lnd::start`], with more flags, such as `--invoices.holdexpirydelta=0`.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start_with(&self, flags: &[&str]) -> Result<()> {
        self.start_as(self.wallet, flags)
    }

    /// As [`Lnd::start`], but its wallet stays locked until it is stopped and
    /// started in the usual way.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start_locked(&self) -> Result<()> {
        self.start_as(Wallet::Locked, &[])
    }

    fn start_as(&self, wallet: Wallet, flags: &[&str]) -> Result<()> {
        let mut arguments: Vec<String> = [
            format!("--lnddir={}", self.folder.display()),
            format!("--alias={}", self.name),
            format!("--listen={}", self.peers),
            format!("--rpclisten={}", self.grpc),
        ]
        .into();
        arguments.extend(self.chain.clone());
        let fixed = "--norest --nobootstrap --bitcoin.regtest --bitcoin.node=btcd \
                     --bitcoin.defaultchanconfs=1 --trickledelay=50 --gossip.sub-batch-delay=5ms \
                     --db.batch-commit-interval=10ms --maxpendingchannels=10 --minbackoff=500ms \
                     --maxbackoff=2s";
        arguments.extend(fixed.split_whitespace().map(str::to_owned));
        if wallet == Wallet::Open {
            arguments.push("--noseedbackup".to_owned());
        }
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self.process
            .start(&self.binaries.program("lnd"), &arguments)
    }

    /// Ends the node in order.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(&self) -> Result<()> {
        self.process.stop().await
    }

    /// Ends the node as a power cut does.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn kill(&self) -> Result<()> {
        self.process.kill().await
    }

    /// Holds the node still: its connections stay, its answers do not come.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn freezes(&self) -> Result<()> {
        self.process.freeze()
    }

    /// Goes on after [`Lnd::freezes`].
    ///
    /// # Errors
    /// When the system refuses.
    pub fn thaws(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Whether its process runs, however far it is.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Deletes the TLS certificate and its key; the next start makes new ones.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn forgets_certificate(&self) -> Result<()> {
        let removed = fs::remove_file(self.certificate())
            .and_then(|()| fs::remove_file(self.folder.join("tls.key")));
        removed.map_err(RegtestError::system("remove a certificate"))
    }

    /// Waits until the node is fully up and so many channels can carry payments.
    ///
    /// # Errors
    /// When it has died or takes too long.
    pub async fn is_ready(&self, active_channels: u64) -> Result<()> {
        let what = format!("{} is up with {active_channels} channels", self.name);
        until(&what, &[&self.process], async || {
            let state = self.state().await?;
            if state != "SERVER_ACTIVE" {
                return Ok(Seen::NotYet(state));
            }
            let info = self.ask(&["getinfo"]).await?;
            let active = info.number("/num_active_channels")?;
            let ready = info.is_true("/synced_to_chain") && active >= active_channels;
            Ok(Seen::when(ready, || format!("{}", info.json())))
        })
        .await
    }

    /// Waits until the node knows the block of this height.
    pub(crate) async fn is_at(&self, height: u64) -> Result<()> {
        let what = format!("{} is at height {height}", self.name);
        until(&what, &[&self.process], async || {
            let info = self.ask(&["getinfo"]).await?;
            let at = info.number("/block_height")?;
            let there = info.is_true("/synced_to_chain") && at >= height;
            Ok(Seen::when(there, || format!("at {at}")))
        })
        .await
    }

    /// How far it is: `LOCKED`, `RPC_ACTIVE`, `SERVER_ACTIVE` and so on.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn state(&self) -> Result<String> {
        let answer = self.ask(&["state"]).await?;
        answer.text("/state").map(str::to_owned)
    }

    /// Waits until it is so far, as [`Lnd::state`] says it.
    ///
    /// # Errors
    /// When it has died or takes too long.
    pub async fn state_is(&self, wanted: &str) -> Result<()> {
        let what = format!("{} is {wanted}", self.name);
        until(&what, &[&self.process], async || {
            let state = self.state().await?;
            Ok(Seen::when(state == wanted, || state.clone()))
        })
        .await
    }

    /// Its identity key, 66 hex digits.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn pubkey(&self) -> Result<String> {
        let answer = self.ask(&["getinfo"]).await?;
        answer.text("/identity_pubkey").map(str::to_owned)
    }

    /// Where other nodes reach it.
    pub(crate) fn peer_address(&self) -> SocketAddr {
        self.peers
    }

    /// Asks the node by its command line program, with any of its commands.
    ///
    /// # Errors
    /// [`RegtestError::Refused`] with the node's own words.
    pub async fn ask(&self, asked: &[&str]) -> Result<Answer> {
        ask(&self.name, asked, self.client()).await
    }

    /// The command line program of LND, set up to talk to this node.
    #[must_use]
    pub fn client(&self) -> Command {
        let mut client = Command::new(self.binaries.program("lncli"));
        client
            .arg("--network=regtest")
            .arg(format!("--lnddir={}", self.folder.display()))
            .arg(format!("--rpcserver={}", self.grpc));
        client
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}
