//! How an order of the ledger looks in the public book.

use escrow_core::notice::Reputation;
use escrow_core::order::{Order, Price, Side};
use escrow_core::party::Identity;
use escrow_core::stage::Stage;
use escrow_core::wire::{BookFiat, MakerRating, OrderEvent, OrderKind, Shown};
use escrow_core::{Sats, UnixTime};
use nostr::event::Tag;
use storage::ledger::{Page, StorageError};

use crate::desk::Desk;

/// The tags of an order's next revision.
pub(crate) fn tags(
    page: &Page<'_>,
    desk: &Desk,
    order: &Order,
    now: UnixTime,
) -> Result<Vec<Tag>, StorageError> {
    let maker = match order.maker.identity {
        Identity::Known(identity) => page.user(identity)?,
        Identity::FullPrivacy => None,
    };
    let reputation = Reputation::of(maker.as_ref(), now);
    let sign = &desk.stationery;
    let closed = now.plus(sign.closed_order_secs);
    let shown = match &order.stage {
        stage if stage.is_on_offer() => Shown::Pending {
            maker: MakerRating {
                days: reputation.operating_days,
                since: reputation.since,
                total_rating: reputation.rating,
                total_reviews: reputation.reviews.into(),
            },
            relays: &sign.relays,
            node: desk.keys.public_key(),
        },
        Stage::Success { .. } => Shown::Success(closed),
        Stage::Canceled { .. } | Stage::Expired => Shown::Canceled(closed),
        Stage::Pending
        | Stage::OpeningHold { .. }
        | Stage::WaitingInvoice { .. }
        | Stage::WaitingPayment { .. }
        | Stage::PaidWaitingInvoice { .. }
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. } => Shown::InProgress(closed),
    };
    let (amount, fiat) = amounts(order);
    let event = OrderEvent {
        id: order.id.0,
        kind: match order.offer.side {
            Side::Buy => OrderKind::Buy,
            Side::Sell => OrderKind::Sell,
        },
        fiat_code: &order.offer.fiat_code,
        shown,
        amount,
        fiat,
        payment_method: &order.offer.payment_method,
        premium: order.offer.premium().percent(),
        network: &sign.network,
        created_at: order.offer.created_at,
        expires_at: order.offer.expires_at,
        instance: sign.instance.as_deref(),
    };
    Ok(event.tags())
}

/// What the book names: on offer what can be chosen, then what was.
fn amounts(order: &Order) -> (Sats, BookFiat) {
    let taken = order.stage.take().filter(|_| !order.stage.is_on_offer());
    let amounts = taken.map(|take| take.amounts).or(order.offer.fixed());
    match (amounts, order.offer.price) {
        (Some(amounts), _) | (None, Price::Fixed(amounts)) => {
            (amounts.sats, BookFiat::Fixed(amounts.fiat))
        }
        (None, Price::Market { min, max, .. }) if min == max => (Sats(0), BookFiat::Fixed(max)),
        (None, Price::Market { min, max, .. }) => (Sats(0), BookFiat::Range(min, max)),
    }
}
