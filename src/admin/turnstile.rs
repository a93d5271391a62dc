//! Who may call the admin service, and how often.
//!
//! Each wrong token is logged, and they are few; of the refusals of which there may be
//! many, only the first in a window.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, Status};

use super::token::Token;

/// Calls and guesses are counted for so long.
const WINDOW: Duration = Duration::from_secs(60);
/// Calls of one address in a window.
const CALLS: u32 = 600;
/// Guesses of one address in a window: tokens that are wrong, and passwords.
const GUESSES: u32 = 10;
/// Addresses that are counted at once; beyond them strangers wait.
const ADDRESSES: usize = 1_024;

/// Lets callers through, or not.
#[derive(Debug)]
pub(super) struct Turnstile {
    token: Option<Token>,
    addresses: Mutex<HashMap<IpAddr, Counted>>,
}

#[derive(Debug)]
struct Counted {
    since: Instant,
    calls: u32,
    guesses: u32,
    /// Calls that are only for this machine.
    misplaced: u32,
}

/// What a method asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing.
    Nothing,
    /// A guess that must not be made too often.
    FewGuesses,
    /// The token, if there is one.
    Token,
    /// The token, and to be on this machine.
    TokenHere,
}

impl Turnstile {
    pub(super) fn new(token: Option<Token>) -> Turnstile {
        Turnstile {
            token,
            addresses: Mutex::default(),
        }
    }

    /// Lets a caller through.
    ///
    /// # Errors
    /// The status he is answered with.
    pub(super) fn admit<T>(&self, request: &Request<T>, need: Need) -> Result<(), Status> {
        let address = request.remote_addr().map(|peer| peer.ip().to_canonical());
        let address = address.ok_or_else(|| Status::internal("the address is not known"))?;
        let header = request.metadata().get("authorization");
        let given = header
            .and_then(|value| value.to_str().ok())
            .and_then(bearer);
        self.admit_from(address, given, need)
    }

    fn admit_from(&self, from: IpAddr, given: Option<&str>, need: Need) -> Result<(), Status> {
        let mut addresses = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let counted = counted(&mut addresses, from)?;
        counted.call(from)?;
        if need == Need::TokenHere && !from.is_loopback() {
            return Err(counted.misplace(from));
        }
        match need {
            Need::Nothing => Ok(()),
            Need::FewGuesses => counted.guess(from),
            Need::Token | Need::TokenHere => match &self.token {
                None => Ok(()),
                // Who has guessed too often is not told whether the next guess is right.
                Some(_) if counted.guesses > GUESSES => counted.guess(from),
                Some(token) if given.is_some_and(|given| token.is(given)) => Ok(()),
                Some(_) => {
                    counted.guess(from)?;
                    let why = "the token is missing or wrong";
                    tracing::warn!(%from, why, "a call to the admin service is refused");
                    Err(Status::permission_denied(why))
                }
            },
        }
    }
}

impl Counted {
    fn call(&mut self, from: IpAddr) -> Result<(), Status> {
        self.calls += 1;
        if self.calls <= CALLS {
            return Ok(());
        }
        if self.calls == CALLS + 1 {
            tracing::warn!(%from, "the admin service is called too often; the caller has to wait");
        }
        Err(Status::resource_exhausted("too many calls: wait a minute"))
    }

    fn misplace(&mut self, from: IpAddr) -> Status {
        self.misplaced += 1;
        let why = "only from this machine";
        if self.misplaced == 1 {
            tracing::warn!(%from, why, "a call to the admin service is refused");
        }
        Status::permission_denied(why)
    }

    fn guess(&mut self, from: IpAddr) -> Result<(), Status> {
        self.guesses += 1;
        if self.guesses <= GUESSES {
            return Ok(());
        }
        if self.guesses == GUESSES + 1 {
            tracing::warn!(%from, "somebody guesses at the admin service; he has to wait");
        }
        Err(Status::resource_exhausted("too many tries: wait a minute"))
    }
}

