//! Who is connected, and who may come in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use relay_policy::address_group;

use crate::relay::RelayLimits;

/// Everybody who is connected.
#[derive(Debug, Default)]
pub(super) struct Visitors {
    present: Mutex<Present>,
}

#[derive(Debug, Default)]
struct Present {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection among those that are allowed; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    address: IpAddr,
    visitors: Arc<Visitors>,
}

impl Visitors {
    /// Gives a seat to a connection from there.
    ///
    /// # Errors
    ///
    /// What the client is told, if there is none for him.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: IpAddr,
        limits: &RelayLimits,
    ) -> Result<Seat, &'static str> {
        let address = address_group(peer);
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.all >= limits.connections {
            return Err("the relay is full, come back later\n");
        }
        let here = present.by_address.entry(address).or_default();
        if *here >= limits.connections_per_address && !address.is_loopback() {
            return Err("too many connections from your address\n");
        }
        *here = here.saturating_add(1);
        present.all = present.all.saturating_add(1);
        Ok(Seat {
            address,
            visitors: self.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut present = self
            .visitors
            .present
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        present.all = present.all.saturating_sub(1);
        if let Some(here) = present.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                present.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_limited_and_given_back() {
        let limits = RelayLimits {
            connections: 4,
            connections_per_address: 2,
            ..RelayLimits::default()
        };
        let visitors = Arc::new(Visitors::default());
        let admit = |address: &str| visitors.admit(address.parse().unwrap(), &limits);
        let first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::2").unwrap();
        assert!(admit("2001:db8::3").is_err(), "the same /64");
        let _third = admit("127.0.0.1").unwrap();
        let _fourth = admit("127.0.0.1").unwrap();
        assert!(admit("192.0.2.7").is_err(), "full");
        drop(first);
        assert!(admit("192.0.2.7").is_ok());
        assert!(
            admit("127.0.0.1").is_ok(),
            "loopback is not counted by address"
        );
    }
}
