//! Looks up what a decision needs to know, through the open page, and asks
//! for the decision.
//!
//! Two takes of one order may wait in the same batch: the second is gathered
//! after the first was written into the page, so both cannot win.

mod court;
mod debts;

use escrow_core::command::{Ask, Command, GivenInvoice, NewOrder, Request};
use escrow_core::decide::{
    self, cancel, dispute, downtime, escrow_horizon, fiat_sent, hold_invoice, open, payout,
    payout_invoice, rate, release, resolve, take, timeouts, trade_pubkey,
};
use escrow_core::decision::{Alarm, Decision, Effect};
use escrow_core::dispute::{Dispute, DisputeId};
use escrow_core::facts::{
    CancelFacts, Capacity, DisputeFacts, FreshHold, HoldFacts, HorizonFacts, InvoiceFacts,
    Liquidity, Now, OpenFacts, PersonFacts, RateFacts, ReleaseFacts, RestFacts, TakeFacts,
    TimerFacts,
};
use escrow_core::hold::{Hold, HoldId};
use escrow_core::order::{Order, OrderId, Role};
use escrow_core::party::Identity;
use escrow_core::payout::{Payout, PayoutId};
use escrow_core::price::PriceAnswer;
use escrow_core::questions::Question;
use escrow_core::stage::Stage;
use escrow_core::time::UnixTime;
use escrow_core::timer::Timer;
use escrow_core::user::User;
use escrow_core::wire::CantDo;
use escrow_core::{PaymentHash, PayoutInvoice};
use storage::ledger::{Page, StorageError};

use crate::desk::Desk;
use crate::letter_times::LetterTimes;
use crate::questions;

/// A decision or a fair refusal; the outer error is the ledger's.
type Decided = Result<Result<Decision, CantDo>, StorageError>;

/// Looks up facts through the open page.
pub(crate) struct Gather<'a, 'p> {
    pub(crate) page: &'a Page<'p>,
    pub(crate) desk: &'a mut Desk,
    pub(crate) at: UnixTime,
    pub(crate) tip_height: Option<u32>,
    /// None if it was not measured.
    pub(crate) liquidity: Option<Liquidity>,
    pub(crate) letter_times: &'a LetterTimes,
}

impl Gather<'_, '_> {
    /// Decides a trader's request.
    pub(crate) fn request(&mut self, request: &Request) -> Decided {
        if request.ask.is_new_trade() && self.page.maintenance()?.is_some() {
            return Ok(Err(CantDo::MaintenanceMode));
        }
        match &request.ask {
            Ask::Refused(why) => Ok(Err(*why)),
            Ask::NewOrder(new) => self.open(request, new),
            Ask::Question(question) => self.answer(request, question),
            Ask::TakeDispute(dispute) => self.take_dispute(request, *dispute),
            Ask::Govern(govern) => self.govern(request, govern),
            Ask::TakeSell { .. }
            | Ask::TakeBuy { .. }
            | Ask::AddInvoice { .. }
            | Ask::FiatSent { .. }
            | Ask::Release { .. }
            | Ask::Cancel
            | Ask::Dispute
            | Ask::RateUser { .. }
            | Ask::AdminSettle { .. }
            | Ask::AdminCancel { .. }
            | Ask::TradePubkey => match self.order_of(request)? {
                Some(order) => self.about(&order, request),
                None => self.about_nothing(request),
            },
        }
    }

    fn order_of(&self, request: &Request) -> Result<Option<Order>, StorageError> {
        request.order.map_or(Ok(None), |id| self.page.order(id))
    }

    /// Even a take of an order that does not exist needs a good index (rule G12).
    fn about_nothing(&self, request: &Request) -> Decided {
        if matches!(request.ask, Ask::TakeSell { .. } | Ask::TakeBuy { .. }) {
            let identity = request.sender.identity;
            let person = self.person(identity, &self.orders_of(identity)?)?;
            if let Err(why) = decide::trade_index(request, &person) {
                return Ok(Err(why));
            }
        }
        Ok(Err(CantDo::NotFound))
    }

