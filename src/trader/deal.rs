//! Whole trades between two traders, as the flows of the protocol have them.
//!
//! Every message must come in its place: an answer first, then the pushes,
//! each with the amount that its reader pays or gets, and nothing between.

use escrow_core::amount::{Fiat, Sats};
use escrow_core::wire::{Action, BookStatus, OrderKind, Payload};
use uuid::Uuid;

use super::{Answered, Heard, Offer, Trade, Trader, TraderError, Wallet};

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
    let order = seller.offers(OrderKind::Sell, terms, witness).await?;
    buyer.finds(order, terms, witness).await?;

    let answer = buyer
        .player
        .trader
        .takes_sell(&mut buyer.trade, order)
        .await?;
    buyer.amount_is(&answer.heard, buyers(terms))?;
    buyer.asked(Action::TakeSell, &answer, witness)?;
    seller.hears(Action::WaitingBuyerInvoice, witness).await?;
    buyer
        .adds_invoice(terms, Action::WaitingSellerToPay, witness)
        .await?;
    seller.hears(Action::PayInvoice, witness).await?;
    let request = seller.hears(Action::PayInvoice, witness).await?;
    seller.pays(&request, terms, witness).await?;

    let active = seller.hears(Action::BuyerTookOrder, witness).await?;
    seller.amount_is(&active, sellers(terms))?;
    let active = buyer
        .hears(Action::HoldInvoicePaymentAccepted, witness)
        .await?;
    buyer.amount_is(&active, buyers(terms))?;
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

    let answer = seller
        .player
        .trader
        .takes_buy(&mut seller.trade, order)
        .await?;
    seller.asked(Action::TakeBuy, &answer, witness)?;
    buyer.hears(Action::WaitingSellerToPay, witness).await?;
    seller.pays(&answer.heard, terms, witness).await?;

    let wanted = buyer.hears(Action::AddInvoice, witness).await?;
    buyer.amount_is(&wanted, buyers(terms))?;
    buyer.hears(Action::AddInvoice, witness).await?;
    seller.hears(Action::WaitingBuyerInvoice, witness).await?;
    let active = buyer
        .adds_invoice(terms, Action::HoldInvoicePaymentAccepted, witness)
        .await?;
    buyer.amount_is(&active, buyers(terms))?;
    let active = seller.hears(Action::BuyerTookOrder, witness).await?;
    seller.amount_is(&active, sellers(terms))?;
    ends(seller, buyer, terms, witness).await?;
    Ok(order)
}

/// From the active trade to the ratings: the same whoever made the order.
async fn ends(
    mut seller: Seat<'_>,
    mut buyer: Seat<'_>,
    terms: &Terms,
    witness: &mut dyn Witness,
) -> Result<(), TraderError> {
    let sent = buyer.player.trader.sends_fiat(&buyer.trade).await?;
    buyer.peer_is(&sent.heard, &seller)?;
    buyer.asked(Action::FiatSent, &sent, witness)?;
    let told = seller.hears(Action::FiatSentOk, witness).await?;
    seller.peer_is(&told, &buyer)?;

    let released = seller.player.trader.releases(&seller.trade).await?;
    seller.asked(Action::Release, &released, witness)?;
    seller.hears(Action::Rate, witness).await?;
    buyer.hears(Action::Released, witness).await?;
    buyer.hears(Action::PurchaseCompleted, witness).await?;
    buyer.hears(Action::Rate, witness).await?;
    for (seat, stars) in [(&mut seller, 5), (&mut buyer, 4)] {
        let rated = seat.player.trader.rates(&seat.trade, stars).await?;
        seat.asked(Action::RateUser, &rated, witness)?;
    }
    for seat in [seller, buyer] {
        seat.leaves(terms, witness).await?;
    }
    Ok(())
}

/// What the buyer is paid.
fn buyers(terms: &Terms) -> Sats {
    Sats(terms.sats.0.saturating_sub(terms.fee.0))
}

/// What the seller pays.
fn sellers(terms: &Terms) -> Sats {
    Sats(terms.sats.0.saturating_add(terms.fee.0))
}

/// A player in one trade.
struct Seat<'a> {
    player: &'a mut Player,
    trade: Trade,
    /// How many letters of the trade were read, each in its place.
    read: u64,
}

