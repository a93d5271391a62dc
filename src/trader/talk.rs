//! Who talks, in which trade, and what is said.

use std::sync::Arc;
use std::time::Duration;

use escrow_core::amount::Fiat;
use escrow_core::wire::{Action, CantDo, Message, Payload, SmallOrder, Transport, Wrapper};
use nostr::event::Event;
use nostr::key::Keys;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Envelope, HouseEnvelope, Keyring, Offer};

/// How long clients wait for an answer before they give up.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a client asks to find its way back.
const SESSION: [Action; 3] = [
    Action::RestoreSession,
    Action::LastTradeIndex,
    Action::UserInfo,
];

/// What solvers and the operator ask for.
const SOLVERS: [Action; 4] = [
    Action::AdminTakeDispute,
    Action::AdminSettle,
    Action::AdminCancel,
    Action::AdminAddSolver,
];

/// Who a trader is and how he trades.
#[derive(Clone)]
pub struct Persona {
    /// Named in errors.
    pub name: String,
    /// All his keys follow from it.
    pub keys: Keyring,
    /// How his messages travel, until he [speaks](super::Trader::speaks) otherwise.
    pub transport: Transport,
    /// Whether he hides his identity.
    pub full_privacy: bool,
    /// How he closes and opens envelopes.
    pub envelope: Arc<dyn Envelope>,
    /// How long he waits for anything.
    pub patience: Duration,
}

impl Persona {
    /// A trader with an identity, the house's envelopes and the patience of
    /// usual clients.
    #[must_use]
    pub fn new(name: &str, seed: [u8; 32], transport: Transport) -> Persona {
        Persona {
            name: name.to_owned(),
            keys: Keyring::from_seed(seed),
            transport,
            full_privacy: false,
            envelope: Arc::new(HouseEnvelope),
            patience: PATIENCE,
        }
    }
}

/// One trade of a trader.
#[derive(Clone)]
pub struct Trade {
    /// The trader's own number of it, from 1 on.
    pub index: u32,
    /// The key that it is made with.
    pub keys: Keys,
    /// How its messages travel.
    pub transport: Transport,
    /// The order, once there is one.
    pub order: Option<Uuid>,
}

/// What a trader asks of the node.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The verb.
    pub action: Action,
    /// The order it is about.
    pub order: Option<Uuid>,
    /// Whether it says the index of the trade.
    pub with_index: bool,
    /// What it carries.
    pub payload: Option<Payload>,
}

/// A message of the node.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it says.
    pub message: Message,
    /// Its JSON, exactly as it came.
    pub json: String,
    /// The envelope.
    pub event: Event,
    /// Its place among all letters of its trade, from 1 on.
    pub place: u64,
    /// When it came.
    pub at: Instant,
}

/// The answer to a request, and how long it took.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub heard: Heard,
    /// From sending to `OK`.
    pub ok_after: Duration,
    /// From sending to the answer.
    pub answered_after: Duration,
}

/// What the relay says of a published event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it was taken.
    pub taken: bool,
    /// The text beside it.
    pub text: String,
    /// From sending to `OK`.
    pub after: Duration,
}

impl Heard {
    /// The order in it, if it carries one.
    #[must_use]
    pub fn order(&self) -> Option<&SmallOrder> {
        if let Some(Payload::Order(order) | Payload::PaymentRequest(Some(order), _, _)) =
            &self.message.payload
        {
            Some(order)
        } else {
            None
        }
    }

    /// The dispute in it, if it names one.
    #[must_use]
    pub fn dispute(&self) -> Option<Uuid> {
        if let Some(Payload::Dispute(id, _)) = self.message.payload {
            Some(id)
        } else {
            None
        }
    }

    /// The reason, if it is a refusal.
    #[must_use]
    pub fn refusal(&self) -> Option<CantDo> {
        if let Some(Payload::CantDo(reason)) = self.message.payload {
            reason
        } else {
            None
        }
    }
}

impl Ask {
    /// A request without payload about an order.
    #[must_use]
    pub fn about(action: Action, order: Option<Uuid>) -> Ask {
        Ask {
            action,
            order,
            with_index: false,
            payload: None,
        }
    }

    /// The same with a payload.
    #[must_use]
    pub fn with(self, payload: Payload) -> Ask {
        Ask {
            payload: Some(payload),
            ..self
        }
    }

    /// The same with the index of the trade.
    #[must_use]
    pub fn with_index(self) -> Ask {
        Ask {
            with_index: true,
            ..self
        }
    }

    /// Puts an offer into the book.
    #[must_use]
    pub fn offering(offer: &Offer) -> Ask {
        let order = Payload::Order(offer.small_order());
        Ask::about(Action::NewOrder, None).with_index().with(order)
    }

    /// The same, naming the trade under which the rest of a range goes on.
    #[must_use]
    pub fn naming(self, next: Option<&Trade>) -> Ask {
        let named = next.map(|next| {
            let key = next.keys.public_key().to_hex();
            Payload::NextTrade(key, next.index)
        });
        Ask {
            payload: named,
            ..self
        }
    }

    /// The same, choosing so much of a range.
    #[must_use]
    pub fn of_range(self, part: Option<Fiat>) -> Ask {
        let part = part.map(|fiat| Payload::Amount(i64::try_from(fiat.0).unwrap_or(i64::MAX)));
        Ask {
            payload: part,
            ..self
        }
    }

    /// Asks for orders by name.
    #[must_use]
    pub fn for_orders(ids: &[Uuid]) -> Ask {
        Ask::about(Action::Orders, None).with(Payload::Ids(ids.to_vec()))
    }

    /// The operator registers a solver: his key in bech32, and what he may do.
    #[must_use]
    pub fn add_solver(text: &str) -> Ask {
        Ask::about(Action::AdminAddSolver, None).with(Payload::TextMessage(text.to_owned()))
    }

    /// The wrapper that clients put around it.
    #[must_use]
    pub fn wrapper(&self) -> Wrapper {
        if SESSION.contains(&self.action) {
            Wrapper::Restore
        } else if SOLVERS.contains(&self.action) {
            Wrapper::Dispute
        } else {
            Wrapper::Order
        }
    }
}
