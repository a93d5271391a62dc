//! A player in one trade, who takes no message out of its place.

use escrow_core::amount::{Fiat, Sats};
use escrow_core::time::UnixTime;
use escrow_core::wire::{Action, BookStatus, CantDo, OrderKind, Payload};
use nostr::event::Event;
use uuid::Uuid;

use super::deal::{Player, Scene, Terms, Witness, buyers, sellers};
use super::{Answered, Ask, Asking, Heard, Offer, Trade, Trader, TraderError, Wallet};

/// A player in one trade.
pub(crate) struct Seat<'a> {
    pub(super) player: &'a mut Player,
    pub(super) trade: Trade,
    /// How many letters of the trade were read, each in its place.
    read: u64,
}

impl<'a> Seat<'a> {
    pub(crate) async fn new(player: &'a mut Player) -> Result<Seat<'a>, TraderError> {
        let trade = player.trader.new_trade().await?;
        Ok(Seat::at(player, trade))
    }

    /// A player in a trade that he listens to already, and whose letters he
    /// has not read.
    pub(crate) fn at(player: &'a mut Player, trade: Trade) -> Seat<'a> {
        Seat {
            player,
            trade,
            read: 0,
        }
    }

    /// A fresh trade for the rest of a range.
    pub(crate) async fn prepares_the_next(&mut self) -> Result<Trade, TraderError> {
        self.player.trader.new_trade().await
    }

    /// Hears that the rest of a range is on offer under this key. The message
    /// echoes the release if it was the maker who released (rule N8).
    pub(crate) async fn inherits(
        &mut self,
        witness: &mut dyn Witness,
    ) -> Result<Heard, TraderError> {
        let heard = self.player.trader.next_letter(&self.trade).await?;
        self.is_next(&heard)?;
        if heard.message.action != Action::NewOrder || heard.message.request_id.is_none() {
            return Err(self.wrong("the rest of the range", &heard));
        }
        self.trade.order = heard.message.id;
        let who = self.player.trader.name();
        witness.sees(Scene::Heard { who, heard: &heard });
        Ok(heard)
    }

    pub(crate) async fn offers(
        &mut self,
        kind: OrderKind,
        terms: &Terms,
        witness: &mut dyn Witness,
    ) -> Result<Uuid, TraderError> {
        self.offers_until(None, kind, terms, witness).await
    }

    /// Makes an offer that is good until a moment of the maker's choice.
    pub(crate) async fn offers_until(
        &mut self,
        expires_at: Option<UnixTime>,
        kind: OrderKind,
        terms: &Terms,
        witness: &mut dyn Witness,
    ) -> Result<Uuid, TraderError> {
        let price = Asking::Fixed {
            sats: terms.sats,
            fiat: Fiat(10),
        };
        let offer = Offer {
            kind,
            price,
            fiat_code: "USD".into(),
            payment_method: "cash,bank".into(),
        };
        self.offers_so(&offer, expires_at, witness).await
    }

    /// Makes any offer.
    pub(crate) async fn offers_so(
        &mut self,
        offer: &Offer,
        expires_at: Option<UnixTime>,
        witness: &mut dyn Witness,
    ) -> Result<Uuid, TraderError> {
        let trader = &mut self.player.trader;
        let made = trader
            .offers_until(&mut self.trade, offer, expires_at)
            .await?;
        let sats = match offer.price {
            Asking::Fixed { sats, .. } => sats,
            Asking::Market { .. } | Asking::Range { .. } => Sats(0),
        };
        self.amount_is(&made.heard, sats)?;
        self.asked(Action::NewOrder, &made, witness)?;
        let Some(order) = self.trade.order else {
            return Err(self.wrong("an order id", &made.heard));
        };
        Ok(order)
    }

    /// Looks an order up in the book, if the terms want it.
    pub(crate) async fn finds(
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

    /// Waits until the book shows an order so.
    pub(crate) async fn sees(
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

    /// All revisions of an order that came from the book.
    pub(crate) fn revisions(&self, order: Uuid) -> &[Event] {
        self.player.trader.book().revisions(order)
    }

    /// The newest of them.
    pub(crate) fn newest_revision(&self, order: Uuid) -> Option<&Event> {
        let revisions = self.revisions(order).iter();
        revisions.max_by_key(|event| event.created_at)
    }

    /// Takes a sell order, or a part of a range; the invoice comes later.
    pub(crate) async fn takes_sell(
        &mut self,
        order: Uuid,
        part: Option<Fiat>,
        terms: &Terms,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        let trader = &mut self.player.trader;
        let answer = trader.takes_sell(&mut self.trade, order, part).await?;
        self.amount_is(&answer.heard, buyers(terms))?;
        self.asked(Action::TakeSell, &answer, witness)
    }

    /// Takes a buy order, and returns what there is to pay.
    pub(crate) async fn takes_buy(
        &mut self,
        order: Uuid,
        part: Option<Fiat>,
        witness: &mut dyn Witness,
    ) -> Result<Heard, TraderError> {
        let trader = &mut self.player.trader;
        let answer = trader.takes_buy(&mut self.trade, order, part).await?;
        self.asked(Action::TakeBuy, &answer, witness)?;
        Ok(answer.heard)
    }

    pub(crate) async fn adds_invoice(
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
    pub(crate) async fn pays(
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

    /// Says that the fiat is sent; the answer names the seller.
    pub(crate) async fn sends_fiat(
        &mut self,
        seller: &Seat<'_>,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        let sent = self.player.trader.sends_fiat(&self.trade).await?;
        self.peer_is(&sent.heard, seller)?;
        self.asked(Action::FiatSent, &sent, witness)
    }

    pub(crate) async fn releases(
        &mut self,
        next: Option<&Trade>,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        let released = self.player.trader.releases(&self.trade, next).await?;
        self.asked(Action::Release, &released, witness)
    }

    /// Asks for anything, and must be answered so.
    pub(crate) async fn asks(
        &mut self,
        ask: Ask,
        wanted: Action,
        witness: &mut dyn Witness,
    ) -> Result<Heard, TraderError> {
        let action = ask.action;
        let answered = self.player.trader.asks(&self.trade, ask, wanted).await?;
        self.asked(action, &answered, witness)?;
        Ok(answered.heard)
    }

    /// Sends a request and waits for the relay's `OK` only.
    pub(crate) async fn posts(&mut self, action: Action) -> Result<(), TraderError> {
        let ask = Ask::about(action, self.trade.order);
        let trader = &mut self.player.trader;
        let event = trader.wrap(&self.trade, &ask, None)?;
        let verdict = trader.publish(&event).await?;
        if verdict.taken {
            return Ok(());
        }
        Err(TraderError::NotTaken {
            who: trader.name().to_owned(),
            wanted: action.as_str().to_owned(),
            why: verdict.text,
        })
    }

    /// Asks to cancel, and must be answered so.
    pub(crate) async fn cancels(
        &mut self,
        wanted: Action,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        let ask = Ask::about(Action::Cancel, self.trade.order);
        self.asks(ask, wanted, witness).await?;
        Ok(())
    }

    /// Asks for what must be refused for this reason.
    pub(crate) async fn is_refused(
        &mut self,
        action: Action,
        reason: CantDo,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        let ask = Ask::about(action, self.trade.order);
        self.asks_in_vain(ask, reason, witness).await
    }

    /// The same for any request.
    pub(crate) async fn asks_in_vain(
        &mut self,
        ask: Ask,
        reason: CantDo,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        let action = ask.action;
        let answered = self.player.trader.request(&self.trade, ask).await?;
        if answered.heard.refusal() != Some(reason) {
            let wanted = format!("a refusal for {}", reason.as_str());
            return Err(self.wrong(&wanted, &answered.heard));
        }
        self.asked(action, &answered, witness)
    }

    pub(crate) async fn rates(
        &mut self,
        stars: u8,
        witness: &mut dyn Witness,
    ) -> Result<(), TraderError> {
        let rated = self.player.trader.rates(&self.trade, stars).await?;
        self.asked(Action::RateUser, &rated, witness)
    }

    pub(crate) async fn hears(
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

    pub(crate) fn name(&self) -> &str {
        self.player.trader.name()
    }

    /// The trade as he knows it.
    pub(crate) fn trade(&self) -> &Trade {
        &self.trade
    }

    /// The trader, for what is not part of the trade.
    pub(crate) fn trader(&mut self) -> &mut Trader {
        &mut self.player.trader
    }

    /// Goes on with another wallet, for instance in a sandbox that was opened
    /// anew.
    pub(crate) fn takes_wallet(&mut self, wallet: Wallet) {
        self.player.wallet = wallet;
    }

    /// Connects to the relay anew.
    pub(crate) async fn comes_back(&mut self, url: &str) -> Result<(), TraderError> {
        self.player.trader.rejoin(url).await
    }

    /// Hangs up, to [come back](Seat::comes_back) later.
    pub(crate) async fn goes_away(&mut self) {
        self.player.trader.hang_up().await;
    }

    /// Reads as many letters as there are actions, some of which were stored
    /// while he was away: relays show these the newest first, so they are put
    /// into the order of their stamps, as clients do.
    pub(crate) async fn finds_in_the_mail(
        &mut self,
        actions: &[Action],
        witness: &mut dyn Witness,
    ) -> Result<Vec<Heard>, TraderError> {
        let mut mail = Vec::new();
        for _ in actions {
            mail.push(self.player.trader.next_letter(&self.trade).await?);
            self.read += 1;
        }
        mail.sort_by_key(|heard| heard.event.created_at);
        for (heard, action) in mail.iter().zip(actions) {
            if heard.message.action != *action {
                return Err(self.wrong(action.as_str(), heard));
            }
            let who = self.player.trader.name();
            witness.sees(Scene::Heard { who, heard });
        }
        Ok(mail)
    }

    /// Ends the trade; nothing more may have been said in it.
    pub(crate) async fn leaves(mut self) -> Result<(), TraderError> {
        self.ends_trade().await
    }

    /// The same, and goes on in another trade that he listens to already.
    pub(crate) async fn turns_to(&mut self, next: Trade) -> Result<(), TraderError> {
        self.ends_trade().await?;
        (self.trade, self.read) = (next, 0);
        Ok(())
    }

    async fn ends_trade(&mut self) -> Result<(), TraderError> {
        let trader = &mut self.player.trader;
        if let Some(stray) = trader.unread(&self.trade).next() {
            return Err(TraderError::Unexpected {
                who: trader.name().to_owned(),
                wanted: "no more messages".to_owned(),
                came: stray.json.clone(),
            });
        }
        trader.forget(&self.trade).await
    }

    pub(super) fn amount_is(&self, heard: &Heard, sats: Sats) -> Result<(), TraderError> {
        let told = heard
            .order()
            .and_then(|order| u64::try_from(order.amount).ok());
        if told == Some(sats.0) {
            return Ok(());
        }
        Err(self.wrong(&format!("an order of {sats}"), heard))
    }

    pub(super) fn peer_is(&self, heard: &Heard, peer: &Seat<'_>) -> Result<(), TraderError> {
        let key = peer.trade.keys.public_key().to_hex();
        match &heard.message.payload {
            Some(Payload::Peer(told)) if told.pubkey == key => Ok(()),
            _ => Err(self.wrong("the trade key of the other side", heard)),
        }
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

    /// A letter that came out of turn is a failure, although it was found.
    fn is_next(&mut self, heard: &Heard) -> Result<(), TraderError> {
        self.read += 1;
        if heard.place == self.read {
            return Ok(());
        }
        let place = format!("{} as letter {}", heard.message.action.as_str(), self.read);
        Err(self.wrong(&place, heard))
    }

    fn wrong(&self, wanted: &str, heard: &Heard) -> TraderError {
        TraderError::Unexpected {
            who: self.player.trader.name().to_owned(),
            wanted: wanted.to_owned(),
            came: format!("letter {}: {}", heard.place, heard.json),
        }
    }
}