impl<'a> Seat<'a> {
    async fn new(player: &'a mut Player) -> Result<Seat<'a>, TraderError> {
        let trade = player.trader.new_trade().await?;
        Ok(Seat {
            player,
            trade,
            read: 0,
        })
    }

    async fn offers(
        &mut self,
        kind: OrderKind,
        terms: &Terms,
        witness: &mut dyn Witness,
    ) -> Result<Uuid, TraderError> {
        let offer = Offer {
            kind,
            sats: terms.sats,
            fiat: Fiat(10),
            fiat_code: "USD".into(),
            payment_method: "cash,bank".into(),
        };
        let made = self.player.trader.offers(&mut self.trade, &offer).await?;
        self.amount_is(&made.heard, terms.sats)?;
        self.asked(Action::NewOrder, &made, witness)?;
        let Some(order) = self.trade.order else {
            return Err(self.wrong("an order id", &made.heard));
        };
        Ok(order)
    }

    /// Looks an order up in the book.
    async fn finds(
        &mut self,
        order: Uuid,
        terms: &Terms,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        if !terms.by_the_book {
            return Ok(());
        }
        self.sees(order, BookStatus::Pending, witness).await
    }

    async fn sees(
        &mut self,
        order: Uuid,
        status: BookStatus,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        self.player.trader.sees(order, status).await?;
        let who = self.player.trader.name();
        witness.sees(Scene::Book { who, status });
        Ok(())
    }

    async fn adds_invoice(
        &mut self,
        terms: &Terms,
        wanted: Action,
        witness: &mut dyn Witness,
    ) -> Result<Heard, TraderError> {
        let bolt11 = self.player.wallet.invoice(buyers(terms)).await?;
        let trader = &mut self.player.trader;
        let added = trader.adds_invoice(&self.trade, &bolt11, wanted).await?;
        self.asked(Action::AddInvoice, &added, witness)?;
        Ok(added.heard)
    }

    /// Pays the hold invoice of a payment request.
    async fn pays(
        &mut self,
        request: &Heard,
        terms: &Terms,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        self.amount_is(request, sellers(terms))?;
        let Some(Payload::PaymentRequest(_, bolt11, _)) = &request.message.payload else {
            return Err(self.wrong("a payment request", request));
        };
        self.player.wallet.pays(bolt11).await?;
        witness.sees(Scene::Paid {
            who: self.player.trader.name(),
            sats: sellers(terms),
        });
        Ok(())
    }

    async fn hears(
        &mut self,
        action: Action,
        witness: &mut dyn Witness,
    ) -> Result<Heard, TraderError> {
        let heard = self.player.trader.hears(&self.trade, action).await?;
        self.is_next(&heard)?;
        let who = self.player.trader.name();
        witness.sees(Scene::Heard { who, heard: &heard });
        Ok(heard)
    }

    fn asked(
        &mut self,
        action: Action,
        answered: &Answered,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        self.is_next(&answered.heard)?;
        let who = self.player.trader.name();
        witness.sees(Scene::Asked {
            who,
            action,
            answered,
        });
        Ok(())
    }

    /// Ends the trade; nothing more may have been said in it.
    async fn leaves(self, terms: &Terms, witness: &mut dyn Witness) -> Result<(), TraderError> {
        let Seat { player, trade, .. } = self;
        if let (true, Some(order)) = (terms.by_the_book, trade.order) {
            player.trader.sees(order, BookStatus::Success).await?;
            let who = player.trader.name();
            let status = BookStatus::Success;
            witness.sees(Scene::Book { who, status });
        }
        if let Some(stray) = player.trader.unread(&trade).next() {
            return Err(TraderError::Unexpected {
                who: player.trader.name().to_owned(),
                wanted: "no more messages".to_owned(),
                came: stray.json.clone(),
            });
        }
        player.trader.forget(&trade).await
    }

    /// A letter that came out of turn is a failure, although it was found.
    fn is_next(&mut self, heard: &Heard) -> Result<(), TraderError> {
        self.read += 1;
        if heard.place == self.read {
            return Ok(());
        }
        let place = format!("{} as letter {}", heard.message.action.as_str(), self.read);
        Err(self.wrong(&place, heard))
    }

    fn amount_is(&self, heard: &Heard, sats: Sats) -> Result<(), TraderError> {
        let told = heard
            .order()
            .and_then(|order| u64::try_from(order.amount).ok());
        if told == Some(sats.0) {
            return Ok(());
        }
        Err(self.wrong(&format!("an order of {sats}"), heard))
    }

    fn peer_is(&self, heard: &Heard, peer: &Seat<'_>) -> Result<(), TraderError> {
        let key = peer.trade.keys.public_key().to_hex();
        match &heard.message.payload {
            Some(Payload::Peer(told)) if told.pubkey == key => Ok(()),
            _ => Err(self.wrong("the trade key of the other side", heard)),
        }
    }

    fn wrong(&self, wanted: &str, heard: &Heard) -> TraderError {
        TraderError::Unexpected {
            who: self.player.trader.name().to_owned(),
            wanted: wanted.to_owned(),
            came: format!("letter {}: {}", heard.place, heard.json),
        }
    }
}
