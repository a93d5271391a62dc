//! Who is at the other end of a connection.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use nostr::key::PublicKey;

/// One client connection, as far as a policy may look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Number of the connection, unique within the process.
    pub id: u64,
    /// Address of the peer.
    pub peer: IpAddr,
    /// Keys the client has proven to hold on this connection.
    pub authenticated: BTreeSet<PublicKey>,
}

impl Session {
    /// Describes a fresh connection that has proven no key.
    #[must_use]
    pub fn new(id: u64, peer: IpAddr) -> Self {
        Self {
            id,
            peer,
            authenticated: BTreeSet::new(),
        }
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
    use super::*;

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_group() {
        let group = |text: &str| address_group(text.parse().unwrap());
        assert_eq!(group("2001:db8::1"), group("2001:db8::ffff:1"));
        assert_ne!(group("2001:db8::1"), group("2001:db8:0:1::1"));
        assert_eq!(group("::ffff:192.0.2.7"), group("192.0.2.7"));
        assert_ne!(group("192.0.2.7"), group("192.0.2.8"));
    }
}
