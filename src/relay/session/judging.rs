//! What a frame says, and what can be found out about it ahead of its turn.
//!
//! Frames are understood in batches and beside the conversation. So nothing here may
//! depend on what the client said before, and nothing is changed.

use nostr::event::Event;
use relay_policy::{Arrival, Prefix, Refusal, Session};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::relay::Relay;
use crate::relay::words::{self, Said};

/// Bytes of an `EVENT` frame that are not the event: `["EVENT",` and `]`.
const EVENT_FRAME_BYTES: usize = 10;

/// A frame as it came.
pub(super) enum Frame {
    /// One with text.
    Text {
        /// What it says.
        text: Utf8Bytes,
        /// Whether the client still had the right to say it.
        in_time: bool,
    },
    /// One with bytes, which nobody understands.
    Binary {
        /// Whether the client still had the right to say it.
        in_time: bool,
    },
}

/// What a frame says.
pub(super) struct Understood {
    pub(super) said: Said,
    /// Size of its event, if it brought one.
    pub(super) size_bytes: usize,
    /// Why it cannot be followed, as far as that is clear: it came too fast, or its event
    /// is refused by a cheap rule, or its event or proof has a wrong id or signature.
    pub(super) refusal: Option<Refusal>,
}

impl Frame {
    /// Finds out what it says; an event or a proof without a refusal has a right id and
    /// signature.
    pub(super) fn understand(&self, relay: &Relay, session: &Session) -> Understood {
        let (text, in_time) = match self {
            Self::Text { text, in_time } => (text, in_time),
            Self::Binary { in_time: false } => {
                return unclear(words::notice(&too_fast().to_string()));
            }
            Self::Binary { in_time: true } => {
                return unclear(words::notice("invalid: binary frames are not understood"));
            }
        };
        let (size, limit) = (text.len(), relay.limits().frame_bytes);
        if size > limit {
            let answer = format!("invalid: a frame of {size} bytes is over {limit} bytes");
            return unclear(words::notice(&answer));
        }
        let said = Said::read(text);
        let size_bytes = size.saturating_sub(EVENT_FRAME_BYTES);
        let refusal = match &said {
            _ if !in_time => Some(too_fast()),
            Said::Event(event) => {
                let arrival = Arrival {
                    event,
                    size_bytes,
                    now: relay.now(),
                };
                judge(relay, session, arrival).err()
            }
            Said::Auth(proof) => verify(proof).err(),
            Said::Req(..) | Said::Count(..) | Said::Close(_) | Said::Unclear(_) => None,
        };
        Understood {
            said,
            size_bytes,
            refusal,
        }
    }
}

fn judge(relay: &Relay, session: &Session, arrival: Arrival<'_>) -> Result<(), Refusal> {
    let writing = &relay.inner.parts.writing;
    writing.before_signature(session, arrival)?;
    verify(arrival.event)
}

fn verify(event: &Event) -> Result<(), Refusal> {
    if !event.verify_id() {
        return Err(Refusal::invalid("the id is not the hash of the event"));
    }
    if !event.verify_signature() {
        return Err(Refusal::invalid("the signature is wrong"));
    }
    Ok(())
}

fn unclear(answer: String) -> Understood {
    Understood {
        said: Said::Unclear(answer),
        size_bytes: 0,
        refusal: None,
    }
}

fn too_fast() -> Refusal {
    Refusal::new(
        Prefix::RateLimited,
        "too many frames, try again in a moment",
    )
}
