//! From an event addressed to the node to a request that can be decided.
//!
//! Opening and reading need no order and no state, so they happen before the
//! queue and in parallel. What fails here is told at once: by `OK false` when
//! the sender is not proven (rule G4), by a durable `cant-do` when he is.

use escrow_core::command::{Ask, GivenInvoice, Govern, NewOrder, Request, Sender};
use escrow_core::dispute::DisputeId;
use escrow_core::order::{NextTrade, OrderId, Side};
use escrow_core::party::{Identity, IdentityKey, TradeIndex, TradeKey};
use escrow_core::questions::Question;
use escrow_core::wire::{
    self, Action, CantDo, Fault, Message, Opened, OrderKind, Payload, Signatures, SmallOrder,
    UnreadableMessage, Wrapper,
};
use escrow_lightning::invoice_rules::{InvoiceRules, MAX_INVOICE_BYTES, read_payout_invoice};
use escrow_lightning::lnurl::is_address;
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};

use crate::submission::{Path, Receipt, TraderMessage};

/// Opens and reads messages to the node.
#[derive(Debug)]
pub struct Intake {
    keys: Keys,
    invoices: InvoiceRules,
}

impl Intake {
    /// An intake for the node's key and its rules for payout invoices.
    #[must_use]
    pub fn new(keys: Keys, invoices: InvoiceRules) -> Intake {
        Intake { keys, invoices }
    }

    /// Opens an event whose id and signature the relay has checked.
    ///
    /// # Errors
    /// The receipt for a message that proves no sender to answer to.
    pub fn read(&self, event: &Event) -> Result<TraderMessage, Receipt> {
        let opened =
            wire::open(event, &self.keys).map_err(|why| Receipt::invalid(why.to_string()))?;
        let request = match opened.signatures {
            Signatures::Good => self.request(&opened),
            // The author of a kind 14 is proven by the event, so he is told (rule G5).
            Signatures::BadTradeSignature
            | Signatures::BadIdentityProof
            | Signatures::MissingTradeSignature => refused(&opened, CantDo::InvalidSignature),
        };
        Ok(TraderMessage {
            event: event.id.to_bytes(),
            inner: opened.inner_digest,
            request,
            path: Path::OwnRelay,
        })
    }

    fn request(&self, opened: &Opened) -> Request {
        match &opened.message {
            Ok(message) => Request {
                sender: sender(opened),
                request_id: message.request_id,
                trade_index: message.trade_index,
                order: message.id.map(OrderId),
                signed_at: opened.time,
                ask: self.ask(message).unwrap_or_else(Ask::Refused),
            },
            Err(unreadable) => refused(opened, why_unreadable(unreadable)),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all that is not served is answered alike"
    )]
    fn ask(&self, message: &Message) -> Result<Ask, CantDo> {
        if lacks_its_order(message) {
            return Err(CantDo::NotFound);
        }
        let ask = match message.action {
            Action::NewOrder => self.new_order(message.payload.as_ref())?,
            Action::TakeSell => {
                let (payout, fiat) = self.take_payload(message)?;
                Ask::TakeSell { payout, fiat }
            }
            Action::TakeBuy => {
                let (_, fiat) = self.take_payload(message)?;
                Ask::TakeBuy { fiat }
            }
            Action::AddInvoice => self.add_invoice(message)?,
            Action::FiatSent => Ask::FiatSent {
                next: next_trade(message)?,
            },
            Action::Release => Ask::Release {
                next: next_trade(message)?,
            },
            Action::Cancel => any_harmless(message, Ask::Cancel)?,
            Action::Dispute => any_harmless(message, Ask::Dispute)?,
            Action::RateUser => rating(message)?,
            Action::TradePubkey => any_harmless(message, Ask::TradePubkey)?,
            Action::RestoreSession => {
                any_harmless(message, Question::RestoreSession).map(Ask::Question)?
            }
            Action::LastTradeIndex => {
                any_harmless(message, Question::LastTradeIndex).map(Ask::Question)?
            }
            Action::Orders => Ask::Question(Question::Orders(ids(message)?)),
            Action::UserInfo => user_info(message)?,
            Action::AdminTakeDispute => Ask::TakeDispute(message.id.map(DisputeId)),
            Action::AdminSettle => Ask::AdminSettle {
                slashes: slashes(message)?,
            },
            Action::AdminCancel => Ask::AdminCancel {
                slashes: slashes(message)?,
            },
            Action::AdminAddSolver => Ask::Govern(Govern::AddSolver {
                text: solver_text(message),
            }),
            // Without bonds nothing is owed, as on a node that has them switched off (NY1).
            Action::AddBondInvoice => return Err(CantDo::NotAllowedByStatus),
            _ => return Err(CantDo::InvalidAction),
        };
        Ok(ask)
    }

