//! Who is at the other end of a connection.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

use nostr::key::PublicKey;

/// One client connection, as far as a policy may look at it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Number of the connection, unique within the process.
    pub id: u64,
    /// Address of the peer.
    pub peer: IpAddr,
    /// Keys the client has proven to hold on this connection.
    pub authenticated: ProvenKeys,
}

impl Session {
    /// Describes a fresh connection that has proven no key.
    #[must_use]
    pub fn new(id: u64, peer: IpAddr) -> Self {
        Self {
            id,
            peer,
            authenticated: ProvenKeys::default(),
        }
    }
}

/// The keys a client has proven to hold (NIP-42); clones share them.
///
/// They only become more while the connection lives, so whoever keeps a clone of the
/// session sees a proof that came later.
#[derive(Debug, Clone, Default)]
pub struct ProvenKeys(Arc<RwLock<BTreeSet<PublicKey>>>);

impl ProvenKeys {
    /// Adds a key unless there are `most` others already, and tells whether it is there.
    pub fn add(&self, key: PublicKey, most: usize) -> bool {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.contains(&key) || (keys.len() < most && keys.insert(key))
    }

    /// Tells whether this key was proven.
    #[must_use]
    pub fn contains(&self, key: &PublicKey) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.contains(key)
    }

    /// Tells whether no key was proven.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.is_empty()
    }
}

/// Folds an address to what one subscriber of a network provider gets.
///
/// An IPv6 customer holds at least a /64, so limits by single address would not bind him.
#[must_use]
pub fn address_group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;

    #[test]
    fn a_proof_is_seen_by_every_clone_and_their_number_is_bounded() {
        let session = Session::new(1, IpAddr::from([192, 0, 2, 7]));
        let earlier = session.clone();
        let [first, second, third] = [(); 3].map(|()| Keys::generate().public_key());
        assert!(earlier.authenticated.is_empty());
        assert!(session.authenticated.add(first, 2));
        assert!(session.authenticated.add(second, 2));
        assert!(!session.authenticated.add(third, 2));
        assert!(session.authenticated.add(first, 2), "it is there already");
        let known = [first, second, third].map(|key| earlier.authenticated.contains(&key));
        assert_eq!(known, [true, true, false]);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_group() {
        let group = |text: &str| address_group(text.parse().unwrap());
        assert_eq!(group("2001:db8::1"), group("2001:db8::ffff:1"));
        assert_ne!(group("2001:db8::1"), group("2001:db8:0:1::1"));
        assert_eq!(group("::ffff:192.0.2.7"), group("192.0.2.7"));
        assert_ne!(group("192.0.2.7"), group("192.0.2.8"));
    }
}
