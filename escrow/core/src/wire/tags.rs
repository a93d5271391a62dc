//! Tags of public events: a name and its values, all of them strings.

use nostr::event::Tag;

use crate::time::UnixTime;

/// A tag of this name, its values written as people would.
pub(super) fn tag<T: ToString>(name: &str, values: impl IntoIterator<Item = T>) -> Tag {
    Tag::custom(name, values.into_iter().map(|value| value.to_string()))
}

/// When relays may drop the event.
pub(super) fn expiration(time: UnixTime) -> Tag {
    tag("expiration", [time.0])
}

/// Marks events of Mostro nodes, with the name of the instance if it has one.
pub(super) fn instance(name: Option<&str>) -> Tag {
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    tag("y", std::iter::once("mostro").chain(name))
}
