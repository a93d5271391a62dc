//! Where the relay and the escrow meet: neither knows the other, and each
//! sees the other through a trait of its own.
//!
//! The relay needs to know where messages go before there is an escrow, and
//! the escrow needs the relay to publish. So the relay's side of the seam is
//! made first and gets its escrow later, before the port opens.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use escrow_engine::submission::{Receipt as Decided, Refusal as Undecided};
use escrow_engine::{EscrowHandle, PublishError, Publisher, Source};
use nostr::event::Event;
use nostr::key::PublicKey;
use relay_policy::{BoxFuture, Inbox, KnownKeys, Prefix, Receipt, Refusal, Session, address_group};

use crate::relay::Relay;

/// The escrow as the relay sees it.
#[derive(Clone, Default)]
pub(super) struct EscrowDesk(Arc<OnceLock<EscrowHandle>>);

impl EscrowDesk {
    /// From this moment messages go to `escrow`; once that has ended, it
    /// answers that the node is stopping.
    pub(super) fn open(&self, escrow: EscrowHandle) {
        let first = self.0.set(escrow).is_ok();
        debug_assert!(first, "one node opens one escrow");
    }
}

impl Inbox for EscrowDesk {
    fn submit(&self, session: &Session, event: Event) -> BoxFuture<'static, Receipt> {
        let desk = self.clone();
        let source = Source {
            address: address_group(session.peer),
            connection: session.id,
        };
        Box::pin(async move {
            match desk.0.get() {
                Some(escrow) => receipt(escrow.submit(source, event).await),
                None => undecided(Prefix::Error, "the node is starting"),
            }
        })
    }
}

impl KnownKeys for EscrowDesk {
    fn knows(&self, key: &PublicKey) -> bool {
        self.0
            .get()
            .is_some_and(|escrow| escrow.known_keys().knows(key))
    }
}

/// What the sender is told: true once his message is decided and on disk,
/// whatever the decision.
fn receipt(decided: Decided) -> Receipt {
    match decided {
        Decided::Decided | Decided::Ruled(_) => Receipt {
            accepted: true,
            message: String::new(),
        },
        Decided::Duplicate => Receipt {
            accepted: true,
            message: Refusal::new(Prefix::Duplicate, "this message is decided already").to_string(),
        },
        Decided::Refused(Undecided::Invalid(why)) => undecided(Prefix::Invalid, why),
        Decided::Refused(Undecided::Blocked(why)) => undecided(Prefix::Blocked, why),
        Decided::Refused(Undecided::Busy(why)) => undecided(Prefix::RateLimited, why),
        Decided::Refused(Undecided::Error(why)) => undecided(Prefix::Error, why),
    }
}

fn undecided(prefix: Prefix, why: impl Into<Cow<'static, str>>) -> Receipt {
    Receipt {
        accepted: false,
        message: Refusal::new(prefix, why).to_string(),
    }
}

/// The relay as the escrow sees it.
pub(super) struct OwnRelay(pub(super) Relay);

#[async_trait]
impl Publisher for OwnRelay {
    async fn publish(&self, events: Vec<Event>) -> Result<(), PublishError> {
        let published = self.0.publish(events).await;
        published.map_err(|why| PublishError(why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_the_ok_says_whether_a_message_is_decided() {
        let table = [
            (Decided::Decided, true, ""),
            (
                Decided::Duplicate,
                true,
                "duplicate: this message is decided already",
            ),
            (
                Decided::Refused(Undecided::Invalid("a".into())),
                false,
                "invalid: a",
            ),
            (
                Decided::Refused(Undecided::Busy("b".into())),
                false,
                "rate-limited: b",
            ),
            (
                Decided::Refused(Undecided::Error("c".into())),
                false,
                "error: c",
            ),
        ];
        for (decided, accepted, message) in table {
            let told = receipt(decided);
            assert_eq!((told.accepted, told.message.as_str()), (accepted, message));
        }
    }
}