    fn about(&mut self, order: &Order, request: &Request) -> Decided {
        match &request.ask {
            Ask::TakeSell { payout, fiat } => {
                let facts = self.take_facts(request, Role::Buyer, payout.as_ref(), order)?;
                Ok(take::take_sell(
                    order,
                    request,
                    (payout.as_ref(), *fiat),
                    self.now(),
                    &facts,
                ))
            }
            Ask::TakeBuy { fiat } => {
                let facts = self.take_facts(request, Role::Seller, None, order)?;
                Ok(take::take_buy(order, request, *fiat, self.now(), &facts))
            }
            Ask::AddInvoice { payout } => {
                let facts = self.invoice_facts(order, payout)?;
                Ok(payout_invoice::add_invoice(
                    order,
                    request,
                    payout,
                    self.now(),
                    &facts,
                ))
            }
            Ask::FiatSent { next } => Ok(fiat_sent::fiat_sent(order, request, *next, self.now())),
            Ask::Release { next } => {
                let facts = ReleaseFacts {
                    payout: PayoutId(self.desk.entropy.uuid()),
                    hold: self.hold_of(order)?,
                };
                Ok(release::release(order, request, *next, self.now(), &facts))
            }
            Ask::Cancel => {
                let facts = CancelFacts {
                    hold: self.hold_of(order)?,
                };
                Ok(cancel::cancel(order, request, self.now(), &facts))
            }
            Ask::Dispute => {
                let facts = DisputeFacts {
                    dispute: self.fresh_dispute(),
                };
                Ok(dispute::dispute(order, request, self.now(), &facts))
            }
            Ask::RateUser { stars } => {
                let facts = RateFacts {
                    rated: self.counterpart(order, request)?,
                };
                Ok(rate::rate(order, request, *stars, self.now(), &facts))
            }
            Ask::TradePubkey => {
                let key = request.sender.trade_key;
                let is_in_use = self.page.trade_key_is_living(key)?;
                Ok(trade_pubkey::trade_pubkey(order, request, is_in_use))
            }
            Ask::AdminSettle { slashes } => {
                let facts = self.ruling_facts(order, request)?;
                let now = self.now();
                Ok(resolve::admin_settle(order, request, *slashes, now, &facts))
            }
            Ask::AdminCancel { slashes } => {
                let facts = self.ruling_facts(order, request)?;
                let now = self.now();
                Ok(resolve::admin_cancel(order, request, *slashes, now, &facts))
            }
            // Not about an order, or decided before it is looked up.
            Ask::NewOrder(_)
            | Ask::TakeDispute(_)
            | Ask::Govern(_)
            | Ask::Question(_)
            | Ask::Refused(_) => Ok(Err(CantDo::InvalidAction)),
        }
    }

    /// A question that came where no receipt is heard is answered with a commit.
    fn answer(&self, request: &Request, question: &Question) -> Decided {
        let most = self.desk.terms.max_orders_per_response;
        let answer = questions::answer(self.page, request, question, (most, self.at))?;
        Ok(answer.map(|letter| Decision {
            answer: Some(letter),
            ..Decision::default()
        }))
    }

    fn open(&mut self, request: &Request, new: &NewOrder) -> Decided {
        let identity = request.sender.identity;
        let orders = self.orders_of(identity)?;
        let facts = OpenFacts {
            person: self.person(identity, &orders)?,
            order: OrderId(self.desk.entropy.uuid()),
            pending_orders: self.pending_orders(identity, &orders)?,
            price: self.price(&new.fiat_code),
            capacity: self.capacity()?,
            invoice_hash_is_known: self.is_known(new.payout.as_ref(), None)?,
        };
        Ok(open::open(request, new, self.now(), &facts))
    }

    fn take_facts(
        &mut self,
        request: &Request,
        role: Role,
        given: Option<&GivenInvoice>,
        order: &Order,
    ) -> Result<TakeFacts, StorageError> {
        let identity = request.sender.identity;
        let orders = self.orders_of(identity)?;
        Ok(TakeFacts {
            person: self.person(identity, &orders)?,
            has_unfinished_take: orders.iter().any(|order| holds_up(order, identity, role)),
            capacity: self.capacity()?,
            hold: self.fresh_hold(),
            price: self.price(&order.offer.fiat_code),
            invoice_hash_is_known: self.is_known(given, Some(order.id))?,
        })
    }

    fn invoice_facts(
        &mut self,
        order: &Order,
        given: &GivenInvoice,
    ) -> Result<InvoiceFacts, StorageError> {
        Ok(InvoiceFacts {
            capacity: self.capacity()?,
            hold: self.fresh_hold(),
            invoice_hash_is_known: self.is_known(Some(given), Some(order.id))?,
            payout: self.owed_to(order, payee(given))?,
        })
    }

