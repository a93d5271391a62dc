//! What waits to be sent to all clients together.
//!
//! Half of the room is for whoever comes. When it is taken, the other half is shared
//! equally: a client who has more than his share waiting must make room or go, and one who
//! reads never notices. So nobody waits for another, and no lock is shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that wait for all connections.
#[derive(Debug)]
pub(super) struct WaitingRoom {
    most_bytes: usize,
    bytes: AtomicUsize,
    connections: AtomicUsize,
}

/// What waits for one connection, which it gives back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    room: Arc<WaitingRoom>,
    bytes: usize,
}

impl WaitingRoom {
    pub(super) fn new(most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            most_bytes,
            bytes: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        })
    }

    /// Lets a connection in, for which nothing waits yet.
    pub(super) fn enter(self: &Arc<Self>) -> Seat {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Seat {
            room: self.clone(),
            bytes: 0,
        }
    }
}

impl Seat {
    /// The bytes that wait for this connection.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.room.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn take_away(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.room.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Tells whether much waits for all, and more than its share for this connection; or
    /// one of so many parts of its share.
    pub(super) fn is_over_its_share(&self, parts: usize) -> bool {
        let half = self.room.most_bytes / 2;
        if self.room.bytes.load(Ordering::Relaxed) <= half {
            return false;
        }
        let connections = self.room.connections.load(Ordering::Relaxed).max(1);
        self.bytes > half / connections / parts
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.take_away(self.bytes);
        self.room.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_more_than_his_share_is_over_it() {
        let room = WaitingRoom::new(200);
        let (mut much, mut little, mut none) = (room.enter(), room.enter(), room.enter());
        let over = |seats: [&Seat; 3]| seats.map(|seat| seat.is_over_its_share(1));
        much.add(70);
        little.add(30);
        assert_eq!(over([&much, &little, &none]), [false; 3], "half is free");
        little.add(3);
        assert_eq!(over([&much, &little, &none]), [true, false, false]);
        assert!(little.is_over_its_share(2) && !none.is_over_its_share(2));
        much.take_away(4);
        assert_eq!(over([&much, &little, &none]), [false; 3]);
        none.add(10);
        assert_eq!(over([&much, &little, &none]), [true, false, false]);
        drop(much);
        assert_eq!(room.bytes.load(Ordering::Relaxed), 43);
        drop((little, none));
        assert_eq!(room.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(room.connections.load(Ordering::Relaxed), 0);
    }
}
