//! What can go wrong for a trader.

use std::time::Duration;

use escrow_core::wire::CantDo;

/// Why a trader did not get what he wanted. Names him, what he waited for and
/// what came instead.
#[derive(Debug, thiserror::Error)]
pub enum TraderError {
    /// Nobody answers at the relay's address.
    #[error("{who} cannot reach {url}: {why}")]
    NoConnection {
        /// The trader.
        who: String,
        /// Where the relay should be.
        url: String,
        /// What the network says.
        why: String,
    },
    /// The connection ended.
    #[error("{who} lost the connection while waiting for {wanted}: {why}")]
    Lost {
        /// The trader.
        who: String,
        /// What he waited for.
        wanted: String,
        /// How it ended.
        why: String,
    },
    /// It did not come in time.
    #[error("{who} waited {after:?} for {wanted}; {instead}")]
    Silence {
        /// The trader.
        who: String,
        /// What he waited for.
        wanted: String,
        /// How long.
        after: Duration,
        /// What he heard in its place.
        instead: String,
    },
    /// Something else came.
    #[error("{who} expected {wanted} and got {came}")]
    Unexpected {
        /// The trader.
        who: String,
        /// What should have come.
        wanted: String,
        /// What came.
        came: String,
    },
    /// The relay did not take the event: `OK false`.
    #[error("the relay refuses {wanted} of {who}: {why}")]
    NotTaken {
        /// The trader.
        who: String,
        /// What he sent.
        wanted: String,
        /// The text of the refusal.
        why: String,
    },
    /// The node refuses with a `cant-do`.
    #[error("the node refuses {wanted} of {who}: {}", reason.as_str())]
    CantDo {
        /// The trader.
        who: String,
        /// What he asked for.
        wanted: String,
        /// The node's reason.
        reason: CantDo,
    },
    /// An envelope cannot be made, or one of the node cannot be opened.
    #[error("{who} cannot read or write an envelope: {why}")]
    Envelope {
        /// The trader.
        who: String,
        /// What is wrong with it.
        why: String,
    },
    /// A wallet of the sandbox did not do its part.
    #[error("the wallet of {who} does not {wanted}: {why}")]
    Wallet {
        /// Name of the wallet.
        who: String,
        /// What it should have done.
        wanted: String,
        /// What it says.
        why: String,
    },
}
