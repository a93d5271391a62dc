//! The hand-off of messages that are addressed to the node.

use std::future::Future;
use std::pin::Pin;

use nostr::event::Event;

use crate::Session;

/// A future that can be kept in a list and moved between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes in the messages that are addressed to the node.
pub trait Inbox: Send + Sync {
    /// Hands over one message whose id and signature were verified.
    ///
    /// Returns at once; the future ends when the message is decided, and its receipt
    /// becomes the `OK` of the sender. The relay drives the future to its end even when
    /// the sender has gone.
    fn submit(&self, session: &Session, event: Event) -> BoxFuture<'static, Receipt>;
}

/// What became of a message to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// True when the message was decided and the decision is on disk.
    pub accepted: bool,
    /// The text of the `OK`, with a standard prefix unless it is empty.
    pub message: String,
}
