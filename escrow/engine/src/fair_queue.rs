//! A bounded queue in which everybody has his turn, however much the others bring.
//!
//! What waits is served in turn: one of each address, and within an address one of each
//! connection, for a proxy lends its address to all who come through it. When the queue
//! is full, the address with most in it loses the newest of its busiest connection.
//!
//! What this bounds: one connection, and one address with any number of connections,
//! delays what comes from another address by one piece for each of its own, and never
//! takes its last place. What it does not bound: as many addresses as the queue has
//! places, or as many connections through one proxy, fill it, and who comes then with
//! nothing waiting is refused like they are. The relay's limits of connections, and
//! those of the proxy, are what such a crowd costs.

use std::collections::VecDeque;
use std::net::IpAddr;

/// Where a message came from, as far as fairness asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address of the peer, folded to what one customer of a network provider gets.
    pub address: IpAddr,
    /// Number of the connection, unique within the process.
    pub connection: u64,
}

/// The queue; `T` is what waits.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    addresses: Rota<IpAddr, Rota<u64, VecDeque<T>>>,
    limit: usize,
    of_one_connection: usize,
}

impl<T> FairQueue<T> {
    /// Holds at most `limit`, and at most `of_one_connection` from each.
    pub(crate) fn new(limit: usize, of_one_connection: usize) -> FairQueue<T> {
        FairQueue {
            addresses: Rota::default(),
            limit,
            of_one_connection,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.waiting() == 0
    }

    /// Lets one in, and returns the one who lost his place for it: nobody, the newest
    /// of the busiest connection, or the newcomer himself.
    pub(crate) fn push(&mut self, source: Source, newcomer: T) -> Option<T> {
        let address = self.addresses.line(source.address);
        let connection = address.line(source.connection);
        connection.push_back(newcomer);
        if connection.len() > self.of_one_connection {
            return connection.pop_back();
        }
        if self.addresses.waiting() > self.limit {
            return self.addresses.lose_newest();
        }
        None
    }

    /// Takes out the one whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.addresses.take_next()
    }
}

/// Something that people wait in.
trait Line {
    type Item;

    fn waiting(&self) -> usize;

    fn take_next(&mut self) -> Option<Self::Item>;

    fn lose_newest(&mut self) -> Option<Self::Item>;
}

impl<T> Line for VecDeque<T> {
    type Item = T;

    fn waiting(&self) -> usize {
        self.len()
    }

    fn take_next(&mut self) -> Option<T> {
        self.pop_front()
    }

    fn lose_newest(&mut self) -> Option<T> {
        self.pop_back()
    }
}

/// Lines that are served in turn; none of them is empty. There are never more than the
/// queue has places, so each is found by looking at all.
#[derive(Debug)]
struct Rota<K, L> {
    /// The one whose turn it is comes first; who joins, joins at the end.
    lines: VecDeque<(K, L)>,
}

impl<K, L> Default for Rota<K, L> {
    fn default() -> Self {
        Rota {
            lines: VecDeque::new(),
        }
    }
}

impl<K: PartialEq, L: Default> Rota<K, L> {
    /// The line of this name, which the caller is about to join.
    fn line(&mut self, name: K) -> &mut L {
        let place = self.lines.iter().position(|(other, _)| *other == name);
        let place = place.unwrap_or_else(|| {
            self.lines.push_back((name, L::default()));
            self.lines.len() - 1
        });
        let (_, line) = self.lines.get_mut(place).expect("it was found or added");
        line
    }
}

impl<K, L: Line> Line for Rota<K, L> {
    type Item = L::Item;

