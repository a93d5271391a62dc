//! How an order of the ledger looks in the public book.

use escrow_core::UnixTime;
use escrow_core::notice::Reputation;
use escrow_core::order::{Order, Side};
use escrow_core::party::Identity;
use escrow_core::stage::Stage;
use escrow_core::wire::{BookFiat, MakerRating, OrderEvent, OrderKind, Shown};
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
    let event = OrderEvent {
        id: order.id.0,
        kind: match order.offer.side {
            Side::Buy => OrderKind::Buy,
            Side::Sell => OrderKind::Sell,
        },
        fiat_code: &order.offer.fiat_code,
        shown,
        amount: order.offer.sats,
        fiat: BookFiat::Fixed(order.offer.fiat),
        payment_method: &order.offer.payment_method,
        premium: 0,
        network: &sign.network,
        created_at: order.offer.created_at,
        expires_at: order.offer.expires_at,
        instance: sign.instance.as_deref(),
    };
    Ok(event.tags())
}
