//! Why a call to LND came back without its answer.
//!
//! LND gives nearly every error of its own the code `Unknown`, which is also what a
//! broken line looks like. They are told apart by where the status comes from: one that
//! LND sent has no source, one that was made on this side has. What became of money is
//! never read from a text; it is looked up.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tonic::{Code, Status};

use super::line::Unreached;
use crate::backend::LnError;

/// Longest text of LND's that is repeated, in characters.
const LONGEST_TEXT: usize = 200;

/// How a call went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// LND has answered with an error: the call did nothing, and never will.
    Refused {
        /// LND's code, which is `Unknown` for nearly everything.
        code: Code,
        /// LND's words.
        why: String,
    },
    /// LND has answered that these credentials may not do this.
    Forbidden(String),
    /// The call never left this machine.
    Unsent(LnError),
    /// It may have happened, or may happen yet.
    Unanswered(String),
}

/// Waits for an answer at most `limit`.
pub(super) async fn limited<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(Fault::from),
        Err(_) => Err(Fault::Unanswered(format!("no answer within {limit:?}"))),
    }
}

impl Fault {
    /// Whether LND has answered, so that nothing is on its way any more.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Fault::Refused { .. } | Fault::Forbidden(_) => true,
            Fault::Unsent(_) | Fault::Unanswered(_) => false,
        }
    }

    /// Whether LND has answered that it knows no such payment.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(
            self,
            Fault::Refused {
                code: Code::NotFound,
                ..
            }
        )
    }

    /// For a call that would have changed something, when the change was not found.
    pub(super) fn of_a_change(self) -> LnError {
        match self {
            Fault::Unanswered(why) => LnError::Ambiguous(why),
            known @ (Fault::Refused { .. } | Fault::Forbidden(_) | Fault::Unsent(_)) => {
                known.into()
            }
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        if let Some(unreached) = cause::<Unreached>(&status) {
            return Fault::Unsent(unreached.into());
        }
        let why = status.message().chars().take(LONGEST_TEXT).collect();
        let code = status.code();
        if !is_answer(&status) {
            Fault::Unanswered(why)
        } else if is_forbidden(code, &why) {
            Fault::Forbidden(why)
        } else {
            Fault::Refused { code, why }
        }
    }
}

/// For questions: nothing was changed, so asking again is safe.
impl From<Fault> for LnError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unsent(error) => error,
            Fault::Forbidden(why) => LnError::Auth(why),
            Fault::Unanswered(why) | Fault::Refused { why, .. } => LnError::Unavailable(why),
        }
    }
}

/// Whether LND itself sent this status as its answer.
fn is_answer(status: &Status) -> bool {
    if status.source().is_some() {
        return false;
    }
    match status.code() {
        // A stream that was cut by a proxy ends without a status; the client library
        // makes one up that begins like this.
        Code::Unknown => !status.message().starts_with("protocol error:"),
        Code::NotFound
        | Code::AlreadyExists
        | Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::ResourceExhausted => true,
        Code::Ok
        | Code::Internal
        | Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::Aborted
        | Code::DataLoss => false,
    }
}

/// LND has no code for this. The texts only choose what the operator is told.
fn is_forbidden(code: Code, why: &str) -> bool {
    const TEXTS: [&str; 6] = [
        "permission denied",
        "expected 1 macaroon",
        "verification failed",
        "cannot retrieve macaroon",
        "cannot determine data format",
        // An account of litd, which knows no hold invoices.
        "not supported with restricted account macaroons",
    ];
    matches!(code, Code::PermissionDenied | Code::Unauthenticated)
        || TEXTS.iter().any(|text| why.contains(text))
}

fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut error = Some(error);
    while let Some(present) = error {
        if let Some(found) = present.downcast_ref() {
            return Some(found);
        }
        error = present.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn only_what_lnd_sent_is_an_answer() {
        let sent = Status::unknown("invoice still open");
        assert!(Fault::from(sent).is_answer());

        let mut broken = Status::unknown("h2 protocol error");
        broken.set_source(Arc::new(std::io::Error::other("cut")));
        assert!(!Fault::from(broken).is_answer());
        let cut = Status::unknown("protocol error: missing grpc-status trailer");
        assert!(!Fault::from(cut).is_answer());
        assert!(!Fault::from(Status::unavailable("a proxy's word")).is_answer());
    }

    #[test]
    fn a_change_without_an_answer_is_ambiguous_and_a_question_is_not() {
        let silent = || Fault::Unanswered("silence".into());
        assert!(matches!(silent().of_a_change(), LnError::Ambiguous(_)));
        assert!(matches!(silent().into(), LnError::Unavailable(_)));
    }

    #[test]
    fn what_lnd_says_of_macaroons_is_for_the_operator() {
        let texts = [
            "permission denied",
            "expected 1 macaroon, got 0",
            "verification failed: signature mismatch after caveat verification",
            "cannot retrieve macaroon: root key with id 21 doesn't exist",
            "cannot determine data format of binary-encoded macaroon",
            "this RPC call is not supported with restricted account macaroons",
        ];
        for text in texts {
            let error = LnError::from(Fault::from(Status::unknown(text)));
            assert_eq!(error, LnError::Auth(text.into()));
        }
    }

    #[test]
    fn an_endless_text_is_cut() {
        let Fault::Refused { why, .. } = Fault::from(Status::unknown("x".repeat(5_000))) else {
            panic!("LND has answered");
        };
        assert_eq!(why.len(), LONGEST_TEXT);
    }
}