    fn new_order(&self, payload: Option<&Payload>) -> Result<Ask, CantDo> {
        match payload {
            Some(Payload::Order(order)) => Ok(Ask::NewOrder(self.read_new_order(order))),
            _ => Err(CantDo::InvalidParameters),
        }
    }

    fn read_new_order(&self, order: &SmallOrder) -> NewOrder {
        NewOrder {
            side: order.kind.map(|kind| match kind {
                OrderKind::Buy => Side::Buy,
                OrderKind::Sell => Side::Sell,
            }),
            fiat_code: order.fiat_code.clone(),
            sats: order.amount,
            fiat: order.fiat_amount,
            min_fiat: order.min_amount,
            max_fiat: order.max_amount,
            premium: order.premium,
            payment_method: order.payment_method.clone(),
            expires_at: order.expires_at,
            payout: order
                .buyer_invoice
                .as_deref()
                .map(|text| self.given_invoice(text)),
            names_mint: order.cashu_mint_url.is_some(),
        }
    }

    /// An invoice, and the fiat amount chosen in a range (rule T8).
    fn take_payload(
        &self,
        message: &Message,
    ) -> Result<(Option<GivenInvoice>, Option<i64>), CantDo> {
        match &message.payload {
            Some(Payload::PaymentRequest(_, invoice, fiat)) => {
                Ok((Some(self.given_invoice(invoice)), *fiat))
            }
            Some(Payload::Amount(fiat)) => Ok((None, Some(*fiat))),
            _ => any_harmless(message, (None, None)),
        }
    }

    fn add_invoice(&self, message: &Message) -> Result<Ask, CantDo> {
        match &message.payload {
            Some(Payload::PaymentRequest(_, invoice, _)) => Ok(Ask::AddInvoice {
                payout: self.given_invoice(invoice),
            }),
            _ => Err(CantDo::InvalidParameters),
        }
    }

    /// What an address is good for only its server knows; it is asked later.
    fn given_invoice(&self, text: &str) -> GivenInvoice {
        if is_address(text) && text.len() <= MAX_INVOICE_BYTES {
            return GivenInvoice::Unasked(text.to_owned());
        }
        match read_payout_invoice(text, &self.invoices) {
            Ok(invoice) => GivenInvoice::Readable(invoice),
            Err(_) => GivenInvoice::Unusable,
        }
    }
}

/// The order is asked for before the payload is looked at (rules G13, G14). A
/// take without one goes on, because its index comes first (rule G12), and that
/// only the writer can judge.
fn lacks_its_order(message: &Message) -> bool {
    message.id.is_none()
        && matches!(
            message.action,
            Action::AddInvoice
                | Action::FiatSent
                | Action::Release
                | Action::Cancel
                | Action::Dispute
                | Action::RateUser
                | Action::TradePubkey
                | Action::AdminSettle
                | Action::AdminCancel
        )
}

/// A payload that the action does not read is read over, save those of other
/// features, which upstream refuses too.
fn any_harmless<T>(message: &Message, ask: T) -> Result<T, CantDo> {
    match &message.payload {
        Some(
            Payload::BondResolution(_)
            | Payload::BondPayoutRequest(_)
            | Payload::PayerDeclaration(_)
            | Payload::PaymentHistory(_)
            | Payload::UserInfo(_),
        ) => Err(CantDo::InvalidParameters),
        _ => Ok(ask),
    }
}

/// A key that is none counts as not named (rule N5).
fn next_trade(message: &Message) -> Result<Option<NextTrade>, CantDo> {
    match &message.payload {
        None => Ok(None),
        Some(Payload::NextTrade(key, index)) => Ok(usable_key(key).map(|key| NextTrade {
            key,
            index: TradeIndex(*index),
        })),
        Some(_) => Err(CantDo::InvalidParameters),
    }
}

