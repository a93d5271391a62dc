//! What a relay says, read no further than needed.

use nostr::event::EventId;
use serde_json::Value;

use super::connection::position;

/// One message of a relay.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// What became of an event.
    Ok {
        id: EventId,
        accepted: bool,
        /// The whole message, for who wants to know more.
        whole: &'a [u8],
    },
    /// An event, still as JSON inside its message.
    Event(Sight<'a>),
    /// The stored events are all told.
    Eose,
    /// An answer to a count.
    Count(u64),
    /// A subscription or count is refused, or ended.
    Closed(String),
    /// Words for people, which mostly mean that something was not taken.
    Notice(String),
    /// Something that nobody asked for.
    Aside,
}

/// An event that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight<'a> {
    whole: &'a [u8],
}

impl<'a> Reply<'a> {
    /// Reads a message. The usual spelling of the two frequent ones is known
    /// by heart; everything else goes through a parser.
    pub(super) fn read(message: &'a [u8]) -> Reply<'a> {
        if message.starts_with(b"[\"EVENT\",") {
            return Reply::Event(Sight { whole: message });
        }
        usual_ok(message).unwrap_or_else(|| parsed(message))
    }
}

impl Sight<'_> {
    /// Which event it is.
    pub(super) fn id(&self) -> Option<EventId> {
        // A quote inside a string has a backslash before it, so nothing that
        // somebody wrote into an event can look like this.
        const NAME: &[u8] = b"\"id\":\"";
        match position(self.whole, NAME) {
            Some(at) => hex_id(self.whole.get(at + NAME.len()..)?.get(..64)?),
            None => EventId::from_hex(self.event()?.get("id")?.as_str()?).ok(),
        }
    }

    /// When it was made.
    pub(super) fn created_at(&self) -> Option<u64> {
        const NAME: &[u8] = b"\"created_at\":";
        let Some(at) = position(self.whole, NAME) else {
            return self.event()?.get("created_at")?.as_u64();
        };
        let digits = self.whole.get(at + NAME.len()..)?.trim_ascii_start();
        let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
        digits.copied().try_fold(0_u64, |number, digit| {
            number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        })
    }

    fn event(&self) -> Option<Value> {
        let Ok(Value::Array(mut parts)) = serde_json::from_slice(self.whole) else {
            return None;
        };
        parts.pop()
    }
}

/// `["OK","<id>",true,` or with `false`, without a blank.
fn usual_ok(message: &[u8]) -> Option<Reply<'_>> {
    let rest = message.strip_prefix(b"[\"OK\",\"")?;
    let (id, rest) = rest.split_at_checked(64)?;
    let accepted = if rest.starts_with(b"\",true,") {
        true
    } else if rest.starts_with(b"\",false,") {
        false
    } else {
        return None;
    };
    Some(Reply::Ok {
        id: hex_id(id)?,
        accepted,
        whole: message,
    })
}

fn parsed(message: &[u8]) -> Reply<'_> {
    let Ok(Value::Array(parts)) = serde_json::from_slice(message) else {
        return Reply::Aside;
    };
    let text = |at: usize| parts.get(at).and_then(Value::as_str);
    match (text(0), parts.get(2)) {
        (Some("OK"), Some(Value::Bool(accepted))) => {
            let id = text(1).and_then(|id| EventId::from_hex(id).ok());
            id.map_or(Reply::Aside, |id| Reply::Ok {
                id,
                accepted: *accepted,
                whole: message,
            })
        }
        (Some("EVENT"), Some(_)) => Reply::Event(Sight { whole: message }),
        (Some("EOSE"), _) => Reply::Eose,
        (Some("COUNT"), Some(answer)) => answer
            .get("count")
            .and_then(Value::as_u64)
            .map_or(Reply::Aside, Reply::Count),
        (Some("CLOSED"), _) => Reply::Closed(text(2).unwrap_or_default().to_owned()),
        (Some("NOTICE"), _) => Reply::Notice(text(1).unwrap_or_default().to_owned()),
        _ => Reply::Aside,
    }
}

fn hex_id(hex: &[u8]) -> Option<EventId> {
    let mut bytes = [0; 32];
    faster_hex::hex_decode(hex, &mut bytes).ok()?;
    Some(EventId::from_byte_array(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let hex = "ab".repeat(32);
        let id = EventId::from_hex(&hex).unwrap();
        for (blank, accepted) in [("", true), ("", false), (" ", true), (" ", false)] {
            let message = format!(r#"["OK",{blank}"{hex}",{blank}{accepted},{blank}"why"]"#);
            let whole = message.as_bytes();
            let expected = Reply::Ok {
                id,
                accepted,
                whole,
            };
            assert_eq!(Reply::read(whole), expected, "{message}");
        }
        let table = [
            (r#"["EOSE","a"]"#, Reply::Eose),
            (r#"["COUNT","a",{"count":7}]"#, Reply::Count(7)),
            (
                r#"["CLOSED","a","error: no"]"#,
                Reply::Closed("error: no".into()),
            ),
            (r#"["NOTICE","hm"]"#, Reply::Notice("hm".into())),
            (r#"["AUTH","hm"]"#, Reply::Aside),
            ("nonsense", Reply::Aside),
        ];
        for (message, expected) in table {
            assert_eq!(Reply::read(message.as_bytes()), expected, "{message}");
        }
    }

    #[test]
    fn an_event_is_known_by_its_own_id_and_not_by_one_it_quotes() {
        let (hex, other) = ("ab".repeat(32), "cd".repeat(32));
        let id = EventId::from_hex(&hex).unwrap();
        let quoting = format!(r#""content":"{{\"id\":\"{other}\",\"created_at\":9}}""#);
        for event in [
            format!(r#"{{{quoting},"created_at":17,"id":"{hex}"}}"#),
            format!(r#"{{ {quoting}, "created_at": 17, "id": "{hex}" }}"#),
        ] {
            let message = format!(r#"["EVENT","a",{event}]"#);
            let Reply::Event(sight) = Reply::read(message.as_bytes()) else {
                panic!("not an event: {message}");
            };
            assert_eq!(
                (sight.id(), sight.created_at()),
                (Some(id), Some(17)),
                "{message}"
            );
        }
    }
}
