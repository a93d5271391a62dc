//! What buyers are owed and have not got yet, and what the house owes to the
//! development, for the operator (rules P10, J6).

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use escrow_core::PaymentHash;
use escrow_core::amount::Sats;
use escrow_core::decide::payout::is_in_doubt;
use escrow_core::order::OrderId;
use escrow_core::payout::{Attempt, AttemptState, Payee, Payout, PayoutState};
use escrow_core::time::UnixTime;
use escrow_engine::clock::{Clock, SystemClock};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::ledger::{StorageError, View, Views};

/// Where the [operator's door](crate::operator_door) lists them.
pub const PATH: &str = "/payouts";

/// A debt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpaidPayout {
    /// The order.
    pub order: OrderId,
    /// Whether it is the house's development fee, and not what the buyer gets.
    #[serde(default)]
    pub is_dev_fee: bool,
    /// What is owed.
    pub amount_sats: Sats,
    /// Seconds since the order came to wait for it.
    pub age_secs: u64,
    /// `wait-funds`, `ready`, `queued`, `resolving`, `paying`, `need-invoice` or
    /// `parked`.
    pub state: String,
    /// Counted tries with the present invoice or address.
    pub tries: u32,
    /// Why the last try failed, if one did.
    pub reason: Option<String>,
    /// Its last payment, if one was tried.
    #[serde(default)]
    pub payment: Option<PaymentHash>,
    /// What happens next, in plain words.
    pub next: String,
    /// What the operator can decide, if only he can.
    #[serde(default)]
    pub to_decide: Option<String>,
}

/// The payouts that are not paid, the oldest first.
///
/// # Errors
/// If the ledger cannot be read.
pub fn unpaid(view: &View, now: UnixTime) -> Result<Vec<UnpaidPayout>, StorageError> {
    let is_latched = view.latch()?.is_some();
    let tip_height = view.tip()?.map(|tip| tip.height);
    let mut list = Vec::new();
    for payout in view.living_payouts()? {
        let order = view.order(payout.order)?;
        let attempt = match (view.sent_attempt_of(payout.id)?, payout.invoice()) {
            (Some(sent), _) => Some(sent),
            (None, Some(invoice)) => view.attempt(invoice.hash)?,
            (None, None) => None,
        };
        let reason = attempt.as_ref().and_then(trouble);
        let doubt = attempt
            .as_ref()
            .filter(|attempt| is_in_doubt(&payout, attempt, now, tip_height));
        let has_ended = order.as_ref().is_none_or(|order| order.stage.is_terminal());
        list.push(UnpaidPayout {
            order: payout.order,
            is_dev_fee: payout.payee() == Payee::Development,
            amount_sats: payout.amount,
            age_secs: order.map_or(0, |order| now.secs_since(order.stage_since)),
            state: state_word(payout.state).into(),
            tries: payout.tries,
            reason,
            payment: attempt.as_ref().map(|attempt| attempt.hash),
            next: next_step(&payout, is_latched, now),
            to_decide: to_decide(&payout, has_ended, doubt),
        });
    }
    list.sort_by_key(|payout| std::cmp::Reverse(payout.age_secs));
    Ok(list)
}

/// What the operator's door says of them.
pub fn routes(views: Views) -> Router {
    Router::new().route(PATH, get(listed)).with_state(views)
}

async fn listed(
    State(views): State<Views>,
) -> Result<Json<Vec<UnpaidPayout>>, (StatusCode, String)> {
    let listing = tokio::task::spawn_blocking(move || unpaid(&views.view()?, SystemClock.now()));
    let failed = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why);
    let list = listing.await.map_err(|why| failed(why.to_string()))?;
    list.map(Json).map_err(|why| failed(why.to_string()))
}

fn state_word(state: PayoutState) -> &'static str {
    match state {
        PayoutState::WaitFunds => "wait-funds",
        PayoutState::Ready { .. } => "ready",
        PayoutState::Queued { .. } => "queued",
        PayoutState::Resolving { .. } => "resolving",
        PayoutState::Paying => "paying",
        PayoutState::NeedInvoice { .. } => "need-invoice",
        PayoutState::Paid => "paid",
        PayoutState::Parked => "parked",
        PayoutState::WrittenOff => "written-off",
    }
}

/// What was the matter with the last try, if anything was.
fn trouble(attempt: &Attempt) -> Option<String> {
    match (attempt.state, attempt.missing) {
        (AttemptState::Failed { reason, .. }, _) => Some(format!("{reason:?}")),
        (AttemptState::Lost { .. }, _) => Some("Lost".into()),
        (AttemptState::Sent, Some(missing)) if missing.given_up => {
            Some("Lost, and given up by you".into())
        }
        (AttemptState::Sent, Some(missing)) if missing.told => Some(format!(
            "Lost, but locked until block {}",
            missing.locked_until
        )),
        (AttemptState::Sent | AttemptState::Succeeded { .. }, _) => None,
    }
}

