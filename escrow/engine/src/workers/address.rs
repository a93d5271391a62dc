//! Asks the address of one payout for an invoice.

use std::time::Duration;

use escrow_core::Destination;
use escrow_core::command::{AddressAnswer, Command};
use escrow_core::payout::{Payee, Payout, PayoutId, PayoutState};
use escrow_lightning::lnurl::Wanted;
use nostr::nips::nip19::ToBech32;
use tokio::sync::Notify;

use crate::workers::backoff::Backoff;
use crate::workers::switchboard::Switchboard;

/// Asks as long as the ledger says so. Nothing is with Lightning meanwhile,
/// and what the address answers is paid only by a decision (rules P2, P3), so
/// to be cut short here costs nothing.
pub(crate) async fn tend(board: Switchboard, id: PayoutId, poke: &Notify) {
    let mut backoff = Backoff::starting_at(Duration::from_secs(1));
    while let Some((payout, address)) = read(&board, id) {
        // An invoice that waits for Lightning would grow old.
        board.lightning_is_ready().await;
        board.unseen.is_empty().await;
        let answer = ask(&board, &payout, &address).await;
        let asked = Command::AddressAsked {
            payout: id,
            address,
            answer,
        };
        if !board.report(asked).await {
            backoff.wait(poke).await;
        }
    }
}

async fn ask(board: &Switchboard, payout: &Payout, address: &str) -> AddressAnswer {
    let Some(amount) = payout.amount.to_msat() else {
        return AddressAnswer::Refused;
    };
    let comment = comment(board, payout);
    let wanted = Wanted {
        amount,
        comment: comment.as_deref(),
        now: board.clock.now(),
    };
    match board.addresses.invoice(address, wanted).await {
        Ok(invoice) => AddressAnswer::Invoice(invoice),
        Err(why) => {
            let order = payout.order.0;
            let payee = payout.payee();
            tracing::warn!(%order, ?payee, %why, "the address of a payout gives no invoice");
            if why.is_ours() {
                AddressAnswer::Unasked
            } else {
                AddressAnswer::Refused
            }
        }
    }
}

/// Says to the development what it is paid for (rule J3); a buyer knows.
fn comment(board: &Switchboard, payout: &Payout) -> Option<String> {
    match payout.payee() {
        Payee::Buyer => None,
        Payee::Development => {
            let node = board
                .node
                .to_bech32()
                .unwrap_or_else(|never| match never {});
            let order = payout.order.0;
            Some(format!("mostro-dev-fee order={order} node={node}"))
        }
    }
}

/// The payout and its address, while that is to be asked.
fn read(board: &Switchboard, id: PayoutId) -> Option<(Payout, String)> {
    let payout = match board.views.view().and_then(|view| view.payout(id)) {
        Ok(payout) => payout?,
        Err(why) => {
            tracing::error!(%why, "a payout cannot be read; its address is asked after a restart");
            return None;
        }
    };
    let waits = matches!(payout.state, PayoutState::Resolving { .. });
    match &payout.destination {
        Destination::Address(address) if waits => {
            let address = address.clone();
            Some((payout, address))
        }
        Destination::Address(_) | Destination::Invoice(_) => None,
    }
}
