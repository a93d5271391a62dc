//! A dispute for its solvers: kind 38386.

use nostr::event::Tag;
use uuid::Uuid;

use super::status::{DisputeStatus, Initiator};
use super::tags::{expiration, instance, tag};
use crate::time::UnixTime;

/// Kind of a dispute.
pub const DISPUTE: u16 = 38_386;

/// A dispute as solvers find it; nothing in it tells who the parties are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisputeEvent<'a> {
    /// Dispute id.
    pub id: Uuid,
    /// Where it stands.
    pub status: DisputeStatus,
    /// Who opened it.
    pub initiator: Initiator,
    /// When it was opened; the same in every revision.
    pub opened_at: UnixTime,
    /// When relays may drop it.
    pub expiration: UnixTime,
    /// Name of the operator's instance, if it has one.
    pub instance: Option<&'a str>,
}

impl DisputeEvent<'_> {
    /// The tags of this revision; the content is empty. The time it was opened
    /// stands there twice, under the name of old readers too.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        vec![
            tag("d", [self.id]),
            expiration(self.expiration),
            tag("s", [self.status]),
            tag("initiator", [self.initiator]),
            tag("published_at", [self.opened_at.0]),
            tag("created_at", [self.opened_at.0]),
            instance(self.instance),
            tag("z", ["dispute"]),
        ]
    }
}