    /// Decides what Lightning or a timer reports.
    pub(crate) fn report(&mut self, command: &Command) -> Result<Decision, StorageError> {
        match command {
            Command::HoldOpened { hash, bolt11 } => self.hold_report(*hash, |this, hold, order| {
                let taker = this.taker(order)?;
                Ok(hold_invoice::hold_opened(
                    order,
                    hold,
                    taker.as_ref(),
                    bolt11,
                    this.now(),
                ))
            }),
            Command::HoldFailed { hash } => self.hold_report(*hash, |this, hold, order| {
                Ok(hold_invoice::hold_failed(order, hold, this.now()))
            }),
            Command::HoldAccepted {
                hash,
                paid,
                expiry_height,
            } => self.hold_report(*hash, |this, hold, order| {
                let taker = this.taker(order)?;
                let now = this.now();
                Ok(hold_invoice::hold_accepted(
                    order,
                    hold,
                    taker.as_ref(),
                    *paid,
                    *expiry_height,
                    now,
                ))
            }),
            Command::HoldSettled { hash } => self.hold_report(*hash, |this, hold, order| {
                let facts = this.hold_facts(order)?;
                Ok(hold_invoice::hold_settled(order, hold, &facts, this.now()))
            }),
            Command::HoldCanceled { hash } => self.hold_report(*hash, |this, hold, order| {
                let facts = this.hold_facts(order)?;
                Ok(hold_invoice::hold_canceled(order, hold, &facts, this.now()))
            }),
            Command::HoldFound { hash, found } => self.hold_report(*hash, |this, hold, order| {
                let fresh = this.fresh_hold();
                let now = this.now();
                Ok(hold_invoice::hold_found(order, hold, *found, fresh, now))
            }),
            Command::HoldAged { hash, tip_height } => {
                self.hold_report(*hash, |this, hold, order| {
                    let facts = HorizonFacts {
                        tip_height: *tip_height,
                        fresh: this.fresh_dispute(),
                        dispute: this.dispute_of(order)?,
                    };
                    let now = this.now();
                    Ok(escrow_horizon::hold_aged(order, hold, &facts, now))
                })
            }
            Command::PaymentSucceeded {
                hash,
                preimage,
                routing_fee,
            } => self.payment_report(*hash, |this, (order, payout, attempt)| {
                let now = this.now();
                payout::payment_succeeded(order, payout, attempt, preimage, *routing_fee, now)
            }),
            Command::PaymentFailed {
                hash,
                reason,
                in_trouble,
            } => self.payment_report(*hash, |this, (order, payout, attempt)| {
                let why = (*reason, *in_trouble);
                payout::payment_failed(order, payout, attempt, why, this.now())
            }),
            Command::PaymentMissing { hash, locked_until } => {
                self.payment_report(*hash, |this, (order, payout, attempt)| {
                    payout::payment_missing(order, payout, attempt, *locked_until, this.now())
                })
            }
            Command::PaymentTraced { hash } => {
                self.payment_report(*hash, |_, (_, _, attempt)| payout::payment_traced(attempt))
            }
            Command::AddressAsked {
                payout,
                address,
                answer,
            } => self.address_asked(*payout, address, answer),
            Command::Elapsed(timer) => self.elapsed(*timer),
            // Requests are decided with their refusals, see above.
            Command::Request(_) => Ok(Decision::default()),
        }
    }

    fn hold_report(
        &mut self,
        hash: PaymentHash,
        decide: impl FnOnce(&mut Self, &Hold, &Order) -> Result<Decision, StorageError>,
    ) -> Result<Decision, StorageError> {
        let Some(hold) = self.page.hold_by_hash(hash)? else {
            return Ok(alarm(Alarm::UnexpectedHold(hash)));
        };
        match self.page.order(hold.order)? {
            Some(order) => decide(self, &hold, &order),
            None => Ok(alarm(Alarm::UnexpectedHold(hash))),
        }
    }

    fn hold_facts(&mut self, order: &Order) -> Result<HoldFacts, StorageError> {
        Ok(HoldFacts {
            owed: self.owed(order)?,
            dispute: self.dispute_of(order)?,
            hold: self.fresh_hold(),
            rest: self.rest_facts(order)?,
        })
    }

