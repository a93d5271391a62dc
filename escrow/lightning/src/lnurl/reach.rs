//! How far the node goes for an address.
//!
//! The names it asks come from strangers. A name is resolved once, all its IP
//! addresses are judged, and the connection goes to one of these very
//! addresses: a name that changes its mind in between gains nothing.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Time for a name to be resolved.
const RESOLVE_TIME: Duration = Duration::from_secs(2);

/// Where the servers behind addresses may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Anywhere on the public web, over TLS.
    Internet,
    /// Here and nowhere else, over plain HTTP, whatever an address says: the
    /// sandbox's own door, and servers of tests.
    Only(SocketAddr),
}

impl Reach {
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Reach::Internet => "https",
            Reach::Only(_) => "http",
        }
    }
}

/// A name with an address the node does not call.
#[derive(Debug, thiserror::Error)]
#[error("this name leads to where the node does not go")]
pub(super) struct OutOfReach;

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let found = match reach {
                Reach::Internet => public(resolved(name.as_str()).await?)?,
                Reach::Only(address) => vec![address],
            };
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

async fn resolved(name: &str) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    // The port is that of the URL; here it only makes the pair complete.
    let found = timeout(RESOLVE_TIME, lookup_host((name, 0))).await??;
    Ok(found.collect())
}

/// All of them, or none: whoever mixes a private address among public ones
/// waits for the connection to fall upon it.
fn public(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OutOfReach> {
    if found.iter().all(|it| is_public(it.ip())) {
        Ok(found)
    } else {
        Err(OutOfReach)
    }
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_special = a == 192 && b == 0 && c == 0;
    let was_six_to_four = a == 192 && b == 88 && c == 99;
    let is_benchmark = a == 198 && (18..20).contains(&b);
    let is_reserved = a == 0 || a >= 240;
    !(is_shared
        || is_special
        || was_six_to_four
        || is_benchmark
        || is_reserved
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast())
}

/// Only `2000::/3` is handed out. Of it, what carries an IPv4 address inside or
/// serves protocols and documents is left out; mapped, compatible, translated,
/// local and multicast addresses lie outside.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let is_handed_out = first & 0xe000 == 0x2000;
    let is_protocol = first == 0x2001 && second < 0x0200;
    let is_documentation = first == 0x2001 && second == 0x0db8 || first & 0xfff0 == 0x3ff0;
    let is_six_to_four = first == 0x2002;
    is_handed_out && !(is_protocol || is_documentation || is_six_to_four)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v5_up_a19_only_public_addresses_are_called() {
        let closed = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.9.10",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for ip in closed {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        let open = [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2a01:4f8::1",
            "2606:4700::1111",
        ];
        for ip in open {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn v5_a_name_with_one_private_address_is_not_called_at_all() {
        let at = |ips: &[&str]| {
            let found = ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
            public(found.collect()).map(|found| found.len())
        };
        assert_eq!(at(&["1.1.1.1", "2606:4700::1111"]).unwrap(), 2);
        assert!(at(&["1.1.1.1", "127.0.0.1"]).is_err());
        assert!(at(&["::1", "1.1.1.1"]).is_err());
    }

    #[tokio::test]
    async fn v5_a_name_of_this_machine_is_resolved_and_refused() {
        let name = "localhost".parse().unwrap();
        let refused = Reach::Internet.resolve(name).await.err().unwrap();
        assert!(refused.is::<OutOfReach>(), "{refused}");
    }
}
