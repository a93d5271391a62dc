//! A relay in front of another that keeps back what it should tell.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

/// Passes all on to the relay, and back what is not kept.
pub(crate) struct Keeper {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Keeper {
    pub(crate) async fn of(relay: SocketAddr, keeps: fn(&Value) -> bool) -> Keeper {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut visits = JoinSet::new();
            loop {
                let (visitor, _) = listener.accept().await.unwrap();
                visits.spawn(pass(visitor, relay, keeps));
            }
        });
        Keeper {
            address,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

async fn pass(visitor: TcpStream, relay: SocketAddr, keeps: fn(&Value) -> bool) {
    let mut visitor = accept_async(visitor).await.unwrap();
    let stream = TcpStream::connect(relay).await.unwrap();
    let url = format!("ws://{relay}");
    let (mut relay, _) = client_async(url, stream).await.unwrap();
    loop {
        let passed = tokio::select! {
            Some(Ok(asked)) = visitor.next() => {
                if asked.is_text() { relay.send(asked).await } else { Ok(()) }
            }
            Some(Ok(told)) = relay.next() => {
                let passes = told.is_text() && !is_kept(&told, keeps);
                if passes { visitor.send(told).await } else { Ok(()) }
            }
            else => return,
        };
        if passed.is_err() {
            return;
        }
    }
}

fn is_kept(told: &Message, keeps: fn(&Value) -> bool) -> bool {
    keeps(&serde_json::from_str(told.to_text().unwrap()).unwrap())
}
