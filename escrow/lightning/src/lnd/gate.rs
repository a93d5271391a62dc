//! The way to LND: open only while LND is fully up, and is the node it always was.
//!
//! LND answers calls before it has caught up with the chain. A hold whose deadline
//! passed while it was down then still looks accepted and can even be settled, on a
//! channel that is about to be closed; a payment fails as if the payee were to blame. So
//! LND is asked for its state before every call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use escrow_core::UnixTime;

use super::Tempo;
use super::fault::{Fault, limited};
use super::line::Line;
use super::rpc::lnrpc::{GetInfoRequest, GetInfoResponse, GetStateRequest, WalletState};
use crate::backend::{LightningIdentity, LnError, LnResult, Network, NodeInfo};

pub(super) struct Gate {
    line: Line,
    /// The node that is expected, or that was met first.
    identity: OnceLock<LightningIdentity>,
    /// The connection at whose other end that node was recognised.
    recognised: AtomicU64,
}

impl Gate {
    pub(super) fn new(line: Line) -> Gate {
        Gate {
            line,
            identity: OnceLock::new(),
            recognised: AtomicU64::new(0),
        }
    }

    /// Says which node it has to be, unless one was met before.
    pub(super) fn expect(&self, identity: LightningIdentity) {
        self.identity.get_or_init(|| identity);
    }

    /// The line, once LND may be talked to.
    pub(super) async fn pass(&self) -> LnResult<&Line> {
        self.is_active().await?;
        if self.recognised.load(Ordering::SeqCst) != self.line.connections() {
            self.introduction().await?;
        }
        Ok(&self.line)
    }

    /// Who LND is and how far it is.
    pub(super) async fn info(&self) -> LnResult<NodeInfo> {
        self.is_active().await?;
        self.introduction().await
    }

    /// The line, once LND can send a payment on its way.
    pub(super) async fn pass_to_pay(&self) -> LnResult<&Line> {
        let info = self.info().await?;
        let missing = if !info.synced_to_chain {
            "it is not synced to the chain"
        } else if info.active_channels == 0 {
            "it has no active channel"
        } else {
            return Ok(&self.line);
        };
        Err(LnError::Unavailable(missing.into()))
    }

    /// The line to a node that is fully up, whoever it is: to look what it allows.
    pub(super) async fn active_line(&self) -> LnResult<&Line> {
        self.is_active().await?;
        Ok(&self.line)
    }

    async fn is_active(&self) -> LnResult<()> {
        let mut client = self.line.state();
        // A line that was cut is only noticed by the call that meets the cut.
        let asked = async {
            match client.get_state(GetStateRequest {}).await {
                Err(_) => client.get_state(GetStateRequest {}).await,
                answer => answer,
            }
        };
        let answer = limited(self.line.tempo.word, asked).await?;
        let why = match answer.into_inner().state() {
            WalletState::ServerActive => return Ok(()),
            WalletState::NonExisting => "its wallet does not exist yet: `lncli create` makes one",
            WalletState::Locked => "its wallet is locked: `lncli unlock` opens it",
            WalletState::Unlocked => "its wallet is open and it starts to listen",
            WalletState::RpcActive => "it is starting and has not caught up with the chain",
            WalletState::WaitingToStart => "it waits for its turn to start",
        };
        Err(LnError::Unavailable(why.into()))
    }

    async fn introduction(&self) -> LnResult<NodeInfo> {
        let connection = self.line.connections();
        let mut client = self.line.lightning();
        let answer = limited(self.line.tempo.word, client.get_info(GetInfoRequest {})).await;
        let info = match answer {
            Ok(answer) => node_info(answer.into_inner())?,
            Err(Fault::Unanswered(why)) => {
                let why = format!("it does not say how far it is, its chain may hang: {why}");
                return Err(LnError::Unavailable(why));
            }
            Err(fault) => {
                if matches!(fault, Fault::Forbidden(_)) {
                    self.line.reread_macaroon();
                }
                return Err(fault.into());
            }
        };
        self.recognise(&info)?;
        self.recognised.store(connection, Ordering::SeqCst);
        Ok(info)
    }

    fn recognise(&self, info: &NodeInfo) -> LnResult<()> {
        let seen = LightningIdentity::from(info);
        if *self.identity.get_or_init(|| seen.clone()) == seen {
            Ok(())
        } else {
            Err(LnError::IdentityChanged)
        }
    }

    pub(super) fn tempo(&self) -> Tempo {
        self.line.tempo
    }

    /// The key of the node, once it was met.
    pub(super) fn pubkey(&self) -> Option<&str> {
        self.identity.get().map(|identity| identity.pubkey.as_str())
    }
}

fn node_info(info: GetInfoResponse) -> LnResult<NodeInfo> {
    let chain = info
        .chains
        .first()
        .map_or("none", |chain| chain.network.as_str());
    let Some(network) = Network::named(chain) else {
        let why = format!("the chain {chain:?} is not known here");
        return Err(LnError::Contract(why));
    };
    Ok(NodeInfo {
        pubkey: info.identity_pubkey,
        alias: info.alias,
        version: info.version,
        network,
        block_height: info.block_height,
        best_block_time: UnixTime(u64::try_from(info.best_header_timestamp).unwrap_or(0)),
        synced_to_chain: info.synced_to_chain,
        active_channels: info.num_active_channels,
    })
}
