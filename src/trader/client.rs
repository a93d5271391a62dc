//! A trader with a connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use escrow_core::wire::dispute_event::DISPUTE;
use escrow_core::wire::order_event::ORDER;
use escrow_core::wire::rating_event::RATING;
use escrow_core::wire::seal::{DIRECT, GIFT_WRAP};
use escrow_core::wire::{Action, BookStatus, Message, Transport, read_message};
use nostr::event::{Event, EventId, Kind};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::message::RelayMessage;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

use super::book::tag;
use super::line::{Line, LineError};
use super::{Answered, Ask, Book, Heard, Persona, Signers, Trade, TraderError, Verdict};

/// Names of the subscriptions to the order book, and to reputations and disputes.
const BOOK: &str = "book";
const NOTICES: &str = "notices";

/// A trader with a connection to the relay.
pub struct Trader {
    persona: Persona,
    node: PublicKey,
    line: Line,
    last_index: u32,
    chance: ChaCha20Rng,
    trades: BTreeMap<u32, Followed>,
    seen: BTreeSet<EventId>,
    verdicts: BTreeMap<EventId, (bool, String, Instant)>,
    stored_ends: BTreeSet<String>,
    book: Book,
    watches_book: bool,
    notices: Vec<Event>,
    watches_notices: bool,
}

impl Trader {
    /// Connects a trader to the relay at a `ws://` address.
    pub async fn join(persona: Persona, url: &str, node: PublicKey) -> Result<Self, TraderError> {
        let line = call(&persona, url).await?;
        Ok(Trader {
            persona,
            node,
            line,
            last_index: 0,
            chance: ChaCha20Rng::from_os_rng(),
            trades: BTreeMap::new(),
            seen: BTreeSet::new(),
            verdicts: BTreeMap::new(),
            stored_ends: BTreeSet::new(),
            book: Book::default(),
            watches_book: false,
            notices: Vec::new(),
            watches_notices: false,
        })
    }

    /// Connects anew, for instance after the relay was started again, and asks
    /// for all letters of the trades that are followed; those read before do
    /// not come twice.
    pub async fn rejoin(&mut self, url: &str) -> Result<(), TraderError> {
        self.line = call(&self.persona, url).await?;
        let trades: Vec<_> = self
            .trades
            .iter()
            .map(|(index, followed)| (*index, followed.filter(self.node)))
            .collect();
        for (index, letters) in trades {
            self.subscribe(&letters_of(index), letters).await?;
        }
        if self.watches_book {
            self.watch_book().await?;
        }
        if self.watches_notices {
            self.watch_notices().await?;
        }
        Ok(())
    }