fn next_step(payout: &Payout, is_latched: bool, now: UnixTime) -> String {
    match payout.state {
        PayoutState::Ready { .. } | PayoutState::Queued { .. } if is_latched => {
            "paid when the ledger is cleared: see `mostro-relay ledger status`".into()
        }
        PayoutState::WaitFunds => "paid when Lightning has settled the seller's hold".into(),
        PayoutState::Ready { not_before } => match not_before.secs_since(now) {
            0 => "tried as soon as Lightning is ready".into(),
            secs => format!("tried in {secs} s"),
        },
        PayoutState::Queued { .. } => "paid when fewer payments are on their way".into(),
        PayoutState::Resolving { .. } => "its address is asked for an invoice".into(),
        PayoutState::Paying => "Lightning is paying; it says how that ends".into(),
        PayoutState::NeedInvoice { again_at, .. } => format!(
            "the buyer must send another invoice; asked again in {} s",
            again_at.secs_since(now)
        ),
        PayoutState::Paid | PayoutState::WrittenOff => "nothing".into(),
        PayoutState::Parked => "the node does not pay it by itself any more".into(),
    }
}

fn to_decide(payout: &Payout, has_ended: bool, doubt: Option<&Attempt>) -> Option<String> {
    if payout.state == PayoutState::Parked {
        let order = payout.order.0;
        return Some(if has_ended {
            format!(
                "once it is settled otherwise: mostro-relay payouts write-off {order} --reason …"
            )
        } else {
            "pay it by hand; after the next start `mostro-relay ledger status` lists that \
             payment, to be adopted"
                .into()
        });
    }
    let hash = doubt?.hash;
    Some(format!(
        "no other invoice is taken while somebody may yet claim this payment; if you are sure \
         that nobody can: mostro-relay payouts give-up {hash} --reason …"
    ))
}

#[cfg(test)]
mod tests {
    use escrow_core::lightning::{Destination, PayoutInvoice};
    use escrow_core::payout::{Missing, PaymentFailure, PayoutId};
    use escrow_core::{Msat, PaymentHash};
    use storage::ledger::Ledger;
    use uuid::Uuid;

    use super::*;

    const NOW: UnixTime = UnixTime(1_000_000);

    fn payout(number: u8, state: PayoutState) -> Payout {
        let invoice = PayoutInvoice {
            bolt11: String::new(),
            hash: PaymentHash([number; 32]),
            payee: String::new(),
            amount: None,
            expires_at: NOW,
        };
        Payout {
            id: PayoutId(Uuid::from_u128(100)),
            order: OrderId(Uuid::from_u128(number.into())),
            amount: Sats(1_000),
            destination: Destination::Invoice(invoice),
            resolved: None,
            tries: 1,
            state,
        }
    }

    fn attempt(of: &Payout, state: AttemptState) -> Attempt {
        Attempt {
            hash: of.invoice().unwrap().hash,
            payout: of.id,
            order: of.order,
            bolt11: String::new(),
            amount: Msat(1_000_000),
            fee_limit: Msat(0),
            cltv_limit_blocks: 0,
            tries: 1,
            first_sent_at: NOW,
            missing: Some(Missing {
                since: NOW,
                locked_until: 200,
                told: true,
                given_up: false,
            }),
            unnamed: None,
            state,
        }
    }

    fn listed_alone(payout: &Payout, attempt: Option<AttemptState>) -> UnpaidPayout {
        let mut ledger = Ledger::in_memory();
        let mut page = ledger.page().unwrap();
        page.put_payout(payout).unwrap();
        if let Some(state) = attempt {
            page.put_attempt(&self::attempt(payout, state)).unwrap();
        }
        page.commit().unwrap();
        let view = ledger.views().view().unwrap();
        unpaid(&view, NOW).unwrap().remove(0)
    }

    #[test]
    fn p6b_p13_p14_the_operator_is_told_what_only_he_can_decide() {
        let failed = |reason| AttemptState::Failed {
            reason,
            at: NOW,
            tip_height: Some(100),
        };
        let waiting = PayoutState::Ready { not_before: NOW };
        let give_up = format!("payouts give-up {} --reason", PaymentHash([7; 32]));
        let write_off = format!("payouts write-off {} --reason", Uuid::from_u128(7));
        let table = [
            (
                PayoutState::Paying,
                Some(AttemptState::Sent),
                Some(&give_up),
            ),
            (waiting, Some(failed(PaymentFailure::Error)), Some(&give_up)),
            (waiting, Some(failed(PaymentFailure::NoRoute)), None),
            (waiting, None, None),
            (PayoutState::Parked, None, Some(&write_off)),
        ];
        for (state, attempt, command) in table {
            let listed = listed_alone(&payout(7, state), attempt);
            let told = listed.to_decide.unwrap_or_default();
            match command {
                Some(command) => assert!(told.contains(command), "{state:?}: {told}"),
                None => assert_eq!(told, "", "{state:?}"),
            }
            let hash = attempt.map(|_| PaymentHash([7; 32]));
            assert_eq!(listed.payment, hash, "{state:?}");
        }
    }
}
