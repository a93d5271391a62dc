//! What a policy can answer.

use std::borrow::Cow;
use std::fmt;

use crate::{BoxFuture, Receipt};

/// The machine-readable first word of an `OK` or `CLOSED` text (NIP-01, NIP-42).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// The relay has this event, or a newer version of it.
    Duplicate,
    /// The id carries too little proof of work.
    Pow,
    /// The author, the address or this kind of event is not welcome.
    Blocked,
    /// Too much in too short a time; the same again later may pass.
    RateLimited,
    /// The event or filter itself is wrong.
    Invalid,
    /// Only some clients may do this, and this one has not said who he is: with this
    /// prefix the relay asks him to prove a key, and he may try again.
    AuthRequired,
    /// Only some clients may do this.
    Restricted,
    /// The relay failed; the same may be sent again as it is.
    Error,
}

impl fmt::Display for Prefix {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Duplicate => "duplicate",
            Self::Pow => "pow",
            Self::Blocked => "blocked",
            Self::RateLimited => "rate-limited",
            Self::Invalid => "invalid",
            Self::AuthRequired => "auth-required",
            Self::Restricted => "restricted",
            Self::Error => "error",
        })
    }
}

/// A refusal with its reason; prints as the text of an `OK` or `CLOSED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The standard first word.
    pub prefix: Prefix,
    /// The reason, for a human.
    pub why: Cow<'static, str>,
}

impl Refusal {
    /// Builds a refusal from its two halves.
    #[must_use]
    pub fn new(prefix: Prefix, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            prefix,
            why: why.into(),
        }
    }

    /// Builds a refusal of something that is wrong in itself.
    #[must_use]
    pub fn invalid(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Prefix::Invalid, why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.prefix, self.why)
    }
}

/// What shall become of an event whose id and signature are right.
pub enum Verdict {
    /// Store it (unless it is ephemeral) and show it to subscribers.
    Keep,
    /// Somebody took it: neither store nor show it, and answer with the receipt.
    Taken(BoxFuture<'static, Receipt>),
    /// Answer `OK false` with this text.
    Refuse(Refusal),
}

impl fmt::Debug for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => out.write_str("Keep"),
            Self::Taken(_) => out.write_str("Taken"),
            Self::Refuse(refusal) => write!(out, "Refuse({refusal})"),
        }
    }
}