    /// The trader's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.persona.name
    }

    /// Lets the trades that he begins from here on travel so.
    pub fn speaks(&mut self, transport: Transport) {
        self.persona.transport = transport;
    }

    /// Begins a trade: takes the next index and listens to its key.
    pub async fn new_trade(&mut self) -> Result<Trade, TraderError> {
        self.follow(self.last_index + 1).await
    }

    /// Listens to the key of the trade with this index, and to nothing that
    /// was said to it before.
    pub async fn follow(&mut self, index: u32) -> Result<Trade, TraderError> {
        self.last_index = self.last_index.max(index);
        self.listen(index, self.persona.keys.trade(index)).await
    }

    /// Listens to a key that is no trade's, and writes with it: a solver's, or
    /// the node's own.
    pub async fn writes_as(&mut self, keys: Keys) -> Result<Trade, TraderError> {
        self.listen(0, keys).await
    }

    async fn listen(&mut self, index: u32, keys: Keys) -> Result<Trade, TraderError> {
        let transport = self.persona.transport;
        let followed = Followed::new(keys.clone(), transport);
        let filter = followed.filter(self.node).limit(0);
        self.trades.insert(index, followed);
        self.subscribe(&letters_of(index), filter).await?;
        Ok(Trade {
            index,
            keys,
            transport,
            order: None,
        })
    }

    /// Stops listening to a trade.
    pub async fn forget(&mut self, trade: &Trade) -> Result<(), TraderError> {
        self.trades.remove(&trade.index);
        if let Some(order) = trade.order {
            self.book.forget(order);
        }
        let ended = self.line.unsubscribe(&letters_of(trade.index)).await;
        ended.map_err(|why| self.line_failed(why, "the end of a subscription"))
    }

    /// Sends a request and waits for its answer, whatever it is, also a
    /// `cant-do`. Pushes that come meanwhile wait in the letters of the trade.
    pub async fn request(&mut self, trade: &Trade, ask: Ask) -> Result<Answered, TraderError> {
        let request_id = self.chance.next_u64();
        let event = self.wrap(trade, &ask, Some(request_id))?;
        let wanted = format!("the answer to {}", ask.action.as_str());
        let sent = Instant::now();
        let verdict = self.publish(&event).await?;
        if !verdict.taken {
            return Err(TraderError::NotTaken {
                who: self.persona.name.clone(),
                wanted: ask.action.as_str().to_owned(),
                why: verdict.text,
            });
        }
        // What is restored comes without a request id (rules part 11).
        let echo = Some(request_id).filter(|_| ask.action != Action::RestoreSession);
        let is_answer = |heard: &Heard| {
            let message = &heard.message;
            message.request_id == echo && (echo.is_some() || message.action == ask.action)
        };
        let heard = self.letter(trade, &wanted, is_answer).await?;
        Ok(Answered {
            ok_after: verdict.after,
            answered_after: heard.at.duration_since(sent),
            heard,
        })
    }

    /// As [`Trader::request`], for an answer of this action only.
    pub async fn asks(
        &mut self,
        trade: &Trade,
        ask: Ask,
        wanted: Action,
    ) -> Result<Answered, TraderError> {
        let asked = ask.action;
        let answered = self.request(trade, ask).await?;
        if let Some(reason) = answered.heard.refusal() {
            return Err(TraderError::CantDo {
                who: self.persona.name.clone(),
                wanted: asked.as_str().to_owned(),
                reason,
            });
        }
        self.must_be(&answered.heard, wanted)?;
        Ok(answered)
    }

    /// Waits for the next push of a trade, which must be of this action and
    /// carry no request id.
    pub async fn hears(&mut self, trade: &Trade, wanted: Action) -> Result<Heard, TraderError> {
        let heard = self.letter(trade, wanted.as_str(), |_| true).await?;
        self.must_be(&heard, wanted)?;
        match heard.message.request_id {
            None => Ok(heard),
            Some(_) => Err(self.unexpected(wanted.as_str(), &heard.json)),
        }
    }

    /// Waits for the next letter of a trade, whatever it says.
    pub async fn next_letter(&mut self, trade: &Trade) -> Result<Heard, TraderError> {
        self.letter(trade, "any message", |_| true).await
    }

    /// The letters of a trade that came and were not asked for yet.
    pub fn unread(&self, trade: &Trade) -> impl Iterator<Item = &Heard> {
        self.trades
            .get(&trade.index)
            .into_iter()
            .flat_map(|followed| &followed.letters)
    }

    /// Watches the order book, from the newest stored revision of each order on.
    pub async fn watch_book(&mut self) -> Result<(), TraderError> {
        self.watches_book = true;
        let orders = Filter::new().kind(Kind::from_u16(ORDER)).author(self.node);
        self.subscribe(BOOK, orders).await
    }

    /// The order book, as far as it was read.
    #[must_use]
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Waits until the book shows an order so.
    pub async fn sees(&mut self, order: Uuid, wanted: BookStatus) -> Result<(), TraderError> {
        let deadline = Instant::now() + self.persona.patience;
        while self.book.status(order) != Some(wanted) {
            let text = format!("the book to show {}", wanted.as_str());
            self.read(deadline, &text).await?;
        }
        Ok(())
    }

    /// Watches reputations (kind 38384) and disputes (kind 38386), from what is
    /// stored on.
    pub async fn watch_notices(&mut self) -> Result<(), TraderError> {
        self.watches_notices = true;
        let kinds = [RATING, DISPUTE].map(Kind::from_u16);
        let notices = Filter::new().kinds(kinds).author(self.node);
        self.subscribe(NOTICES, notices).await
    }

    /// The reputations and disputes that were read, in order of arrival.
    #[must_use]
    pub fn notices(&self) -> &[Event] {
        &self.notices
    }

    /// Waits until a reputation or dispute of this name says all of this, each
    /// a tag and its first value.
    pub async fn reads_notice(
        &mut self,
        name: &str,
        says: &[(&str, &str)],
    ) -> Result<Event, TraderError> {
        let deadline = Instant::now() + self.persona.patience;
        let text = format!("a notice of {name} that says {says:?}");
        let fits = |event: &Event| {
            let says_so = |(key, value): &(&str, &str)| tag(event, key) == Some(*value);
            tag(event, "d") == Some(name) && says.iter().all(says_so)
        };
        loop {
            if let Some(found) = self.notices.iter().find(|event| fits(event)) {
                return Ok(found.clone());
            }
            self.read(deadline, &text).await?;
        }
    }

    /// Puts a request into an envelope. A request id of `None` is none.
    pub fn wrap(
        &self,
        trade: &Trade,
        ask: &Ask,
        request_id: Option<u64>,
    ) -> Result<Event, TraderError> {
        let message = Message {
            wrapper: ask.wrapper(),
            version: trade.transport.version(),
            request_id,
            trade_index: ask.with_index.then_some(i64::from(trade.index)),
            id: ask.order,
            action: ask.action,
            payload: ask.payload.clone(),
        };
        self.wrap_json(trade, &message.to_json())
    }

    /// Puts any text into an envelope, also one that is no message.
    pub fn wrap_json(&self, trade: &Trade, json: &str) -> Result<Event, TraderError> {
        let identity = self.persona.keys.identity();
        let signers = Signers {
            trade: &trade.keys,
            identity: (!self.persona.full_privacy).then_some(&identity),
        };
        self.persona
            .envelope
            .wrap(json, trade.transport, signers, self.node)
            .map_err(|why| self.envelope_failed(why.to_string()))
    }

    /// Sends any event and waits for the relay's `OK`.
    pub async fn publish(&mut self, event: &Event) -> Result<Verdict, TraderError> {
        let sent = Instant::now();
        let deadline = sent + self.persona.patience;
        if let Err(why) = self.line.send_event(event).await {
            return Err(self.line_failed(why, "a message to leave"));
        }
        loop {
            if let Some((taken, text, at)) = self.verdicts.remove(&event.id) {
                let after = at.duration_since(sent);
                return Ok(Verdict { taken, text, after });
            }
            self.read(deadline, "the OK").await?;
        }
    }

    /// Ends the connection; [`Trader::rejoin`] opens another. A relay that is
    /// stopped does not have to wait for one who has hung up.
    pub async fn hang_up(&mut self) {
        self.line.close().await;
    }

    /// Takes the first letter of a trade that fits, waiting for it.
    async fn letter(
        &mut self,
        trade: &Trade,
        wanted: &str,
        fits: impl Fn(&Heard) -> bool,
    ) -> Result<Heard, TraderError> {
        let deadline = Instant::now() + self.persona.patience;
        loop {
            let followed = self.trades.get_mut(&trade.index);
            match followed.and_then(|followed| followed.remove(&fits)) {
                Some(heard) => return Ok(heard),
                None => self.read(deadline, wanted).await?,
            }
        }
    }

    async fn subscribe(&mut self, name: &str, filter: Filter) -> Result<(), TraderError> {
        self.stored_ends.remove(name);
        if let Err(why) = self.line.subscribe(name, filter).await {
            return Err(self.line_failed(why, "a subscription to leave"));
        }
        let deadline = Instant::now() + self.persona.patience;
        while !self.stored_ends.contains(name) {
            self.read(deadline, "the end of what is stored").await?;
        }
        Ok(())
    }

    /// Reads one message of the relay and puts it where it belongs.
    async fn read(&mut self, deadline: Instant, wanted: &str) -> Result<(), TraderError> {
        let message = match self.line.next(deadline).await {
            Ok(message) => message,
            Err(why) => return Err(self.line_failed(why, wanted)),
        };
        match message {
            RelayMessage::Event {
                subscription_id,
                event,
            } => self.take(subscription_id.as_str(), event.into_owned()),
            RelayMessage::Ok {
                event_id,
                status,
                message,
            } => {
                let verdict = (status, message.into_owned(), Instant::now());
                self.verdicts.insert(event_id, verdict);
                Ok(())
            }
            RelayMessage::EndOfStoredEvents(name) => {
                self.stored_ends.insert(name.to_string());
                Ok(())
            }
            RelayMessage::Notice(_)
            | RelayMessage::Closed { .. }
            | RelayMessage::Auth { .. }
            | RelayMessage::Count { .. }
            | RelayMessage::NegMsg { .. }
            | RelayMessage::NegErr { .. } => Err(self.unexpected(wanted, &message.as_json())),
        }
    }

    fn take(&mut self, subscription: &str, event: Event) -> Result<(), TraderError> {
        if subscription == BOOK {
            self.book.note(event);
            return Ok(());
        }
        if subscription == NOTICES {
            self.notices.push(event);
            return Ok(());
        }
        let index = subscription.parse().unwrap_or_default();
        let Some(followed) = self.trades.get_mut(&index) else {
            return Ok(());
        };
        if !self.seen.insert(event.id) {
            return Ok(());
        }
        let opened = self
            .persona
            .envelope
            .unwrap(&event, &followed.keys, self.node)
            .map_err(|why| why.to_string());
        let noted = opened.and_then(|json| followed.note(json, event));
        noted.map_err(|why| self.envelope_failed(why))
    }

    fn must_be(&self, heard: &Heard, wanted: Action) -> Result<(), TraderError> {
        if heard.message.action == wanted {
            Ok(())
        } else {
            Err(self.unexpected(wanted.as_str(), &heard.json))
        }
    }

    fn unexpected(&self, wanted: &str, came: &str) -> TraderError {
        TraderError::Unexpected {
            who: self.persona.name.clone(),
            wanted: wanted.to_owned(),
            came: came.to_owned(),
        }
    }

    fn envelope_failed(&self, why: String) -> TraderError {
        let who = self.persona.name.clone();
        TraderError::Envelope { who, why }
    }

    fn line_failed(&self, why: LineError, wanted: &str) -> TraderError {
        let who = self.persona.name.clone();
        let wanted = wanted.to_owned();
        match why {
            LineError::Broken(why) => TraderError::Lost { who, wanted, why },
            LineError::Late => TraderError::Silence {
                who,
                wanted,
                after: self.persona.patience,
                instead: self.what_waits(),
            },
        }
    }

    /// The unread letters, for whoever waits in vain.
    fn what_waits(&self) -> String {
        let letters = self.trades.values().flat_map(|followed| &followed.letters);
        let actions: Vec<_> = letters.map(|heard| heard.message.action.as_str()).collect();
        if actions.is_empty() {
            "nothing came".to_owned()
        } else {
            format!("what came: {}", actions.join(", "))
        }
    }
}

