//! The sandbox as a neighbour of the escrow.
#![expect(clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod faults;
mod memory;
mod payees;
mod stories;
mod world;

use std::sync::Arc;
use std::time::Duration;

use escrow_core::{Msat, UnixTime};
use escrow_lightning::backend::{HoldRequest, PayRequest};
use escrow_lightning::sandbox::{Clock, CreateInvoice, Setup};
use escrow_lightning::{Preimage, Sandbox};

pub(crate) const START: UnixTime = UnixTime(1_700_000_000);

pub(crate) fn setup() -> Setup {
    Setup::from_seed([3; 32])
}

pub(crate) fn standing_clock() -> Clock {
    Arc::new(|| START)
}

pub(crate) fn in_memory() -> Sandbox {
    Sandbox::in_memory(&setup(), standing_clock())
}

pub(crate) fn hold_request(preimage: &Preimage) -> HoldRequest {
    HoldRequest {
        hash: preimage.hash(),
        amount: Msat(10_000_000),
        memo: "order 1".into(),
        expires_at: START.plus(900),
        cltv_delta: 144,
        private_hints: false,
    }
}

pub(crate) fn invoice(wallet: &str, msat: u64) -> CreateInvoice {
    CreateInvoice {
        wallet: wallet.into(),
        amount: Some(Msat(msat)),
        memo: String::new(),
        expiry_secs: 3_600,
        cltv_delta: 80,
    }
}

pub(crate) fn pay_request(bolt11: String, msat: u64) -> PayRequest {
    PayRequest {
        bolt11,
        amount: Msat(msat),
        fee_limit: Msat(100_000),
        cltv_limit: 1_008,
        max_parts: 16,
        timeout: Duration::from_secs(60),
    }
}
