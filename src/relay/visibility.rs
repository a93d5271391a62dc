//! Who may see which event.

use std::sync::Arc;

use nostr::filter::Filter;
use nostr::types::Timestamp;
use relay_policy::{EventHead, QueryPolicy, Session};
use storage::events::Kept;

/// The one check for everything that leaves the relay: answers, live events and counts.
#[derive(Clone)]
pub(super) struct Visibility {
    policy: Arc<dyn QueryPolicy>,
}

impl Visibility {
    pub(super) fn new(policy: Arc<dyn QueryPolicy>) -> Self {
        Self { policy }
    }

    /// Tells whether an event answers a filter: it matches, lives, and may be seen.
    pub(super) fn shows(
        &self,
        session: &Session,
        filter: &Filter,
        kept: &Kept,
        now: Timestamp,
    ) -> bool {
        kept.matches(filter) && !kept.is_expired_at(now) && self.permits(session, filter, kept)
    }

    /// Tells whether an event that matches and lives may be seen.
    pub(super) fn permits(&self, session: &Session, filter: &Filter, kept: &Kept) -> bool {
        let head = EventHead {
            kind: kept.kind,
            author: kept.author,
        };
        self.policy.may_see(session, filter, head)
    }
}
