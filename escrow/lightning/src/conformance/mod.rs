//! One suite for every backend, so that the simulated node cannot drift away
//! from the real one.
//!
//! A test makes a [`Harness`] around the backend and runs each of [`cases`]
//! against a fresh one, or against one that is used on and on: no case counts
//! on an empty node.

mod holds;
mod payments;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use escrow_core::{Msat, PaymentHash, UnixTime};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};

use crate::backend::{
    HoldRequest, HoldSnapshot, LightningBackend, LnError, LnResult, PayRequest, Preimage,
};

/// A backend to be tested, with a payer and a payee around it.
#[async_trait]
pub trait Harness: Send + Sync {
    /// The backend under test.
    fn backend(&self) -> Arc<dyn LightningBackend>;

    /// The time by the backend's clock.
    fn now(&self) -> UnixTime;

    /// A preimage that was never used before.
    fn fresh_preimage(&mut self) -> Preimage;

    /// The payer sends `part` of `total` to an invoice of the node. Returns
    /// when the node holds it or the payer knows that it was refused.
    async fn payer_sends(&mut self, bolt11: &str, part: Msat, total: Msat) -> Sent;

    /// What the payer can spend.
    async fn payer_balance(&mut self) -> Msat;

    /// The payee writes an invoice that lives so long.
    async fn payee_invoice(&mut self, amount: Option<Msat>, life: Duration) -> String;

    /// What the payee can spend.
    async fn payee_balance(&mut self) -> Msat;

    /// Blocks are found; returns when the backend knows them.
    async fn mine(&mut self, blocks: u32);

    /// Lets so much time pass by the backend's clock.
    async fn pass(&mut self, time: Duration);

    /// Stops the node and starts it again; returns when it is ready.
    async fn restart(&mut self);
}

/// What became of a payer's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The node holds it.
    Held,
    /// It went back.
    Refused,
}

/// One thing that every backend must do.
pub struct Case {
    /// What is proved.
    pub name: &'static str,
    /// What the harness must be able to do for it.
    pub needs: Needs,
    run: for<'a> fn(&'a mut dyn Harness) -> BoxFuture<'a, Verdict>,
}

/// What a case needs beyond calls; where time cannot be sped up, cases that
/// need much of it may be left to a longer run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// [`Harness::pass`].
    Time,
    /// [`Harness::restart`].
    Restart,
}

/// Why a backend fell short.
#[derive(Debug)]
pub struct Failure(String);

/// How a case ended.
pub type Verdict = Result<(), Failure>;

impl Case {
    /// Runs the case against the backend in `harness`.
    pub async fn run(&self, harness: &mut dyn Harness) -> Verdict {
        (self.run)(harness).await
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<LnError> for Failure {
    fn from(error: LnError) -> Self {
        Failure(format!("a call failed: {error}"))
    }
}

/// Every case of the suite.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = holds::cases();
    cases.extend(payments::cases());
    cases
}

/// A hold with its secret.
struct Opened {
    preimage: Preimage,
    hold: HoldSnapshot,
}

/// What the cases ask for, unless they try something else.
const AMOUNT: Msat = Msat(50_000_000);
const CLTV_DELTA: u32 = 144;

/// Terms of a hold that lives ten minutes.
fn terms(harness: &dyn Harness, hash: PaymentHash) -> HoldRequest {
    HoldRequest {
        hash,
        amount: AMOUNT,
        memo: "conformance".into(),
        expires_at: harness.now().plus(600),
        cltv_delta: CLTV_DELTA,
        private_hints: false,
    }
}

async fn open(harness: &mut dyn Harness) -> Result<Opened, Failure> {
    let preimage = harness.fresh_preimage();
    let request = terms(harness, preimage.hash());
    let hold = harness.backend().create_hold(&request).await?;
    Ok(Opened { preimage, hold })
}

/// Opens a hold and has it paid.
async fn accepted(harness: &mut dyn Harness) -> Result<Opened, Failure> {
    let opened = open(harness).await?;
    let sent = harness
        .payer_sends(&opened.hold.bolt11, AMOUNT, AMOUNT)
        .await;
    same("the payer's money", sent, Sent::Held)?;
    Ok(opened)
}

async fn look(harness: &dyn Harness, hash: PaymentHash) -> Result<HoldSnapshot, Failure> {
    let found = harness.backend().lookup_hold(hash).await?;
    found.ok_or_else(|| Failure(format!("hold {hash} is not found")))
}

/// A payment of an invoice with room for fees and blocks.
fn payment(bolt11: &str, amount: Msat) -> PayRequest {
    PayRequest {
        bolt11: bolt11.into(),
        amount,
        fee_limit: Msat(amount.0 / 50 + 10_000),
        cltv_limit: 1_008,
        max_parts: 16,
        timeout: Duration::from_secs(30),
    }
}

/// The next news of a stream, none if it ended; silence is a failure.
async fn next<T>(stream: &mut BoxStream<'static, T>) -> Result<Option<T>, Failure> {
    tokio::time::timeout(Duration::from_secs(30), stream.next())
        .await
        .map_err(|_| Failure("a stream stayed silent for 30 seconds".into()))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "values are written where they are compared"
)]
fn same<T: PartialEq + fmt::Debug>(what: &str, got: T, want: T) -> Verdict {
    if got == want {
        Ok(())
    } else {
        Err(Failure(format!("{what}: got {got:?}, expected {want:?}")))
    }
}

fn holds_true(what: &str, truth: bool) -> Verdict {
    if truth {
        Ok(())
    } else {
        Err(Failure(format!("not so: {what}")))
    }
}

fn contract<T: fmt::Debug>(what: &str, answer: LnResult<T>) -> Verdict {
    match answer {
        Err(LnError::Contract(_)) => Ok(()),
        other => Err(Failure(format!(
            "{what}: got {other:?}, expected a broken contract"
        ))),
    }
}
