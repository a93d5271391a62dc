//! What can be done to a [`World`]: each act is a small struct with its own
//! answer, and all of them together are the [`Command`]s of the log.

use escrow_core::{Msat, PaymentHash, Sats, UnixTime};
use serde::{Deserialize, Serialize};

use super::holds::HoldRefusal;
use super::payees::Behaviour;
use super::pen::Secret;
use super::wallets::{PayRefusal, WalletError, WalletPayment};
use super::world::World;
use crate::backend::{
    CancelOutcome, HoldRequest, HoldSnapshot, PayRequest, Preimage, SettleOutcome, StartPayment,
};

/// Something that can be done to a world.
pub trait Act: Clone + Into<Command> {
    /// What the doer is told.
    type Reply;

    /// Does it, at the world's own time. Called by [`World::apply`] only.
    fn act(self, world: &mut World) -> Self::Reply;
}

/// Lets time pass and does nothing else.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tick;

/// The node opens a hold invoice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateHold {
    pub(super) hash: PaymentHash,
    pub(super) amount: Msat,
    pub(super) memo: String,
    pub(super) expires_at: UnixTime,
    pub(super) cltv_delta: u32,
}

/// The node takes the money of an accepted hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SettleHold {
    pub(super) preimage: Secret,
}

/// The node gives the money of a hold back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CancelHold {
    /// Which hold.
    pub hash: PaymentHash,
}

/// The node starts a payment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartPaying {
    pub(super) bolt11: String,
    pub(super) amount: Msat,
    pub(super) fee_limit: Msat,
    pub(super) cltv_limit: u32,
}

/// Gives simulated money to a wallet, which is made if it is new.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fund {
    /// 1 to 32 of `a-z`, `0-9`, `-`, `_`.
    pub wallet: String,
    /// How much.
    pub amount: Sats,
}

/// A wallet writes an invoice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreateInvoice {
    /// Who is to be paid.
    pub wallet: String,
    /// How much; none = the payer chooses.
    pub amount: Option<Msat>,
    /// Shown to the payer after the word SANDBOX.
    pub memo: String,
    /// How long it can be paid, in seconds.
    pub expiry_secs: u64,
    /// The final CLTV delta it asks for, in blocks.
    pub cltv_delta: u32,
}

/// A wallet pays an invoice of the node or of another wallet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WalletPays {
    /// Who pays.
    pub wallet: String,
    /// What is paid.
    pub bolt11: String,
    /// The whole sum; none = what the invoice asks for.
    pub total: Option<Msat>,
    /// Send only this part of the sum; none = all of it at once.
    pub part: Option<Msat>,
}

impl WalletPays {
    /// A wallet pays what the invoice asks for, at once.
    #[must_use]
    pub fn exactly(wallet: &str, bolt11: &str) -> Self {
        WalletPays {
            wallet: wallet.into(),
            bolt11: bolt11.into(),
            total: None,
            part: None,
        }
    }
}

/// Blocks are found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mine {
    /// How many; more than 100,000 count as that.
    pub blocks: u32,
}

/// The node's next payments find no route.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailPayments {
    /// How many, in place of what was said before.
    pub count: u32,
}

/// The node's next payments are noted and never leave: in flight for ever, as
/// when a node dies between noting an attempt and sending it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LosePayments {
    /// How many, in place of what was said before.
    pub count: u32,
}

/// The node gets other channels, and finds out which payments never left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeChannels;

/// The node's peers come or go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peers {
    /// While they are not, nothing can be sent.
    pub are_online: bool,
}

/// The operator prunes payments that have ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForgetPayments {
    /// Keep those that succeeded.
    pub failed_only: bool,
}

/// A wallet treats payments of the node otherwise from this moment on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Behave {
    /// Whose wallet.
    pub wallet: String,
    /// How.
    pub behaviour: Behaviour,
}

/// A wallet answers a payment that it holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnswerHeld {
    /// Which payment.
    pub hash: PaymentHash,
    /// Whether it takes the money or refuses it.
    pub takes: bool,
}

impl From<&HoldRequest> for CreateHold {
    fn from(request: &HoldRequest) -> Self {
        CreateHold {
            hash: request.hash,
            amount: request.amount,
            memo: request.memo.clone(),
            expires_at: request.expires_at,
            cltv_delta: request.cltv_delta,
        }
    }
}

impl From<&Preimage> for SettleHold {
    fn from(preimage: &Preimage) -> Self {
        SettleHold {
            preimage: Secret(*preimage.expose()),
        }
    }
}

impl From<&PayRequest> for StartPaying {
    fn from(request: &PayRequest) -> Self {
        StartPaying {
            bolt11: request.bolt11.clone(),
            amount: request.amount,
            fee_limit: request.fee_limit,
            cltv_limit: request.cltv_limit,
        }
    }
}

macro_rules! acts {
    ($($act:ident, $reply:ty, |$self_:ident, $world:ident| $body:expr;)*) => {
        /// Every act, as it is written to the log and done again from there.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub enum Command {
            $(#[doc = concat!("See [`", stringify!($act), "`].")] $act($act),)*
        }

        impl Act for Command {
            type Reply = ();

            fn act(self, world: &mut World) {
                match self {
                    $(Command::$act(act) => drop(act.act(world)),)*
                }
            }
        }

        $(
            impl From<$act> for Command {
                fn from(act: $act) -> Self {
                    Command::$act(act)
                }
            }

            impl Act for $act {
                type Reply = $reply;

                fn act(self, $world: &mut World) -> $reply {
                    let $self_ = self;
                    $body
                }
            }
        )*
    };
}

acts! {
    Tick, (), |_tick, _world| ();
    CreateHold, Result<HoldSnapshot, HoldRefusal>, |act, world| world.create_hold(&act);
    SettleHold, SettleOutcome, |act, world| world.settle_hold(&act.preimage);
    CancelHold, CancelOutcome, |act, world| world.cancel_hold(act.hash);
    StartPaying, StartPayment, |act, world| world.start_paying(&act);
    Fund, Result<Msat, WalletError>, |act, world| world.fund(&act.wallet, act.amount);
    CreateInvoice, Result<String, WalletError>, |act, world| world.create_invoice(&act);
    WalletPays, Result<WalletPayment, PayRefusal>, |act, world| world.wallet_pays(&act);
    Mine, u32, |act, world| world.mine(act.blocks);
    FailPayments, (), |act, world| world.fail_payments(act.count);
    LosePayments, (), |act, world| world.lose_payments(act.count);
    ChangeChannels, u32, |_change, world| world.change_channels();
    Peers, (), |act, world| world.peers(act.are_online);
    ForgetPayments, u32, |act, world| world.forget_payments(act.failed_only);
    Behave, Result<(), WalletError>, |act, world| world.behave(&act.wallet, act.behaviour);
    AnswerHeld, Result<(), PayRefusal>, |act, world| world.answer_held(&act);
}
