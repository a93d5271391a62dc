//! Where messages from one mirror enter: the gate of the node's own relay, the
//! signature, and then the intake.

use std::future::{Future, ready};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use escrow_engine::submission::{Path, Receipt, Refusal};
use escrow_engine::{EscrowHandle, Source};
use nostr::event::Event;
use nostr::key::PublicKey;
use nostr::types::Timestamp;
use relay_policy::{
    Arrival, BoxFuture, Gate, GateTerms, Inbox, KnownKeys, Session, Verdict, WritePolicy,
    address_group,
};
use storage::ledger::MirrorNo;
use tokio::time::sleep;

use super::Post;
use super::in_hand::Decides;
use super::tempo::Backoff;

/// Times that a message is brought which the node could not decide.
const TRIES: u32 = 6;

/// Connections of mirrors are counted from here, beyond all of the relay's.
const FIRST_CONNECTION: u64 = 1 << 63;

/// The doorstep of one mirror.
pub(super) struct Doorstep {
    gate: Gate,
    session: Session,
    escrow: EscrowHandle,
    path: Path,
    backoff: Backoff,
}

impl Doorstep {
    pub(super) fn new(post: &Post, terms: GateTerms) -> Doorstep {
        // Who sends too much cannot be told so here. He waits for his turn with
        // all others of this mirror, and so many at once are in hand.
        let terms = GateTerms {
            per_address: None,
            per_author: None,
            ..terms
        };
        let node = post.number.keys.public_key();
        let known = Arc::new(Known(post.escrow.clone()));
        Doorstep {
            gate: Gate::new(node, terms, known, Some(Arc::new(Doorkeeper))),
            session: Session::new(FIRST_CONNECTION | post.mirror.0, address(post.mirror)),
            escrow: post.escrow.clone(),
            path: Path::Mirror(post.mirror),
            backoff: Backoff::new(&post.number.tempo()),
        }
    }

    /// Returns when the message is decided, or can never be. Nobody hears why:
    /// who sent it has only spoken to the mirror.
    async fn brings(&self, event: Event) {
        if !self.is_for_us(&event) {
            return;
        }
        let id = event.id;
        let mut backoff = self.backoff;
        for _ in 0..TRIES {
            match self.submit(event.clone()).await {
                Receipt::Decided | Receipt::Duplicate | Receipt::Ruled(_) => return,
                Receipt::Refused(Refusal::Invalid(why) | Refusal::Blocked(why)) => {
                    tracing::debug!(%id, why, "a message from a mirror is not taken");
                    return;
                }
                Receipt::Refused(Refusal::Busy(why) | Refusal::Error(why)) => {
                    tracing::debug!(%id, why, "a message from a mirror is brought again");
                }
            }
            sleep(backoff.wait().max(Duration::from_millis(1))).await;
        }
        tracing::error!(%id, "a message from a mirror could not be decided and is left");
    }

    async fn submit(&self, event: Event) -> Receipt {
        let source = Source {
            address: address_group(self.session.peer),
            connection: self.session.id,
        };
        self.escrow.submit_by(self.path, source, event).await
    }

    fn is_for_us(&self, event: &Event) -> bool {
        let arrival = Arrival {
            event,
            size_bytes: event.as_json().len(),
            now: Timestamp::now(),
        };
        if let Err(refusal) = self.gate.before_signature(&self.session, arrival) {
            tracing::debug!(id = %event.id, %refusal, "a message from a mirror is not taken");
            return false;
        }
        if event.verify().is_err() {
            return false;
        }
        match self.gate.after_signature(&self.session, arrival) {
            Verdict::Taken(_) => true,
            Verdict::Keep | Verdict::Refuse(_) => false,
        }
    }
}

impl Decides for Arc<Doorstep> {
    fn decide(&self, event: Event) -> impl Future<Output = ()> + Send + 'static {
        let doorstep = Self::clone(self);
        async move { doorstep.brings(event).await }
    }
}

/// An address that no client has, one per mirror: senders are told apart by
/// where they come from, and behind a mirror they are not.
fn address(mirror: MirrorNo) -> IpAddr {
    let number = u128::from(mirror.0) & 0xffff_ffff_ffff;
    IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) | (number << 64)))
}

/// The gate only says whose a message is; it is handed over here, because a
/// receipt tells more than the `OK` that the gate would make of it.
struct Doorkeeper;

impl Inbox for Doorkeeper {
    fn submit(&self, _: &Session, _: Event) -> BoxFuture<'static, relay_policy::Receipt> {
        Box::pin(ready(relay_policy::Receipt {
            accepted: true,
            message: String::new(),
        }))
    }
}

/// Who is known to the escrow.
struct Known(EscrowHandle);

impl KnownKeys for Known {
    fn knows(&self, key: &PublicKey) -> bool {
        self.0.known_keys().knows(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn y4_each_mirror_is_a_place_of_its_own() {
        let place = |mirror| address_group(address(MirrorNo(mirror)));
        assert_ne!(place(1), place(2));
        assert_eq!(place(1).to_string(), "fd00:0:0:1::");
    }
}
