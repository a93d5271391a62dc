//! What client and relay say to each other (NIPs 1, 42 and 45).

use nostr::event::{Event, EventId};
use nostr::filter::Filter;
use nostr::message::{ClientMessage, SubscriptionId};
use relay_policy::Refusal;
use serde_json::{Value, json};

/// What a client said.
#[derive(Debug)]
pub(super) enum Said {
    /// Here is an event.
    Event(Box<Event>),
    /// Show me these.
    Req(SubscriptionId, Vec<Filter>),
    /// How many of these are there?
    Count(SubscriptionId, Vec<Filter>),
    /// This is who I am.
    Auth(Box<Event>),
    /// Stop showing me those.
    Close(SubscriptionId),
    /// Something the relay cannot follow; here is the answer.
    Unclear(String),
}

impl Said {
    /// Understands one frame.
    pub(super) fn read(frame: &str) -> Self {
        match ClientMessage::from_json(frame) {
            // Not answered under its name, which may be as long as the frame.
            Ok(
                ClientMessage::Req {
                    subscription_id, ..
                }
                | ClientMessage::Count {
                    subscription_id, ..
                },
            ) if !is_name(subscription_id.as_str()) => Self::Unclear(answer_to_unclear(frame)),
            Ok(ClientMessage::Event(event)) => Self::Event(Box::new(event.into_owned())),
            Ok(ClientMessage::Req {
                subscription_id,
                filters,
            }) => {
                let filters = filters
                    .into_iter()
                    .map(std::borrow::Cow::into_owned)
                    .collect();
                Self::Req(subscription_id.into_owned(), filters)
            }
            Ok(ClientMessage::Close(id)) => Self::Close(id.into_owned()),
            Ok(ClientMessage::Auth(proof)) => Self::Auth(Box::new(proof.into_owned())),
            Ok(ClientMessage::Count {
                subscription_id, ..
            }) => match every_filter(frame) {
                Ok(filters) => Self::Count(subscription_id.into_owned(), filters),
                Err(_) => Self::Unclear(answer_to_unclear(frame)),
            },
            Ok(
                ClientMessage::NegOpen { .. }
                | ClientMessage::NegMsg { .. }
                | ClientMessage::NegClose { .. },
            )
            | Err(_) => Self::Unclear(answer_to_unclear(frame)),
        }
    }
}

/// Reads all filters of a `COUNT`, of which the library reads the first alone.
fn every_filter(frame: &str) -> Result<Vec<Filter>, serde_json::Error> {
    let parts: Vec<Value> = serde_json::from_str(frame)?;
    let filters = parts.into_iter().skip(2);
    filters.map(serde_json::from_value).collect()
}

/// Finds the most precise answer to a frame that is no valid request: an `OK` when it
/// was an event with an id, a `CLOSED` when it was a question with a name, else a `NOTICE`.
fn answer_to_unclear(frame: &str) -> String {
    let parts = match serde_json::from_str::<Value>(frame) {
        Ok(Value::Array(parts)) => parts,
        Ok(_) => return notice("invalid: a message is a JSON array"),
        Err(error) => return notice(&format!("invalid: not JSON ({error})")),
    };
    let Some(Value::String(verb)) = parts.first() else {
        return notice("invalid: a message begins with its name");
    };
    let name = parts
        .get(1)
        .and_then(Value::as_str)
        .filter(|name| is_name(name));
    match (verb.as_str(), name) {
        ("EVENT" | "AUTH", _) => refuse_event(parts.get(1)),
        ("REQ" | "COUNT", Some(name)) => {
            let why = explain_filters(parts.get(2..).unwrap_or_default());
            closed(name, &format!("invalid: {why}"))
        }
        ("REQ" | "COUNT" | "CLOSE", None) => {
            notice("invalid: a subscription id of 1 to 64 characters is missing")
        }
        _ => notice("invalid: only EVENT, REQ, COUNT, CLOSE and AUTH are understood"),
    }
}

fn refuse_event(event: Option<&Value>) -> String {
    let error = event.cloned().map(serde_json::from_value::<Event>);
    let why = match error {
        Some(Err(error)) => error.to_string(),
        Some(Ok(_)) | None => "the event is missing or followed by something else".to_owned(),
    };
    refuse(event, &format!("invalid: {}", shortened(&why)))
}

fn refuse(event: Option<&Value>, why: &str) -> String {
    let id = event
        .and_then(|event| event.get("id"))
        .and_then(Value::as_str);
    match id.and_then(|id| EventId::from_hex(id).ok()) {
        Some(id) => ok(&id, false, why),
        None => notice(why),
    }
}

fn explain_filters(filters: &[Value]) -> String {
    let wrong = filters
        .iter()
        .find_map(|filter| serde_json::from_value::<Filter>(filter.clone()).err());
    wrong.map_or_else(
        || "at least one filter is needed".to_owned(),
        |error| shortened(&error.to_string()),
    )
}

/// Keeps a reason short that may quote what the client sent.
fn shortened(why: &str) -> String {
    why.chars().take(200).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 64
}

/// `["OK", id, accepted, message]`
pub(super) fn ok(id: &EventId, accepted: bool, message: &str) -> String {
    json!(["OK", id.to_hex(), accepted, message]).to_string()
}

