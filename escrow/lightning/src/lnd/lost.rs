//! Payments that LND has recorded as sent and never sent.
//!
//! LND writes a part down and then hands it to a channel. If it dies in between, the
//! part stays in flight in its books for ever: no restart mends it, the same hash is
//! refused, and the payee never gets anything.

use std::collections::HashSet;

use escrow_core::PaymentHash;

use super::fault::limited;
use super::gate::Gate;
use super::payments;
use super::rpc::lnrpc::htlc_attempt::HtlcStatus;
use super::rpc::lnrpc::payment::PaymentStatus;
use super::rpc::lnrpc::{Channel, ListChannelsRequest, Payment};
use crate::backend::{LnResult, LostPayment};

/// Looks whether the channels that were to carry a payment know of it.
pub(super) async fn look(gate: &Gate, hash: PaymentHash) -> LnResult<Option<LostPayment>> {
    let line = gate.pass().await?;
    // The payment first: a part that ends between the two answers is then still in the
    // older one, and the channels no longer hold it. So the caller asks again later.
    let Some(payment) = payments::told_of(line, hash).await? else {
        return Ok(None);
    };
    let mut client = line.lightning();
    let answer = limited(
        line.tempo.answer,
        client.list_channels(ListChannelsRequest {}),
    )
    .await?;
    Ok(judge(&payment, &answer.into_inner().channels, hash))
}

fn judge(payment: &Payment, channels: &[Channel], hash: PaymentHash) -> Option<LostPayment> {
    match payment.status() {
        PaymentStatus::InFlight | PaymentStatus::Initiated => {}
        PaymentStatus::Unknown | PaymentStatus::Succeeded | PaymentStatus::Failed => return None,
    }
    let mut pending = channels.iter().flat_map(|channel| &channel.pending_htlcs);
    if pending.any(|htlc| htlc.hash_lock == hash.0) {
        return None;
    }
    let usable = channels.iter().filter(|channel| channel.active);
    let usable: HashSet<_> = usable.map(|channel| channel.chan_id).collect();
    let mut locked_until = None;
    let parts = payment.htlcs.iter();
    for part in parts.filter(|part| part.status() == HtlcStatus::InFlight) {
        let route = part.route.as_ref()?;
        let first = route.hops.first()?;
        if !usable.contains(&first.chan_id) {
            return None;
        }
        locked_until = locked_until.max(Some(route.total_time_lock));
    }
    locked_until.map(|locked_until| LostPayment { locked_until })
}

#[cfg(test)]
mod tests {
    use super::super::rpc::lnrpc::{Hop, Htlc, HtlcAttempt, Route};
    use super::*;

    const HASH: PaymentHash = PaymentHash([4; 32]);

    fn part(chan_id: u64, total_time_lock: u32, status: HtlcStatus) -> HtlcAttempt {
        HtlcAttempt {
            status: status.into(),
            route: Some(Route {
                total_time_lock,
                hops: vec![Hop { chan_id }, Hop { chan_id: 99 }],
            }),
            attempt_id: 1,
        }
    }

    fn payment(parts: Vec<HtlcAttempt>) -> Payment {
        let mut payment = Payment {
            htlcs: parts,
            ..Payment::default()
        };
        payment.set_status(PaymentStatus::InFlight);
        payment
    }

    fn channel(chan_id: u64, active: bool, holds: Option<PaymentHash>) -> Channel {
        let pending = holds.map(|hash| Htlc {
            hash_lock: hash.0.to_vec(),
            ..Htlc::default()
        });
        Channel {
            active,
            chan_id,
            pending_htlcs: pending.into_iter().collect(),
            ..Channel::default()
        }
    }

    fn two_parts() -> Payment {
        payment(vec![
            part(1, 950, HtlcStatus::InFlight),
            part(2, 960, HtlcStatus::InFlight),
            part(3, 999, HtlcStatus::Failed),
        ])
    }

    #[test]
    fn a_payment_is_lost_when_its_open_channels_do_not_hold_it() {
        let other = Some(PaymentHash([5; 32]));
        let channels = [channel(1, true, other), channel(2, true, None)];
        let lost = LostPayment { locked_until: 960 };
        assert_eq!(judge(&two_parts(), &channels, HASH), Some(lost));
    }

    #[test]
    fn a_payment_is_not_lost_while_there_is_any_doubt() {
        let good = [channel(1, true, None), channel(2, true, None)];
        let held = [channel(1, true, Some(HASH)), channel(2, true, None)];
        let offline = [channel(1, true, None), channel(2, false, None)];
        let closed = [channel(1, true, None)];
        for channels in [&held[..], &offline[..], &closed[..], &[]] {
            assert_eq!(judge(&two_parts(), channels, HASH), None, "{channels:?}");
        }
        for parts in [vec![], vec![part(1, 950, HtlcStatus::Succeeded)]] {
            assert_eq!(judge(&payment(parts), &good, HASH), None);
        }
        let mut ended = two_parts();
        ended.set_status(PaymentStatus::Failed);
        assert_eq!(judge(&ended, &good, HASH), None);
    }
}