    fn rest_facts(&mut self, order: &Order) -> Result<RestFacts, StorageError> {
        let take = order.stage.take();
        let key_is_in_use = match take.and_then(|take| take.next_trade) {
            Some(next) => self.page.trade_key_is_living(next.key)?,
            None => false,
        };
        Ok(RestFacts {
            order: OrderId(self.desk.entropy.uuid()),
            maker: self.user(Some(order.maker.identity))?,
            key_is_in_use,
        })
    }

    fn price(&self, code: &str) -> PriceAnswer {
        self.desk.prices.price(code, self.at)
    }

    /// What an order waits for, moved by a time in which the node was not there.
    pub(crate) fn shifted(&mut self, order: &Order, secs: u64) -> Result<Decision, StorageError> {
        let (hold, payout) = self.rows_of(order)?;
        let (hold, payout) = (hold.as_ref(), payout.as_ref());
        let fresh = self.fresh_hold();
        let now = self.now();
        Ok(downtime::shifted(order, hold, payout, secs, fresh, now))
    }

    pub(crate) fn brought_back(
        &mut self,
        order: &Order,
        secs: u64,
    ) -> Result<Decision, StorageError> {
        let (_, payout) = self.rows_of(order)?;
        let now = self.now();
        Ok(downtime::brought_back(order, payout.as_ref(), secs, now))
    }

    /// Hold and payout of the order's stage.
    pub(crate) fn rows_of(
        &self,
        order: &Order,
    ) -> Result<(Option<Hold>, Option<Payout>), StorageError> {
        Ok((self.hold_of(order)?, self.payout_of(order)?))
    }

    fn elapsed(&mut self, timer: Timer) -> Result<Decision, StorageError> {
        let Some(order) = self.page.order(timer.order)? else {
            return Ok(Decision::default());
        };
        let facts = TimerFacts {
            hold: self.hold_of(&order)?,
            owed: self.owed_at(&order, timer.kind)?,
            shown_at: self.page.stamp(&self.desk.address(order.id))?,
            buyer_heard_at: self.buyer_heard_at(&order)?,
        };
        Ok(timeouts::elapsed(&order, timer.kind, &facts, self.now()))
    }

    /// The stamp of a letter outlives restarts and needs no row of its own;
    /// those of answers to questions are in memory only.
    fn buyer_heard_at(&self, order: &Order) -> Result<Option<UnixTime>, StorageError> {
        let Some(buyer) = order.buyer() else {
            return Ok(None);
        };
        let in_ledger = self.page.letter_stamp(buyer.trade_key)?;
        Ok(in_ledger.max(self.letter_times.last(buyer.trade_key)))
    }

