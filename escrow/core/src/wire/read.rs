//! Reading a message, strictly.

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::action::Action;
use super::json::{Json, JsonError};
use super::message::{Message, Wrapper};
use super::payload::Payload;
use super::seal::LONGEST_PLAINTEXT;

/// A message that cannot be read, with all that an answer to it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableMessage {
    /// What is wrong with it.
    pub fault: Fault,
    /// Its number, if that can be read.
    pub request_id: Option<u64>,
    /// Its order or dispute, if that can be read.
    pub id: Option<Uuid>,
    /// What it wants, if that is a known word. An action that the node does not
    /// offer is answered as such, whatever its payload.
    pub action: Option<Action>,
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not have the form of a message, or its payload has not the form
    /// of a known one; answered with `invalid_parameters`. Carries the reason in
    /// English, which does not quote the message.
    #[error("not a message: {0}")]
    Unreadable(String),
    /// It can be read, but its action is no word of the protocol; answered with
    /// `invalid_action`.
    #[error("unknown action")]
    UnknownAction,
}

/// Reads the JSON of a message.
///
/// Unknown fields are read over, save in a
/// [`SmallOrder`](super::SmallOrder); a key that stands twice, an array in place
/// of an object, a float for an integer and anything after the message are not.
///
/// # Errors
///
/// Says what is wrong and whom an answer could go to.
pub fn read_message(text: &str) -> Result<Message, UnreadableMessage> {
    let mut fields = Fields::of(text).map_err(|e| UnreadableMessage {
        fault: Fault::Unreadable(e.0),
        request_id: None,
        id: None,
        action: None,
    })?;
    let request_id = fields.optional("request_id");
    let id = fields.optional("id");
    let action: Result<String, JsonError> = fields.required("action");
    let known = action.as_deref().ok().and_then(Action::parse);

    let unreadable = |fault| UnreadableMessage {
        fault,
        request_id: request_id.clone().unwrap_or_default(),
        id: id.clone().unwrap_or_default(),
        action: known,
    };
    let bad = |e: JsonError| unreadable(Fault::Unreadable(e.0));

    action.map_err(bad)?;
    let version = fields.required("version").map_err(bad)?;
    let trade_index = fields.optional("trade_index").map_err(bad)?;
    let payload: Option<Payload> = fields.optional("payload").map_err(bad)?;
    Ok(Message {
        wrapper: fields.wrapper,
        version,
        request_id: request_id.clone().map_err(bad)?,
        trade_index,
        id: id.clone().map_err(bad)?,
        action: known.ok_or_else(|| unreadable(Fault::UnknownAction))?,
        payload,
    })
}

/// The fields inside the wrapper, taken out one by one.
struct Fields {
    wrapper: Wrapper,
    rest: Vec<(String, Json)>,
}

impl Fields {
    fn of(text: &str) -> Result<Fields, JsonError> {
        if text.len() > LONGEST_PLAINTEXT {
            return Err(JsonError("too long".to_owned()));
        }
        let no_wrapper = || JsonError("not one object inside one wrapper".to_owned());
        let Json::Object(outer) = Json::parse(text)? else {
            return Err(no_wrapper());
        };
        let mut outer = outer.into_iter();
        let (Some((wrapper, Json::Object(rest))), None) = (outer.next(), outer.next()) else {
            return Err(no_wrapper());
        };
        let wrapper = Wrapper::parse(&wrapper).ok_or_else(no_wrapper)?;
        Ok(Fields { wrapper, rest })
    }

    /// A field that may be null or absent.
    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, JsonError> {
        let found = self.rest.iter().position(|(key, _)| key == name);
        let value = found.map_or(Json::Null, |at| self.rest.swap_remove(at).1);
        value
            .read()
            .map_err(|e| JsonError(format!("{name}: {}", e.0)))
    }

    fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, JsonError> {
        self.optional(name)?
            .ok_or_else(|| JsonError(format!("{name}: missing")))
    }
}