/// A trade that the trader listens to.
struct Followed {
    keys: Keys,
    transport: Transport,
    /// Not asked for yet.
    letters: VecDeque<Heard>,
    /// How many came in all.
    came: u64,
}

impl Followed {
    fn new(keys: Keys, transport: Transport) -> Followed {
        Followed {
            keys,
            transport,
            letters: VecDeque::new(),
            came: 0,
        }
    }

    /// What clients ask for: kind 14 by author, gift wraps by recipient only.
    fn filter(&self, node: PublicKey) -> Filter {
        let to_me = Filter::new().pubkey(self.keys.public_key());
        match self.transport {
            Transport::Direct => to_me.kind(Kind::from_u16(DIRECT)).author(node),
            Transport::GiftWrap => to_me.kind(Kind::from_u16(GIFT_WRAP)),
        }
    }

    fn note(&mut self, json: String, event: Event) -> Result<(), String> {
        let at = Instant::now();
        let message = read_message(&json).map_err(|why| why.fault.to_string())?;
        self.came += 1;
        self.letters.push_back(Heard {
            message,
            json,
            event,
            place: self.came,
            at,
        });
        Ok(())
    }

    /// Takes out the first letter that fits.
    fn remove(&mut self, fits: impl Fn(&Heard) -> bool) -> Option<Heard> {
        let at = self.letters.iter().position(fits)?;
        self.letters.remove(at)
    }
}

async fn call(persona: &Persona, url: &str) -> Result<Line, TraderError> {
    Line::open(url, persona.patience).await.map_err(|why| {
        let why = match why {
            LineError::Broken(why) => why,
            LineError::Late => "no answer".to_owned(),
        };
        TraderError::NoConnection {
            who: persona.name.clone(),
            url: url.to_owned(),
            why,
        }
    })
}

/// Name of the subscription to a trade's letters.
fn letters_of(index: u32) -> String {
    index.to_string()
}