/// `["OK", id, false, "prefix: reason"]`
pub(super) fn refused(id: &EventId, refusal: &Refusal) -> String {
    ok(id, false, &refusal.to_string())
}

/// `["EOSE", subscription]`
pub(super) fn eose(subscription: &str) -> String {
    json!(["EOSE", subscription]).to_string()
}

/// `["COUNT", subscription, {"count": number}]`
pub(super) fn count(subscription: &str, number: usize) -> String {
    json!(["COUNT", subscription, { "count": number }]).to_string()
}

/// `["AUTH", challenge]`
pub(super) fn auth(challenge: &str) -> String {
    json!(["AUTH", challenge]).to_string()
}

/// `["CLOSED", subscription, message]`
pub(super) fn closed(subscription: &str, message: &str) -> String {
    json!(["CLOSED", subscription, message]).to_string()
}

/// `["NOTICE", message]`
pub(super) fn notice(message: &str) -> String {
    json!(["NOTICE", message]).to_string()
}

/// `["EVENT", subscription,` and then an event that is written as JSON already, and
/// [`AFTER_EVENT`].
pub(super) fn before_event(subscription: &str) -> String {
    let name = Value::from(subscription).to_string();
    format!("[\"EVENT\",{name},")
}

/// What ends a frame that shows an event.
pub(super) const AFTER_EVENT: &str = "]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_followed_is_answered_as_precisely_as_possible() {
        let id = "ab".repeat(32);
        let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_event = format!(r#"["EVENT",{nested}]"#);
        let numeric_kind = format!(r#"["EVENT",{{"id":"{id}","kind":"one"}}]"#);
        let huge_number = format!(r#"["EVENT",{{"id":"{id}","created_at":1e400}}]"#);
        let signed_in_words = format!(r#"["AUTH",{{"id":"{id}","kind":22242}}]"#);
        let twice = format!(r#"["EVENT",{{"id":"{id}","id":"{id}","kind":1}}]"#);
        let long_name = format!(r#"["REQ","{}",{{}}]"#, "x".repeat(65));
        let table = [
            ("", "NOTICE"),
            ("hello", "NOTICE"),
            ("{}", "NOTICE"),
            ("[]", "NOTICE"),
            ("[1,2]", "NOTICE"),
            (r#"["EVENT"]"#, "NOTICE"),
            (r#"["EVENT",{}]"#, "NOTICE"),
            (r#"["EVENT",{"id":"short"}]"#, "NOTICE"),
            (&numeric_kind, "OK"),
            (&twice, "OK"),
            (&huge_number, "NOTICE"),
            (&nested, "NOTICE"),
            (&deep_event, "NOTICE"),
            (r#"["REQ"]"#, "NOTICE"),
            (r#"["REQ",7,{}]"#, "NOTICE"),
            (r#"["REQ","",{}]"#, "NOTICE"),
            (&long_name, "NOTICE"),
            (r#"["REQ","a"]"#, "CLOSED"),
            (r#"["REQ","a",7]"#, "CLOSED"),
            (r#"["REQ","a",{"kinds":["one"]}]"#, "CLOSED"),
            (r#"["REQ","a",{"kinds":[70000]}]"#, "CLOSED"),
            (r#"["REQ","a",{"limit":-1}]"#, "CLOSED"),
            (r#"["REQ","a",{"ids":["xyz"]}]"#, "CLOSED"),
            (r#"["REQ","a",{"since":1,"since":2}]"#, "CLOSED"),
            (r#"["COUNT"]"#, "NOTICE"),
            (r#"["COUNT","a"]"#, "CLOSED"),
            (r#"["COUNT","a",{"kinds":["one"]}]"#, "CLOSED"),
            (r#"["COUNT","a",{},{"kinds":["one"]}]"#, "CLOSED"),
            (r#"["CLOSE"]"#, "NOTICE"),
            (r#"["AUTH",{}]"#, "NOTICE"),
            (&signed_in_words, "OK"),
            (r#"["NEG-CLOSE","a"]"#, "NOTICE"),
            (r#"["SING","a"]"#, "NOTICE"),
        ];
        for (frame, verb) in table {
            let Said::Unclear(answer) = Said::read(frame) else {
                panic!("understood: {frame:.80}");
            };
            assert!(
                answer.starts_with(&format!("[\"{verb}\",")),
                "{frame:.80}: {answer}"
            );
            assert!(answer.contains("invalid: "), "{frame:.80}: {answer}");
            assert!(answer.len() < 400, "{frame:.80}: {answer}");
        }
    }

    #[test]
    fn a_count_has_as_many_filters_as_it_is_given() {
        for (frame, expected) in [
            (r#"["COUNT","a",{}]"#, 1),
            (r#"["COUNT","a",{"kinds":[1]},{"limit":0},{}]"#, 3),
        ] {
            let Said::Count(name, filters) = Said::read(frame) else {
                panic!("not a count: {frame}");
            };
            assert_eq!((name.to_string().as_str(), filters.len()), ("a", expected));
        }
    }

    #[test]
    fn an_event_frame_survives_a_strange_subscription_id() {
        let frame = [&before_event("a\"b\\"), r#"{"id":1}"#, AFTER_EVENT].concat();
        let parsed: Value = serde_json::from_str(&frame).unwrap();
        assert_eq!(parsed, json!(["EVENT", "a\"b\\", {"id": 1}]));
    }
}