    fn waiting(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.waiting()).sum()
    }

    fn take_next(&mut self) -> Option<L::Item> {
        let (name, mut line) = self.lines.pop_front()?;
        let next = line.take_next();
        if line.waiting() > 0 {
            self.lines.push_back((name, line));
        }
        next
    }

    /// Of lines that are equally long the one that is served last loses, so that
    /// who has just come pushes out nobody who has no more than he.
    fn lose_newest(&mut self) -> Option<L::Item> {
        let lines = self.lines.iter_mut().enumerate();
        let (place, (_, longest)) = lines.max_by_key(|(_, (_, line))| line.waiting())?;
        let lost = longest.lose_newest();
        if longest.waiting() == 0 {
            self.lines.remove(place);
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: u8, connection: u64) -> Source {
        Source {
            address: IpAddr::from([192, 0, 2, address]),
            connection,
        }
    }

    /// What waits is named by its address, its connection and its number there.
    type Name = (u8, u64, u32);

    struct Crowd(FairQueue<Name>);

    impl Crowd {
        fn of(limit: usize, of_one_connection: usize) -> Crowd {
            Crowd(FairQueue::new(limit, of_one_connection))
        }

        /// Lets so many in from one connection and returns who lost his place.
        fn joins(&mut self, address: u8, connection: u64, count: u32) -> Vec<Name> {
            let from = source(address, connection);
            (0..count)
                .filter_map(|number| self.0.push(from, (address, connection, number)))
                .collect()
        }

        fn leaves(&mut self) -> Vec<Name> {
            std::iter::from_fn(|| self.0.pop()).collect()
        }
    }

    #[test]
    fn y4_addresses_and_then_connections_are_served_in_turn() {
        let mut crowd = Crowd::of(100, 100);
        crowd.joins(1, 10, 3);
        crowd.joins(1, 11, 2);
        crowd.joins(2, 20, 2);
        let order = crowd.leaves();
        let expected = [
            (1, 10, 0),
            (2, 20, 0),
            (1, 11, 0),
            (2, 20, 1),
            (1, 10, 1),
            (1, 11, 1),
            (1, 10, 2),
        ];
        assert_eq!(order, expected);
        assert!(crowd.0.is_empty());
    }

    #[test]
    fn y4_a_full_queue_takes_a_place_from_who_has_most() {
        let mut crowd = Crowd::of(6, 6);
        assert_eq!(crowd.joins(1, 10, 4), []);
        assert_eq!(crowd.joins(1, 11, 2), []);
        assert_eq!(crowd.joins(2, 20, 2), [(1, 10, 3), (1, 10, 2)]);
        assert_eq!(crowd.joins(1, 12, 1), [(1, 11, 1)]);
        assert_eq!(crowd.leaves().len(), 6);
    }

    #[test]
    fn y4_who_has_as_much_as_all_others_pushes_nobody_out() {
        let mut crowd = Crowd::of(3, 3);
        for connection in 0..3 {
            assert_eq!(crowd.joins(1, connection, 1), []);
        }
        assert_eq!(crowd.joins(1, 3, 1), [(1, 3, 0)]);
        assert_eq!(crowd.joins(1, 0, 2), [(1, 0, 0), (1, 0, 1)]);
        assert_eq!(crowd.leaves(), [(1, 0, 0), (1, 1, 0), (1, 2, 0)]);
    }

    #[test]
    fn y4_one_connection_has_so_many_places_however_empty_the_queue() {
        let mut crowd = Crowd::of(100, 2);
        assert_eq!(crowd.joins(1, 10, 3), [(1, 10, 2)]);
        assert_eq!(crowd.joins(1, 11, 1), []);
        assert_eq!(crowd.leaves().len(), 3);
    }

    #[test]
    fn y4_a_flood_of_any_size_costs_the_other_one_turn() {
        let mut crowd = Crowd::of(256, 64);
        for connection in 0..50 {
            crowd.joins(1, connection, 100);
        }
        assert!(crowd.joins(2, 99, 1).iter().all(|lost| lost.0 == 1));
        let order = crowd.leaves();
        assert_eq!(order.len(), 256);
        let turn = order.iter().position(|name| name.0 == 2);
        assert_eq!(turn, Some(1));
    }
}
