//! Whole trades between two traders, as the flows of the protocol have them.
//!
//! Every message must come in its place: an answer first, then the pushes,
//! each with the amount that its reader pays or gets, and nothing between.

use escrow_core::amount::{Fiat, Sats};
use escrow_core::wire::{Action, BookStatus, OrderKind};
use uuid::Uuid;

use super::seat::Seat;
use super::{Answered, Heard, Trade, Trader, TraderError, Wallet};

/// A trader and his wallet.
pub struct Player {
    /// Who talks.
    pub trader: Trader,
    /// Who pays and is paid.
    pub wallet: Wallet,
}

/// What two traders agree on.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The bare sats.
    pub sats: Sats,
    /// What each side pays to the node.
    pub fee: Sats,
    /// Whether the taker looks the order up in the book and both watch it.
    pub by_the_book: bool,
}

/// Something that happened in a trade.
#[derive(Clone, Copy, Debug)]
pub enum Scene<'a> {
    /// A trader asked the node and got his answer.
    Asked {
        /// Who.
        who: &'a str,
        /// What he asked for.
        action: Action,
        /// What the node said.
        answered: &'a Answered,
    },
    /// The node told a trader something that he had not asked for.
    Heard {
        /// Who.
        who: &'a str,
        /// What he heard.
        heard: &'a Heard,
    },
    /// A wallet paid the hold invoice.
    Paid {
        /// Whose.
        who: &'a str,
        /// How much.
        sats: Sats,
    },
    /// The book shows the order so.
    Book {
        /// Who saw it.
        who: &'a str,
        /// How it stands.
        status: BookStatus,
    },
}

/// Somebody who looks on.
pub trait Witness: Send {
    /// Something happened.
    fn sees(&mut self, scene: Scene<'_>);
}

/// The maker sells, the taker buys.
pub async fn sell(
    maker: &mut Player,
    taker: &mut Player,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<Uuid, TraderError> {
    let (mut seller, mut buyer) = (Seat::new(maker).await?, Seat::new(taker).await?);
    let order = strike(&mut seller, &mut buyer, terms, witness).await?;
    fund(&mut seller, &mut buyer, terms, witness).await?;
    ends(seller, buyer, terms, witness).await?;
    Ok(order)
}

/// The maker buys, the taker sells.
pub async fn buy(
    maker: &mut Player,
    taker: &mut Player,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<Uuid, TraderError> {
    let (mut buyer, mut seller) = (Seat::new(maker).await?, Seat::new(taker).await?);
    let order = buyer.offers(OrderKind::Buy, terms, witness).await?;
    seller.finds(order, terms, witness).await?;

    take_buy(&mut buyer, &mut seller, order, terms, witness).await?;
    ends(seller, buyer, terms, witness).await?;
    Ok(order)
}

/// The seller takes an offer of the buyer's, who gives his invoice when the
/// sats are locked: then the trade is active.
pub(crate) async fn take_buy(
    buyer: &mut Seat<'_>,
    seller: &mut Seat<'_>,
    order: Uuid,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    let request = seller.takes_buy(order, None, witness).await?;
    buyer.hears(Action::WaitingSellerToPay, witness).await?;
    seller.pays(&request, terms, witness).await?;

    let wanted = buyer.hears(Action::AddInvoice, witness).await?;
    buyer.amount_is(&wanted, buyers(terms))?;
    buyer.hears(Action::AddInvoice, witness).await?;
    seller.hears(Action::WaitingBuyerInvoice, witness).await?;
    let active = buyer
        .adds_invoice(terms, Action::HoldInvoicePaymentAccepted, witness)
        .await?;
    buyer.amount_is(&active, buyers(terms))?;
    let active = seller.hears(Action::BuyerTookOrder, witness).await?;
    seller.amount_is(&active, sellers(terms))
}

/// The seller offers and the buyer takes; he owes an invoice then.
pub(crate) async fn strike(
    seller: &mut Seat<'_>,
    buyer: &mut Seat<'_>,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<Uuid, TraderError> {
    let order = seller.offers(OrderKind::Sell, terms, witness).await?;
    take(seller, buyer, (order, None), terms, witness).await?;
    Ok(order)
}

/// The buyer takes an offer of the seller's, or a part of a range.
pub(crate) async fn take(
    seller: &mut Seat<'_>,
    buyer: &mut Seat<'_>,
    (order, part): (Uuid, Option<Fiat>),
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    buyer.finds(order, terms, witness).await?;
    buyer.takes_sell(order, part, terms, witness).await?;
    seller.hears(Action::WaitingBuyerInvoice, witness).await?;
    Ok(())
}

/// From the buyer's invoice to the escrow: then the trade is active.
pub(crate) async fn fund(
    seller: &mut Seat<'_>,
    buyer: &mut Seat<'_>,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    buyer
        .adds_invoice(terms, Action::WaitingSellerToPay, witness)
        .await?;
    lock(seller, terms, witness).await?;
    let active = buyer
        .hears(Action::HoldInvoicePaymentAccepted, witness)
        .await?;
    buyer.amount_is(&active, buyers(terms))
}

/// The seller of a sell order is asked for the sats, and locks them.
pub(crate) async fn lock(
    seller: &mut Seat<'_>,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    seller.hears(Action::PayInvoice, witness).await?;
    let request = seller.hears(Action::PayInvoice, witness).await?;
    seller.pays(&request, terms, witness).await?;
    let active = seller.hears(Action::BuyerTookOrder, witness).await?;
    seller.amount_is(&active, sellers(terms))
}

/// The buyer says that he has sent the fiat, and the seller hears it.
pub(crate) async fn pay_fiat(
    seller: &mut Seat<'_>,
    buyer: &mut Seat<'_>,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    buyer.sends_fiat(seller, witness).await?;
    let told = seller.hears(Action::FiatSentOk, witness).await?;
    seller.peer_is(&told, buyer)
}

/// From the active trade to the ratings: the same whoever made the order.
pub(crate) async fn ends(
    mut seller: Seat<'_>,
    mut buyer: Seat<'_>,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    pay_fiat(&mut seller, &mut buyer, witness).await?;
    release(&mut seller, &mut buyer, None, witness).await?;
    part(seller, buyer, terms, witness).await
}

/// The seller releases, perhaps with a key for the rest of his range, and the
/// buyer is paid.
pub(crate) async fn release(
    seller: &mut Seat<'_>,
    buyer: &mut Seat<'_>,
    next: Option<&Trade>,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    seller.releases(next, witness).await?;
    seller.hears(Action::Rate, witness).await?;
    for news in [Action::Released, Action::PurchaseCompleted, Action::Rate] {
        buyer.hears(news, witness).await?;
    }
    Ok(())
}

/// Both rate each other and see the order done.
pub(crate) async fn part(
    mut seller: Seat<'_>,
    mut buyer: Seat<'_>,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    seller.rates(5, witness).await?;
    buyer.rates(4, witness).await?;
    for mut seat in [seller, buyer] {
        if let (true, Some(order)) = (terms.by_the_book, seat.trade.order) {
            seat.sees(order, BookStatus::Success, witness).await?;
        }
        seat.leaves().await?;
    }
    Ok(())
}

/// What the buyer is paid.
pub(crate) fn buyers(terms: &Terms) -> Sats {
    Sats(terms.sats.0.saturating_sub(terms.fee.0))
}

/// What the seller pays.
pub(crate) fn sellers(terms: &Terms) -> Sats {
    Sats(terms.sats.0.saturating_add(terms.fee.0))
}