    pub(crate) fn now(&self) -> Now<'_> {
        Now {
            at: self.at,
            tip_height: self.tip_height,
            terms: &self.desk.terms,
        }
    }

    fn fresh_hold(&mut self) -> FreshHold {
        let id = HoldId(self.desk.entropy.uuid());
        self.desk.preimages.fresh_hold(id)
    }

    fn fresh_dispute(&mut self) -> DisputeId {
        DisputeId(self.desk.entropy.uuid())
    }

    fn capacity(&self) -> Result<Capacity, StorageError> {
        let counts = self.page.hold_counts()?;
        Ok(Capacity {
            // What may not be paid out is not taken in either.
            lightning_is_ready: self.desk.lightning_is_ready && self.page.latch()?.is_none(),
            open_holds: clamp(counts.open),
            opening_holds: clamp(counts.opening),
            liquidity: self.liquidity,
        })
    }

    /// The living orders of an identity; none in full privacy, where nobody
    /// can be recognised.
    fn orders_of(&self, identity: Identity) -> Result<Vec<Order>, StorageError> {
        match identity {
            Identity::Known(identity) => self.page.living_orders_of(identity),
            Identity::FullPrivacy => Ok(Vec::new()),
        }
    }

    fn person(&self, identity: Identity, orders: &[Order]) -> Result<PersonFacts, StorageError> {
        let opening = orders
            .iter()
            .filter(|order| matches!(order.stage, Stage::OpeningHold { .. }));
        let takes = opening.filter_map(|order| order.stage.take());
        let reserved = takes
            .filter(|take| take.taker.identity == identity)
            .map(|take| take.taker.trade_index);
        Ok(PersonFacts {
            user: self.user(Some(identity))?,
            reserved_index: reserved.max(),
        })
    }

    /// Rule Y5 and Y7: of the identity, or of all who have none.
    fn pending_orders(&self, identity: Identity, orders: &[Order]) -> Result<u32, StorageError> {
        if identity == Identity::FullPrivacy {
            return Ok(clamp(self.page.pending_without_identity()?));
        }
        let pending = orders
            .iter()
            .filter(|order| order.stage == Stage::Pending && order.maker.identity == identity);
        Ok(clamp(pending.count() as u64))
    }

    fn is_known(
        &self,
        given: Option<&GivenInvoice>,
        own: Option<OrderId>,
    ) -> Result<bool, StorageError> {
        match given {
            Some(GivenInvoice::Readable(invoice)) => self.hash_is_known(invoice, own),
            Some(
                GivenInvoice::Address { .. } | GivenInvoice::Unasked(_) | GivenInvoice::Unusable,
            )
            | None => Ok(false),
        }
    }

    fn hash_is_known(
        &self,
        invoice: &PayoutInvoice,
        own: Option<OrderId>,
    ) -> Result<bool, StorageError> {
        if self.page.invoice_hash_is_known(invoice.hash)? {
            return Ok(true);
        }
        let order = self.page.order_with_invoice(invoice.hash)?;
        Ok(order.is_some_and(|order| Some(order) != own))
    }

    /// The hold of the order's stage.
    fn hold_of(&self, order: &Order) -> Result<Option<Hold>, StorageError> {
        match order.stage.hold() {
            Some(hold) => self.page.hold(hold),
            None => Ok(None),
        }
    }

    fn payout_of(&self, order: &Order) -> Result<Option<Payout>, StorageError> {
        match order.stage.payout() {
            Some(payout) => self.page.payout(payout),
            None => Ok(None),
        }
    }

    fn dispute_of(&self, order: &Order) -> Result<Option<Dispute>, StorageError> {
        match order.dispute {
            Some(dispute) => self.page.dispute(dispute),
            None => Ok(None),
        }
    }

    fn taker(&self, order: &Order) -> Result<Option<User>, StorageError> {
        self.user(order.stage.take().map(|take| take.taker.identity))
    }

    fn counterpart(&self, order: &Order, request: &Request) -> Result<Option<User>, StorageError> {
        let other = match order.role_of(request.sender.trade_key) {
            Some(Role::Buyer) => order.seller(),
            Some(Role::Seller) => order.buyer(),
            None => None,
        };
        self.user(other.map(|party| party.identity))
    }

    fn user(&self, identity: Option<Identity>) -> Result<Option<User>, StorageError> {
        match identity {
            Some(Identity::Known(identity)) => self.page.user(identity),
            Some(Identity::FullPrivacy) | None => Ok(None),
        }
    }
}

/// Whether a trade waits for this identity on this side (rule T2).
fn holds_up(order: &Order, identity: Identity, role: Role) -> bool {
    let party = match role {
        Role::Buyer => order.buyer(),
        Role::Seller => order.seller(),
    };
    party.is_some_and(|party| party.identity == identity) && awaited(order) == Some(role)
}

/// The side whose invoice or payment the trade waits for.
fn awaited(order: &Order) -> Option<Role> {
    match &order.stage {
        Stage::WaitingInvoice { .. } | Stage::PaidWaitingInvoice { .. } => Some(Role::Buyer),
        // What nobody asked for is a seller's hold that is opened again.
        Stage::WaitingPayment { .. } | Stage::OpeningHold { asker: None, .. } => Some(Role::Seller),
        Stage::OpeningHold {
            asker: Some(asker), ..
        } => order.role_of(asker.trade_key),
        Stage::Pending
        | Stage::Active { .. }
        | Stage::FiatSent { .. }
        | Stage::Dispute { .. }
        | Stage::Canceling { .. }
        | Stage::Releasing { .. }
        | Stage::PayingBuyer { .. }
        | Stage::Success { .. }
        | Stage::Canceled { .. }
        | Stage::Expired => None,
    }
}

/// Node key of the payee of an invoice that can be read.
fn payee(given: &GivenInvoice) -> Option<&str> {
    match given {
        GivenInvoice::Readable(invoice) => Some(&invoice.payee),
        GivenInvoice::Address { .. } | GivenInvoice::Unasked(_) | GivenInvoice::Unusable => None,
    }
}

fn alarm(alarm: Alarm) -> Decision {
    Decision {
        effects: vec![Effect::Alarm(alarm)],
        ..Decision::default()
    }
}

fn clamp(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