fn counted(addresses: &mut HashMap<IpAddr, Counted>, from: IpAddr) -> Result<&mut Counted, Status> {
    let now = Instant::now();
    if addresses.len() >= ADDRESSES {
        addresses.retain(|_, counted| now - counted.since < WINDOW);
    }
    if addresses.len() >= ADDRESSES && !addresses.contains_key(&from) {
        return Err(Status::resource_exhausted(
            "too many callers: wait a minute",
        ));
    }
    let fresh = || Counted {
        since: now,
        calls: 0,
        guesses: 0,
        misplaced: 0,
    };
    let counted = addresses.entry(from).or_insert_with(fresh);
    if now - counted.since >= WINDOW {
        *counted = fresh();
    }
    Ok(counted)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use tonic::Code;
    use tracing::subscriber::DefaultGuard;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn code(admitted: Result<(), Status>) -> Code {
        admitted.map_or_else(|why| why.code(), |()| Code::Ok)
    }

    fn turnstile() -> Turnstile {
        Turnstile::new(Token::new(TOKEN))
    }

    /// What this thread logs. Every test that calls has one: of a line that is
    /// first reached where nobody reads, just as another thread begins to read,
    /// tracing believes for good that nobody does.
    struct Log {
        lines: Lines,
        _reads: DefaultGuard,
    }

    impl Log {
        fn read() -> Log {
            let lines = Lines::default();
            let writer = lines.clone();
            let log = tracing_subscriber::fmt().with_writer(move || writer.clone());
            Log {
                lines,
                _reads: tracing::subscriber::set_default(log.with_ansi(false).finish()),
            }
        }

        /// What is new in it.
        fn news(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.lines.0.lock().unwrap())).unwrap()
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_token_opens_and_some_methods_are_only_for_this_machine() {
        let (here, there) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let table = [
            (here, Some(TOKEN), Need::Token, Code::Ok),
            (there, Some(TOKEN), Need::Token, Code::Ok),
            (here, None, Need::Token, Code::PermissionDenied),
            (here, Some("wrong"), Need::Token, Code::PermissionDenied),
            (here, Some(TOKEN), Need::TokenHere, Code::Ok),
            (there, Some(TOKEN), Need::TokenHere, Code::PermissionDenied),
            (there, None, Need::Nothing, Code::Ok),
        ];
        let (_log, turnstile) = (Log::read(), turnstile());
        for (from, given, need, expected) in table {
            let admitted = turnstile.admit_from(from, given, need);
            assert_eq!(code(admitted), expected, "{from} {given:?} {need:?}");
        }
        let open = Turnstile::new(None);
        assert_eq!(code(open.admit_from(here, None, Need::Token)), Code::Ok);
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_too_often_waits_even_with_the_right_token_and_nobody_else_does() {
        let (guesser, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let (_log, turnstile) = (Log::read(), turnstile());
        for _ in 0..GUESSES {
            let guess = turnstile.admit_from(guesser, Some("wrong"), Need::Token);
            assert_eq!(code(guess), Code::PermissionDenied);
        }
        let over = turnstile.admit_from(guesser, Some("wrong"), Need::Token);
        assert_eq!(code(over), Code::ResourceExhausted);
        let right = |from| code(turnstile.admit_from(from, Some(TOKEN), Need::Token));
        assert_eq!(right(guesser), Code::ResourceExhausted);
        assert_eq!(right(other), Code::Ok);
        tokio::time::advance(WINDOW).await;
        assert_eq!(right(guesser), Code::Ok);
    }

    #[test]
    fn each_wrong_token_is_logged_and_a_flood_of_calls_once() {
        let (here, there) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let (log, turnstile) = (Log::read(), turnstile());
        let tries = |from, given, need, times: u32| {
            for _ in 0..times {
                drop(turnstile.admit_from(from, given, need));
            }
            let news = log.news();
            assert!(!news.contains("guessed") && !news.contains(TOKEN), "{news}");
            news.lines().count()
        };
        assert_eq!(tries(here, Some(TOKEN), Need::Token, 3), 0);
        assert_eq!(tries(here, None, Need::Token, 1), 1);
        assert_eq!(tries(here, Some("guessed"), Need::TokenHere, 1), 1);
        assert_eq!(tries(here, Some("guessed"), Need::Token, 50), 8 + 1);
        assert_eq!(tries(there, Some(TOKEN), Need::TokenHere, 50), 1);
        assert_eq!(tries(there, None, Need::Nothing, 1_000), 1);
    }

    #[test]
    fn passwords_are_few_and_calls_are_counted() {
        let from = "192.0.2.1".parse().unwrap();
        let (_log, turnstile) = (Log::read(), turnstile());
        let tries = |need, times| {
            let codes = (0..times).map(|_| code(turnstile.admit_from(from, None, need)));
            codes.filter(|code| *code == Code::Ok).count()
        };
        assert_eq!(tries(Need::FewGuesses, 50), 10);
        assert_eq!(tries(Need::Nothing, 600), 550);
    }

    #[test]
    fn a_token_is_borne() {
        let table = [
            ("Bearer x", Some("x")),
            ("bearer  x ", Some("x")),
            ("Basic x", None),
            ("x", None),
        ];
        for (header, token) in table {
            assert_eq!(bearer(header), token, "{header}");
        }
    }
}