fn usable_key(hex: &str) -> Option<TradeKey> {
    let key = PublicKey::from_hex(hex).ok()?;
    // Nobody could be written to at a point that is not on the curve.
    key.xonly().ok()?;
    Some(TradeKey(key))
}

/// Whether a ruling takes a bond too (rule A9).
fn slashes(message: &Message) -> Result<bool, CantDo> {
    match &message.payload {
        Some(Payload::BondResolution(bonds)) => Ok(bonds.slash_buyer || bonds.slash_seller),
        _ => any_harmless(message, false),
    }
}

/// Rule A13: a text that is missing is judged with one that is wrong.
fn solver_text(message: &Message) -> Option<String> {
    match &message.payload {
        Some(Payload::TextMessage(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Rule L4.
fn ids(message: &Message) -> Result<Vec<OrderId>, CantDo> {
    match &message.payload {
        Some(Payload::Ids(ids)) => Ok(ids.iter().copied().map(OrderId).collect()),
        _ => Err(CantDo::InvalidParameters),
    }
}

/// Rule L5: it says nothing but its name, in the wrapper of sessions.
fn user_info(message: &Message) -> Result<Ask, CantDo> {
    let is_bare = message.payload.is_none() && message.id.is_none();
    if is_bare && message.wrapper == Wrapper::Restore {
        Ok(Ask::Question(Question::UserInfo))
    } else {
        Err(CantDo::InvalidParameters)
    }
}

fn rating(message: &Message) -> Result<Ask, CantDo> {
    match message.payload {
        Some(Payload::RatingUser(stars)) => Ok(Ask::RateUser { stars }),
        _ => Err(CantDo::InvalidParameters),
    }
}

/// An action that the node does not offer is answered as such, whatever its
/// payload (rules G9, G10).
fn why_unreadable(message: &UnreadableMessage) -> CantDo {
    match (&message.fault, message.action) {
        (Fault::UnknownAction, _) => CantDo::InvalidAction,
        (Fault::Unreadable(_), Some(action)) if !is_served(action) => CantDo::InvalidAction,
        (Fault::Unreadable(_), _) => CantDo::InvalidParameters,
    }
}

fn is_served(action: Action) -> bool {
    matches!(
        action,
        Action::NewOrder
            | Action::TakeSell
            | Action::TakeBuy
            | Action::AddInvoice
            | Action::FiatSent
            | Action::Release
            | Action::Cancel
            | Action::Dispute
            | Action::RateUser
            | Action::TradePubkey
            | Action::RestoreSession
            | Action::LastTradeIndex
            | Action::Orders
            | Action::UserInfo
            | Action::AdminTakeDispute
            | Action::AdminSettle
            | Action::AdminCancel
            | Action::AdminAddSolver
            | Action::AddBondInvoice
    )
}

fn refused(opened: &Opened, why: CantDo) -> Request {
    let (request_id, trade_index, id) = match &opened.message {
        Ok(message) => (message.request_id, message.trade_index, message.id),
        Err(unreadable) => (unreadable.request_id, None, unreadable.id),
    };
    Request {
        sender: sender(opened),
        request_id,
        trade_index,
        order: id.map(OrderId),
        signed_at: opened.time,
        ask: Ask::Refused(why),
    }
}

fn sender(opened: &Opened) -> Sender {
    let identity = if opened.identity == opened.trade_key {
        Identity::FullPrivacy
    } else {
        Identity::Known(IdentityKey(opened.identity))
    };
    Sender {
        trade_key: TradeKey(opened.trade_key),
        identity,
        transport: opened.transport,
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::wire::{Seed, Transport, client};
    use escrow_core::{UnixTime, wire::Letter};
    use escrow_lightning::Network;
    use nostr::event::{EventBuilder, FinalizeEvent, Kind, Tag};
    use nostr::key::SecretKey;

    use super::*;
    use crate::submission::Refusal;

    const TAKE: &str = r#"{"order":{"version":2,"request_id":3,"trade_index":1,"id":"6c344bed-a726-47f5-8e21-fdf0d98ed6af","action":"take-sell","payload":null}}"#;

    fn keys(number: u8) -> Keys {
        Keys::new(SecretKey::from_slice(&[number; 32]).unwrap())
    }

    fn intake() -> Intake {
        let rules = InvoiceRules {
            network: Network::Regtest,
            max_final_cltv_expiry_delta: 144,
            own_node_pubkey: "02".repeat(33),
        };
        Intake::new(keys(1), rules)
    }

    fn letter(json: &str, transport: Transport) -> Event {
        let letter = Letter {
            message_json: json,
            to: keys(1).public_key(),
            transport,
            created_at: UnixTime(1_750_000_000),
            expiration: None,
        };
        client::wrap(&letter, &keys(2), Some(&keys(3)), &Seed([4; 32])).unwrap()
    }

    fn asks(json: &str, transport: Transport) -> Ask {
        intake().read(&letter(json, transport)).unwrap().request.ask
    }

    #[test]
    fn g4_what_proves_no_sender_is_refused_without_a_message() {
        let garbage = |kind: u16, content: &str| {
            EventBuilder::new(Kind::from_u16(kind), content)
                .tag(Tag::public_key(keys(1).public_key()))
                .finalize(&keys(2))
                .unwrap()
        };
        let mut torn = letter(TAKE, Transport::GiftWrap);
        torn.content.truncate(200);
        let table = [
            ("plain text", garbage(14, "hello")),
            ("an unknown version", garbage(14, "#AAAA")),
            ("base64 of nothing", garbage(1_059, "AAAA")),
            ("an empty wrap", garbage(1_059, "")),
            ("another kind", garbage(1, TAKE)),
            ("a torn wrap", torn),
        ];
        for (case, event) in table {
            let receipt = intake().read(&event).unwrap_err();
            assert!(
                matches!(receipt, Receipt::Refused(Refusal::Invalid(_))),
                "{case}: {receipt:?}"
            );
        }
    }

    #[test]
    fn g9_g10_what_cannot_be_read_is_refused_by_a_message() {
        let deep = format!(
            r#"{{"order":{{"version":2,"action":"release","payload":{}1{}}}}}"#,
            "[".repeat(40),
            "]".repeat(40)
        );
        let table = [
            (r"{}", CantDo::InvalidParameters),
            (r#"{"order":7}"#, CantDo::InvalidParameters),
            (&deep, CantDo::InvalidParameters),
            (
                r#"{"order":{"version":2,"version":2,"action":"release"}}"#,
                CantDo::InvalidParameters,
            ),
            (
                r#"{"order":{"version":2,"request_id":99999999999999999999,"action":"release"}}"#,
                CantDo::InvalidParameters,
            ),
            (
                r#"{"order":{"version":2,"action":"no-such-action"}}"#,
                CantDo::InvalidAction,
            ),
            (
                r#"{"order":{"version":2,"action":"purchase-completed"}}"#,
                CantDo::InvalidAction,
            ),
            (
                r#"{"order":{"version":2,"action":"release"}}"#,
                CantDo::NotFound,
            ),
        ];
        for transport in [Transport::Direct, Transport::GiftWrap] {
            for (json, why) in table {
                assert_eq!(asks(json, transport), Ask::Refused(why), "{json}");
            }
        }
    }

    #[test]
    fn n5_a_next_key_that_is_no_key_counts_as_none() {
        let naming = |key: &str| {
            format!(
                r#"{{"order":{{"version":2,"id":"6c344bed-a726-47f5-8e21-fdf0d98ed6af","action":"release","payload":{{"next_trade":["{key}",4]}}}}}}"#
            )
        };
        for key in ["", "me", &"0".repeat(64), &"f".repeat(64)] {
            let asked = asks(&naming(key), Transport::Direct);
            assert_eq!(asked, Ask::Release { next: None }, "{key}");
        }
        let key = keys(5).public_key();
        let next = Some(NextTrade {
            key: TradeKey(key),
            index: TradeIndex(4),
        });
        let asked = asks(&naming(&key.to_hex()), Transport::GiftWrap);
        assert_eq!(asked, Ask::Release { next });
    }

    #[test]
    fn a_good_message_is_read_on_both_transports() {
        for transport in [Transport::Direct, Transport::GiftWrap] {
            let message = intake().read(&letter(TAKE, transport)).unwrap();
            assert_eq!(
                message.request.ask,
                Ask::TakeSell {
                    payout: None,
                    fiat: None
                }
            );
            assert_eq!(
                message.request.sender,
                Sender {
                    trade_key: TradeKey(keys(2).public_key()),
                    identity: Identity::Known(IdentityKey(keys(3).public_key())),
                    transport,
                }
            );
            assert_eq!(message.request.request_id, Some(3));
        }
    }
}
