//! Ports, from the moment they are ours to the moment they are open.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::NodeError;

/// Connections the system may hold before they are accepted.
const BACKLOG: u32 = 1_024;

/// A port that is ours and not open yet: who comes early is turned away and
/// does not wait for a start that may fail.
pub(super) struct Port {
    key: &'static str,
    pub(super) address: SocketAddr,
    socket: TcpSocket,
}

impl Port {
    pub(super) fn take(key: &'static str, address: SocketAddr) -> Result<Port, NodeError> {
        let take = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A restart does not wait for connections that are dying.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        };
        let (socket, address) = take().map_err(|source| NodeError::Port {
            key,
            address,
            source,
        })?;
        Ok(Port {
            key,
            address,
            socket,
        })
    }

    pub(super) fn open(self) -> Result<TcpListener, NodeError> {
        let Port {
            key,
            address,
            socket,
        } = self;
        socket.listen(BACKLOG).map_err(|source| NodeError::Port {
            key,
            address,
            source,
        })
    }
}
