//! Simulated Lightning: a node, wallets, a chain, and money that is not real.
//!
//! [`World`] is the pure part: a state machine that is told the time, does
//! what an LND node would do, and never loses a millisat. [`Sandbox`] is the
//! shell around it: clock, durable log, streams and faults, and the
//! [`LightningBackend`](crate::LightningBackend) that the escrow sees.

mod acts;
mod clockwork;
mod desk;
mod faults;
mod holds;
mod journal;
mod mishaps;
mod node;
mod payees;
mod payments;
mod pen;
mod shell;
mod wallets;
mod watchers;
mod world;

pub use acts::{
    Act, AnswerHeld, Behave, CancelHold, ChangeChannels, Command, CreateHold, CreateInvoice,
    FailPayments, ForgetPayments, Fund, LosePayments, Mine, Peers, SettleHold, StartPaying, Tick,
    WalletPays,
};
pub use desk::{Clock, OpenError};
pub use faults::{Fault, FaultAction, Op};
pub use holds::HoldRefusal;
pub use journal::{Damaged, FileJournal, Journal, MemoryJournal};
pub use payees::Behaviour;
pub use shell::Sandbox;
pub use wallets::{PayRefusal, WalletError, WalletPayment};
pub use world::{Applied, Change, DEFAULT_WALLET, Setup, World, WorldState};
