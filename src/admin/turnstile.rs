//! Who may call the admin service, and how often.

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
        counted.calls += 1;
        if counted.calls > CALLS {
            return Err(Status::resource_exhausted("too many calls: wait a minute"));
        }
        if need == Need::TokenHere && !from.is_loopback() {
            return Err(Status::permission_denied("only from this machine"));
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
                    Err(Status::permission_denied("the token is missing or wrong"))
                }
            },
        }
    }
}

impl Counted {
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
    use tonic::Code;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn code(admitted: Result<(), Status>) -> Code {
        admitted.map_or_else(|why| why.code(), |()| Code::Ok)
    }

    fn turnstile() -> Turnstile {
        Turnstile::new(Token::new(TOKEN))
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
        let turnstile = turnstile();
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
        let turnstile = turnstile();
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
    fn passwords_are_few_and_calls_are_counted() {
        let from = "192.0.2.1".parse().unwrap();
        let turnstile = turnstile();
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
