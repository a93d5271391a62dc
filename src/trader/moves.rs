//! The moves of a trade, each with the answer that it must get.

use escrow_core::amount::{Fiat, Sats};
use escrow_core::time::UnixTime;
use escrow_core::wire::{Action, OrderKind, Payload, SmallOrder, Status};
use uuid::Uuid;

use super::{Answered, Ask, Trade, Trader, TraderError};

/// What a maker puts into the book.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Which side he is on.
    pub kind: OrderKind,
    /// What he wants for what.
    pub price: Asking,
    /// In which currency.
    pub fiat_code: String,
    /// How it is paid, separated by commas.
    pub payment_method: String,
}

/// What a maker wants for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// So many sats for so much fiat.
    Fixed {
        /// The bare sats.
        sats: Sats,
        /// What they cost.
        fiat: Fiat,
    },
    /// As many sats as the market gives for it.
    Market {
        /// What they cost.
        fiat: Fiat,
        /// Percent that the sats are fewer.
        premium: i64,
    },
    /// The same for any amount between two.
    Range {
        /// The lowest amount.
        min: Fiat,
        /// The highest.
        max: Fiat,
        /// Percent that the sats are fewer.
        premium: i64,
    },
}

impl Trader {
    /// Puts an order into the book, and notes its id in the trade.
    pub async fn offers(
        &mut self,
        trade: &mut Trade,
        offer: &Offer,
    ) -> Result<Answered, TraderError> {
        self.offers_until(trade, offer, None).await
    }

    /// The same for an order that leaves the book at a moment of its maker's
    /// choice.
    pub async fn offers_until(
        &mut self,
        trade: &mut Trade,
        offer: &Offer,
        expires_at: Option<UnixTime>,
    ) -> Result<Answered, TraderError> {
        let order = SmallOrder {
            expires_at: expires_at.map(|at| whole(at.0)),
            ..offer.small_order()
        };
        let ask = Ask::about(Action::NewOrder, None)
            .with_index()
            .with(Payload::Order(order));
        let answered = self.asks(trade, ask, Action::NewOrder).await?;
        trade.order = answered.heard.message.id;
        Ok(answered)
    }

    /// Takes a sell order, or a part of a range, without an invoice; asked for
    /// one in return.
    pub async fn takes_sell(
        &mut self,
        trade: &mut Trade,
        order: Uuid,
        part: Option<Fiat>,
    ) -> Result<Answered, TraderError> {
        trade.order = Some(order);
        let ask = Ask::about(Action::TakeSell, Some(order)).with_index();
        let ask = ask.of_range(part);
        self.asks(trade, ask, Action::AddInvoice).await
    }

    /// Takes a buy order, or a part of a range; gets the hold invoice in return.
    pub async fn takes_buy(
        &mut self,
        trade: &mut Trade,
        order: Uuid,
        part: Option<Fiat>,
    ) -> Result<Answered, TraderError> {
        trade.order = Some(order);
        let ask = Ask::about(Action::TakeBuy, Some(order)).with_index();
        let ask = ask.of_range(part);
        self.asks(trade, ask, Action::PayInvoice).await
    }

    /// Says where he is paid. The answer depends on whether the seller has
    /// paid already.
    pub async fn adds_invoice(
        &mut self,
        trade: &Trade,
        bolt11: &str,
        wanted: Action,
    ) -> Result<Answered, TraderError> {
        let ask = Ask::about(Action::AddInvoice, trade.order).with(Payload::PaymentRequest(
            None,
            bolt11.to_owned(),
            None,
        ));
        self.asks(trade, ask, wanted).await
    }

    /// Says that the fiat is sent.
    pub async fn sends_fiat(&mut self, trade: &Trade) -> Result<Answered, TraderError> {
        let ask = Ask::about(Action::FiatSent, trade.order);
        self.asks(trade, ask, Action::FiatSentOk).await
    }

    /// Gives the sats to the buyer, and names the trade under which the rest of
    /// a range goes on.
    pub async fn releases(
        &mut self,
        trade: &Trade,
        next: Option<&Trade>,
    ) -> Result<Answered, TraderError> {
        let ask = Ask::about(Action::Release, trade.order).naming(next);
        self.asks(trade, ask, Action::HoldInvoicePaymentSettled)
            .await
    }

    /// Takes his pending order out of the book.
    pub async fn cancels(&mut self, trade: &Trade) -> Result<Answered, TraderError> {
        let ask = Ask::about(Action::Cancel, trade.order);
        self.asks(trade, ask, Action::Canceled).await
    }

    /// Rates the other side with one to five stars.
    pub async fn rates(&mut self, trade: &Trade, stars: u8) -> Result<Answered, TraderError> {
        let ask = Ask::about(Action::RateUser, trade.order).with(Payload::RatingUser(stars));
        self.asks(trade, ask, Action::RateReceived).await
    }
}

impl Offer {
    /// The offer as a message carries it.
    #[must_use]
    pub fn small_order(&self) -> SmallOrder {
        let order = SmallOrder {
            kind: Some(self.kind),
            status: Some(Status::Pending),
            fiat_code: self.fiat_code.clone(),
            payment_method: self.payment_method.clone(),
            ..SmallOrder::default()
        };
        match self.price {
            Asking::Fixed { sats, fiat } => SmallOrder {
                amount: whole(sats.0),
                fiat_amount: whole(fiat.0),
                ..order
            },
            Asking::Market { fiat, premium } => SmallOrder {
                fiat_amount: whole(fiat.0),
                premium,
                ..order
            },
            Asking::Range { min, max, premium } => SmallOrder {
                min_amount: Some(whole(min.0)),
                max_amount: Some(whole(max.0)),
                premium,
                ..order
            },
        }
    }
}

/// The wire counts in signed numbers.
fn whole(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}
