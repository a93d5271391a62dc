//! An LND node over gRPC.
//!
//! [`Lnd`] is the backend. Read on in `gate`, which every call passes; then in `holds`
//! and `payments`, one function for each method of the trait; `fault` tells LND's errors
//! from those of the line, and `line` is the one connection of the process.

mod certificate;
mod credentials;
mod fault;
mod gate;
mod hints;
mod holds;
mod line;
mod lost;
mod payments;
mod permissions;
mod rpc;
#[cfg(test)]
mod tests;

mod version;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::{Msat, PaymentHash};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::sleep;

pub use self::credentials::{LndAccess, Macaroon};

pub use self::permissions::BAKE;

use self::fault::limited;
use self::gate::Gate;
use self::hints::PrivateHints;
use self::line::Line;
use self::rpc::lnrpc::{Amount, ChannelBalanceRequest};
use crate::backend::{
    BackendKind, CancelOutcome, Capabilities, HoldRequest, HoldSnapshot, LightningBackend,
    LightningIdentity, Liquidity, LnError, LnResult, LostPayment, NodeInfo, PayRequest,
    PaymentRecord, PaymentState, Preimage, SettleOutcome, StartPayment,
};

/// How long is waited, and how often asked.
#[derive(Clone, Copy)]
struct Tempo {
    /// Longest wait for a word about LND itself. Below the patience of who asks, so that
    /// he hears which word is missing.
    word: Duration,
    /// Longest wait for the answer to any other call.
    answer: Duration,
    /// Streams are never trusted alone: this often the state is asked for.
    sweep: Duration,
    /// How often the height of the chain is asked for.
    height: Duration,
}

const TEMPO: Tempo = Tempo {
    word: Duration::from_secs(4),
    answer: Duration::from_secs(15),
    sweep: Duration::from_secs(60),
    height: Duration::from_secs(10),
};

/// What LND takes as the final CLTV delta of a hold, in blocks.
const HOLD_CLTV_DELTA: std::ops::RangeInclusive<u32> = 24..=65_535;

/// What LND takes as the limit of a payment (`max-cltv-expiry`), in blocks.
const MAX_CLTV_LIMIT: u32 = 2_016;

/// An LND node, reached by one connection that makes itself anew.
pub struct Lnd {
    gate: Arc<Gate>,
    hints: PrivateHints,
    capabilities: Capabilities,
    meeting: Mutex<Meeting>,
}

/// Whether it was looked what this LND is and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meeting {
    /// At start.
    Over,
    /// It was away at start.
    Due,
    /// It came, and this is wrong with it.
    Failed(LndProblems),
}

impl Lnd {
    /// Reads the credentials and prepares the connection; nothing is called yet.
    ///
    /// `auto_cancel_margin` is what LND is set to (`invoices.holdexpirydelta`), in
    /// blocks: it cannot be asked. Whoever is met first is the node from then on; any other
    /// is refused ([`LnError::IdentityChanged`]).
    ///
    /// # Errors
    /// Everything that is wrong with address and files, at once.
    pub fn new(access: LndAccess, auto_cancel_margin: u32) -> Result<Lnd, LndProblems> {
        Lnd::at(TEMPO, access, auto_cancel_margin)
    }

    fn at(tempo: Tempo, access: LndAccess, auto_cancel_margin: u32) -> Result<Lnd, LndProblems> {
        let problems = access.problems();
        if !problems.is_empty() {
            return Err(LndProblems(problems));
        }
        let alone = |problem| LndProblems(vec![problem]);
        if access.read().map_err(alone)?.can_do_too_much {
            tracing::warn!(
                "the macaroon allows more than the escrow needs; whoever steals it takes \
                 everything: make a small one with `{BAKE}`"
            );
        }
        let line = Line::new(access, tempo).map_err(alone)?;
        Ok(Lnd {
            gate: Arc::new(Gate::new(line)),
            hints: PrivateHints::default(),
            capabilities: Capabilities {
                hold_cltv_delta: HOLD_CLTV_DELTA,
                auto_cancel_margin,
                max_cltv_limit: MAX_CLTV_LIMIT,
                simulated: false,
            },
            meeting: Mutex::new(Meeting::Over),
        })
    }

    /// Lets no other node answer than this one, for when it cannot be met at start.
    ///
    /// Until it was met and found fit, [`LightningBackend::info`] tells why it is not, so
    /// that nothing new is taken on; what is open is worked on as far as it allows.
    pub fn expect(&self, identity: LightningIdentity) {
        self.gate.expect(identity);
        self.set_meeting(Meeting::Due);
    }

