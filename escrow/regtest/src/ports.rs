//! Which ports a network listens on, all of them on this machine only.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;

use crate::error::{RegtestError, Result};

/// The ports of one network; two networks with ranges apart run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    first: u16,
}

/// Below the range from which systems give ports to whoever asks for any.
const LOWEST: u16 = 12_000;
const RANGES: u16 = 500;

impl Ports {
    /// How many ports a network takes.
    pub const COUNT: u16 = 30;

    /// The ports from this one on.
    #[must_use]
    pub const fn from(first: u16) -> Ports {
        Ports { first }
    }

    /// A range that is free at this moment; two processes that ask at the same
    /// time begin to look at different places.
    ///
    /// # Errors
    /// [`RegtestError::NoPorts`] if there is none.
    pub fn free() -> Result<Ports> {
        let begin = process::id();
        (0..u32::from(RANGES))
            .filter_map(|step| u16::try_from((begin + step) % u32::from(RANGES)).ok())
            .map(|range| Ports::from(LOWEST + range * Ports::COUNT))
            .find(|ports| ports.are_free())
            .ok_or(RegtestError::NoPorts(Ports::COUNT))
    }

    /// The first of them.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    pub(crate) fn chain_peers(self) -> SocketAddr {
        self.port(0)
    }

    pub(crate) fn chain_rpc(self) -> SocketAddr {
        self.port(1)
    }

    /// Where the LND node of this number talks to other nodes.
    pub(crate) fn peers(self, number: u16) -> SocketAddr {
        self.port(10 + number)
    }

    /// Where the LND node of this number is asked.
    pub(crate) fn grpc(self, number: u16) -> SocketAddr {
        self.port(20 + number)
    }

    fn port(self, offset: u16) -> SocketAddr {
        let port = self.first.saturating_add(offset);
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn are_free(self) -> bool {
        (0..Ports::COUNT).all(|offset| TcpListener::bind(self.port(offset)).is_ok())
    }
}
