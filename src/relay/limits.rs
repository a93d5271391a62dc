//! What one client may cost.

use std::time::Duration;

use relay_policy::{GateTerms, Rate};

/// The limits the relay enforces; NIP-11 is written from them.
///
/// # Memory
///
/// What the worst of clients can make the relay hold with one connection, at the
/// defaults and beside some 20 KiB for being there:
///
/// | | MiB |
/// |---|---|
/// | a message that is not complete, and its frame that is being read: each at most twice `frame_bytes` | 1 |
/// | two batches of messages that are being judged: 64 KiB and one message each | 1.1 |
/// | 16 questions that wait for their answer, of `frame_bytes` each | 4 |
/// | `open_values` in filters and in the index, some 200 bytes each | 1.9 |
/// | `answer_bytes`; small events take twice that | 16 |
/// | `waiting_bytes` | 8 |
///
/// That is 32 MiB: 1.6 GiB for the 50 connections of one address, and 47 GiB for 2,000
/// of 40 addresses, all of which must be hostile; what waits for them, 8 MiB each, is
/// `waiting_bytes_in_all` at most. An event that is in several answers or waits for
/// several clients is often held once. A machine with less memory should admit fewer.
///
/// For all connections together there are `waiting_bytes_in_all`, `unsaved_bytes`, and
/// 32 MiB of envelopes that wait to be opened (256 of `message_bytes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// Largest event in bytes, messages excepted.
    pub event_bytes: usize,
    /// Largest message (kinds 14 and 1059) in bytes.
    pub message_bytes: usize,
    /// Largest frame that is read, in bytes.
    pub frame_bytes: usize,
    /// Filters in one `REQ`.
    pub filters_per_req: usize,
    /// Values in all lists of one filter together.
    pub values_per_filter: usize,
    /// Open subscriptions of one connection.
    pub subscriptions: usize,
    /// Values in all filters of all open subscriptions of one connection, and once more of
    /// all its questions that wait for an answer; a filter without values counts as one.
    pub open_values: usize,
    /// Longest subscription id in characters (NIP-01 says 64).
    pub subscription_id_chars: usize,
    /// Stored events for one filter; a filter without limit gets as many.
    pub max_limit: usize,
    /// Bytes of stored events for one `REQ`, as JSON. The filters share it, what comes
    /// after the newest events of each is left out, and each shows one event at least.
    pub answer_bytes: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address (IPv6: one /64); loopback is exempt, since a
    /// reverse proxy in front of the relay lends its address to all clients.
    pub connections_per_address: usize,
    /// How far ahead of the clock a stranger's `created_at` may be, in seconds.
    pub future_secs: u64,
    /// Frames of one connection; absent means no bound.
    pub frames: Option<Rate>,
    /// Time from the first byte of a message to its last.
    pub message_time: Duration,
    /// Time for the head of an HTTP request.
    pub head_time: Duration,
    /// Time of a connection that does not become a websocket, in all.
    pub visit_time: Duration,
    /// Bytes that may wait for a slow subscriber before he is disconnected.
    pub waiting_bytes: usize,
    /// Bytes that may wait for all of them together, give or take a frame for each. From
    /// half of it on, a connection with more than its share of the other half gets no
    /// answers for a while, and no live event but a farewell.
    pub waiting_bytes_in_all: usize,
    /// Events of one connection that may be on their way to the disk at once; further
    /// frames are read when one has arrived.
    pub saves_per_connection: usize,
    /// Bytes of events of all connections that may be on their way to the disk at once; an
    /// event counts as at least 1 KiB.
    pub unsaved_bytes: u32,
    /// Messages of one connection to the node that may wait for their receipt at once.
    pub receipts_per_connection: usize,
    /// Time between pings.
    pub ping_every: Duration,
    /// Time without any frame, pongs included, after which a connection is closed.
    pub idle_after: Duration,
    /// Time a closing connection has to take its last words.
    pub closing_time: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        let gate = GateTerms::default();
        Self {
            event_bytes: gate.event_bytes,
            message_bytes: gate.message_bytes,
            frame_bytes: 256 * 1024,
            filters_per_req: 20,
            values_per_filter: 1_000,
            subscriptions: 100,
            open_values: 10_000,
            subscription_id_chars: 64,
            max_limit: 5_000,
            answer_bytes: 16 * 1024 * 1024,
            connections: 2_000,
            connections_per_address: 50,
            future_secs: gate.future_secs,
            frames: Some(Rate {
                per_second: 1_000,
                burst: 5_000,
            }),
            message_time: Duration::from_secs(60),
            head_time: Duration::from_secs(10),
            visit_time: Duration::from_secs(60),
            waiting_bytes: 8 * 1024 * 1024,
            waiting_bytes_in_all: 256 * 1024 * 1024,
            saves_per_connection: 64,
            unsaved_bytes: 32 * 1024 * 1024,
            receipts_per_connection: 64,
            ping_every: Duration::from_secs(30),
            idle_after: Duration::from_secs(120),
            closing_time: Duration::from_secs(5),
        }
    }
}

impl RelayLimits {
    /// Takes over the limits that the gate enforces, so that both have one source.
    #[must_use]
    pub fn gate_terms(&self, terms: GateTerms) -> GateTerms {
        GateTerms {
            event_bytes: self.event_bytes,
            message_bytes: self.message_bytes,
            future_secs: self.future_secs,
            ..terms
        }
    }
}