    fn meeting(&self) -> Meeting {
        let meeting = self.meeting.lock();
        meeting.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_meeting(&self, meeting: Meeting) {
        *self.meeting.lock().unwrap_or_else(PoisonError::into_inner) = meeting;
    }

    /// The introduction that could not be had at start; problems are told once, and
    /// looked for again each time until they are mended.
    async fn meets_late(&self, before: &Meeting) -> LnResult<NodeInfo> {
        match self.introduce().await {
            Ok(info) => {
                tracing::info!(
                    version = info.version,
                    "LND is back and allows all it has to"
                );
                self.set_meeting(Meeting::Over);
                Ok(info)
            }
            Err(LndRefusal::Lightning(why)) => Err(why),
            Err(LndRefusal::Problems(problems)) => {
                let failed = Meeting::Failed(problems.clone());
                if failed != *before {
                    tracing::error!(%problems, "LND is back; nothing new is taken on");
                    self.set_meeting(failed);
                }
                Err(LnError::Unavailable(problems.in_one_line()))
            }
        }
    }

    /// Meets the node, and looks whether it is new enough and allows all that the escrow
    /// does.
    ///
    /// # Errors
    /// [`LndRefusal::Problems`] are for the operator; with the others it may be worth
    /// while to wait.
    pub async fn introduce(&self) -> Result<NodeInfo, LndRefusal> {
        let line = match self.gate.active_line().await {
            Ok(line) => line,
            Err(LnError::Auth(why)) => return Err(LndProblems(vec![why]).into()),
            Err(other) => return Err(other.into()),
        };
        let met = self.gate.info().await;
        let (mut problems, mut missing) = (Vec::new(), Vec::new());
        match &met {
            Ok(info) => problems.extend(version::problem(&info.version)),
            Err(LnError::Auth(why)) if why.contains("permission denied") => {
                missing.push("/lnrpc.Lightning/GetInfo");
            }
            Err(LnError::Auth(why)) => return Err(LndProblems(vec![unaccepted(why)]).into()),
            Err(other) => return Err(other.clone().into()),
        }
        missing.extend(permissions::missing(line).await?);
        if !missing.is_empty() {
            // The operator mends it by putting another one in its place.
            line.reread_macaroon();
            problems.push(not_allowed(&missing));
        }
        if problems.is_empty() {
            Ok(met?)
        } else {
            Err(LndProblems(problems).into())
        }
    }
}

/// What the operator has to mend before LND can be used, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LndProblems(Vec<String>);

impl LndProblems {
    fn in_one_line(&self) -> String {
        self.0.join("; ")
    }
}

impl fmt::Display for LndProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LND cannot be used:")?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for LndProblems {}

/// Why an LND was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LndRefusal {
    /// The operator has to mend something.
    #[error(transparent)]
    Problems(#[from] LndProblems),
    /// It did not answer, is not ready, or is another node.
    #[error(transparent)]
    Lightning(#[from] LnError),
}

fn unaccepted(why: &str) -> String {
    format!(
        "its credentials are not accepted ({why}): a macaroon belongs to one node; make one \
         there with `{BAKE}`"
    )
}

fn not_allowed(missing: &[&str]) -> String {
    format!(
        "the macaroon does not allow {}: make one that does with `{BAKE}`",
        missing.join(", ")
    )
}

#[async_trait]
impl LightningBackend for Lnd {
    fn kind(&self) -> BackendKind {
        BackendKind::Lnd
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn info(&self) -> LnResult<NodeInfo> {
        match self.meeting() {
            Meeting::Over => self.gate.info().await,
            meeting @ (Meeting::Due | Meeting::Failed(_)) => self.meets_late(&meeting).await,
        }
    }

    async fn liquidity(&self) -> LnResult<Liquidity> {
        let line = self.gate.pass().await?;
        let mut client = line.lightning();
        let answer = limited(
            line.tempo.answer,
            client.channel_balance(ChannelBalanceRequest {}),
        )
        .await?;
        let balance = answer.into_inner();
        let msat = |amount: Option<Amount>| Msat(amount.map_or(0, |amount| amount.msat));
        Ok(Liquidity {
            outbound: msat(balance.local_balance),
            inbound: msat(balance.remote_balance),
            held_in: msat(balance.unsettled_local_balance),
            held_out: msat(balance.unsettled_remote_balance),
        })
    }

    async fn create_hold(&self, request: &HoldRequest) -> LnResult<HoldSnapshot> {
        let private = request.private_hints || self.hints.are_needed(&self.gate).await;
        holds::create(&self.gate, request, private).await
    }

    async fn lookup_hold(&self, hash: PaymentHash) -> LnResult<Option<HoldSnapshot>> {
        holds::lookup(&self.gate, hash).await
    }

    fn watch_hold(&self, hash: PaymentHash) -> BoxStream<'static, HoldSnapshot> {
        holds::watch(self.gate.clone(), hash)
    }

    async fn settle_hold(&self, preimage: &Preimage) -> LnResult<SettleOutcome> {
        holds::settle(&self.gate, preimage).await
    }

    async fn cancel_hold(&self, hash: PaymentHash) -> LnResult<CancelOutcome> {
        holds::cancel(&self.gate, hash).await
    }

    async fn start_payment(&self, request: &PayRequest) -> LnResult<StartPayment> {
        payments::start(&self.gate, request).await
    }

    async fn lookup_payment(&self, hash: PaymentHash) -> LnResult<PaymentState> {
        payments::lookup(&self.gate, hash).await
    }

    fn watch_payment(&self, hash: PaymentHash) -> BoxStream<'static, PaymentState> {
        payments::watch(self.gate.clone(), hash)
    }

    async fn lost_payment(&self, hash: PaymentHash) -> LnResult<Option<LostPayment>> {
        lost::look(&self.gate, hash).await
    }

    async fn list_payments_since(&self, index: u64, max: u32) -> LnResult<Vec<PaymentRecord>> {
        payments::since(&self.gate, index, max).await
    }

    fn watch_blocks(&self) -> BoxStream<'static, u32> {
        stream::unfold((self.gate.clone(), None), |(gate, last)| async move {
            loop {
                if last.is_some() {
                    sleep(gate.tempo().height).await;
                }
                let height = gate.info().await.ok()?.block_height;
                if last != Some(height) {
                    return Some((height, (gate, Some(height))));
                }
            }
        })
        .boxed()
    }
}

/// LND has said something that it must not say.
fn contract(why: impl fmt::Display) -> LnError {
    LnError::Contract(why.to_string())
}
