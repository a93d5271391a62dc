//! A bad line: a TCP proxy that delays, cuts and loses answers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::error::{RegtestError, Result};

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Everything passes.
    Good,
    /// Everything passes, each piece so much later.
    Slow(Duration),
    /// Questions pass, answers are thrown away; whoever asks hears nothing,
    /// not even an end.
    Deaf,
    /// Nothing passes in either direction, and nobody is told.
    Silent,
    /// Connections are closed, and new ones too.
    Cut,
}

/// A line to another address, as good or bad as one likes.
///
/// A connection that has lost something closes when the line changes, since
/// nothing sensible can follow a gap. All connections end with the proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    _work: JoinSet<()>,
}

impl Proxy {
    /// A good line to an address, from a free port of this machine.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn to(target: SocketAddr) -> Result<Proxy> {
        let failed = RegtestError::system("open a proxy");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(&failed)?;
        let address = listener.local_addr().map_err(&failed)?;
        let (state, watched) = watch::channel(State {
            line: Line::Good,
            cuts: 0,
        });
        let mut work = JoinSet::new();
        work.spawn(serve(listener, target, watched));
        Ok(Proxy {
            address,
            state,
            _work: work,
        })
    }

    /// Where to call.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes the line better or worse, also for connections that are open.
    pub fn becomes(&self, line: Line) {
        self.state.send_modify(|state| {
            state.line = line;
            state.cuts += u64::from(line == Line::Cut);
        });
    }

    /// Closes all connections; new ones are good.
    pub fn drops_all(&self) {
        self.becomes(Line::Cut);
        self.becomes(Line::Good);
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    line: Line,
    /// A connection is as old as this number was at its start, and ends when
    /// it grows; so a cut that was mended at once is noticed too.
    cuts: u64,
}

async fn serve(listener: TcpListener, target: SocketAddr, state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if state.borrow().line != Line::Cut {
            connections.spawn(connection(client, target, state.clone()));
        }
    }
}

/// Whichever side ends first ends the whole.
async fn connection(client: TcpStream, target: SocketAddr, state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (questions, answers) = (state.clone(), state);
    tokio::select! {
        _ = carry(from_client, to_server, Pass::Questions, questions) => (),
        _ = carry(from_server, to_client, Pass::Answers, answers) => (),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Questions,
    Answers,
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    pass: Pass,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut piece = vec![0; 16 * 1024];
    let mut has_lost = false;
    let birth = state.borrow().cuts;
    loop {
        let length = tokio::select! {
            biased;
            changed = state.changed() => {
                if changed.is_err() || has_lost || state.borrow_and_update().cuts != birth {
                    return Ok(());
                }
                continue;
            }
            length = from.read(&mut piece) => length?,
        };
        if length == 0 {
            return Ok(());
        }
        let delay = match state.borrow().line {
            Line::Slow(delay) => delay,
            Line::Good | Line::Deaf | Line::Silent | Line::Cut => Duration::ZERO,
        };
        sleep(delay).await;
        // It may have become worse while this piece was on its way.
        let State { line, cuts } = *state.borrow();
        match line {
            _ if cuts != birth => return Ok(()),
            Line::Good | Line::Slow(_) => (),
            Line::Deaf if pass == Pass::Questions => (),
            Line::Deaf | Line::Silent => {
                has_lost = true;
                continue;
            }
            Line::Cut => return Ok(()),
        }
        to.write_all(piece.get(..length).unwrap_or_default())
            .await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_line_turns_deaf_and_good_again_and_is_cut() {
        let (proxy, _echo) = line_to_an_echo().await;
        let mut call = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut call, b"one").await.unwrap(), b"one");

        proxy.becomes(Line::Slow(Duration::from_millis(1)));
        assert_eq!(says(&mut call, b"two").await.unwrap(), b"two");

        proxy.becomes(Line::Deaf);
        let answer = timeout(Duration::from_millis(50), says(&mut call, b"lost")).await;
        assert!(answer.is_err(), "nothing is heard, not even an end");
        proxy.becomes(Line::Good);
        let end = says(&mut call, b"gap").await;
        assert!(end.is_err(), "nothing can follow a gap: {end:?}");

        let mut call = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut call, b"three").await.unwrap(), b"three");
        proxy.drops_all();
        assert!(says(&mut call, b"cut").await.is_err());
        let mut call = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut call, b"four").await.unwrap(), b"four");
    }

    async fn line_to_an_echo() -> (Proxy, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut echo = JoinSet::new();
        echo.spawn(async move {
            while let Ok((mut call, _)) = listener.accept().await {
                let (mut from, mut to) = call.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            }
        });
        (Proxy::to(address).await.unwrap(), echo)
    }

    async fn says(call: &mut TcpStream, words: &[u8]) -> io::Result<Vec<u8>> {
        call.write_all(words).await?;
        let mut heard = vec![0; words.len()];
        call.read_exact(&mut heard).await?;
        Ok(heard)
    }
}
