//! The address under which newer versions of an event replace older ones.

use std::cmp::Ordering;

use nostr::event::{Event, Kind};
use nostr::key::PublicKey;

/// Length at which the `d` index of the database cuts, in bytes.
const MAX_NAME_BYTES: usize = 182;

/// Kind, author and name (`d` tag; empty for replaceable kinds).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) kind: Kind,
    pub(super) author: PublicKey,
    pub(super) name: String,
}

/// How an event stands to others of its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// It replaces nothing and nothing replaces it.
    Regular,
    /// The database replaces older versions by itself.
    Replacing(Address),
    /// The database would not find all older versions: an addressable event whose `d`
    /// tag is empty, or missing, which is the same address.
    ReplacingByHand(Address),
    /// It cannot be kept: the database would take its address for another one.
    Ambiguous(&'static str),
}

impl Place {
    pub(super) fn of(event: &Event) -> Self {
        if event.kind.is_replaceable() {
            return Self::Replacing(Address::new(event, String::new()));
        }
        if !event.kind.is_addressable() {
            return Self::Regular;
        }
        let mut names = event.tags.iter().filter(|tag| tag.kind() == "d");
        let name = names
            .next()
            .and_then(|tag| tag.content())
            .unwrap_or_default();
        if names.next().is_some() {
            return Self::Ambiguous("more than one d tag");
        }
        if name.len() > MAX_NAME_BYTES {
            return Self::Ambiguous("a d tag over 182 bytes");
        }
        // The index pads names with zeros: "a" and "a\0" are one key.
        if name.contains('\0') {
            return Self::Ambiguous("a d tag with a zero byte");
        }
        let address = Address::new(event, name.to_owned());
        if name.is_empty() {
            Self::ReplacingByHand(address)
        } else {
            Self::Replacing(address)
        }
    }

    pub(super) fn address(&self) -> Option<&Address> {
        match self {
            Self::Replacing(address) | Self::ReplacingByHand(address) => Some(address),
            Self::Regular | Self::Ambiguous(_) => None,
        }
    }
}

impl Address {
    fn new(event: &Event, name: String) -> Self {
        Self {
            kind: event.kind,
            author: event.pubkey,
            name,
        }
    }

    /// Reads the value of an `a` tag: `kind:author:name`, as [`Self::spellings`] writes it.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut parts = value.splitn(3, ':');
        let kind = Kind::from(parts.next()?.parse::<u16>().ok()?);
        let author = PublicKey::from_hex(parts.next()?).ok()?;
        let name = parts.next().unwrap_or_default().to_owned();
        let address = Self { kind, author, name };
        let is_address =
            kind.is_addressable() || (kind.is_replaceable() && address.name.is_empty());
        (is_address && address.spellings().iter().any(|spelling| spelling == value))
            .then_some(address)
    }

    /// The values of `a` tags that mean this address.
    pub(super) fn spellings(&self) -> Vec<String> {
        let full = format!(
            "{}:{}:{}",
            self.kind.as_u16(),
            self.author.to_hex(),
            self.name
        );
        match full.strip_suffix(':') {
            Some(short) if self.name.is_empty() => vec![short.to_owned(), full],
            Some(_) | None => vec![full],
        }
    }

    /// Tells whether the event lives at this address.
    pub(super) fn holds(&self, event: &Event) -> bool {
        Place::of(event).address() == Some(self)
    }
}

/// Tells whether `stored` stays when `arrived` comes to its address: the newer one wins,
/// in the same second the one with the lower id.
pub(super) fn outlasts(stored: &Event, arrived: &Event) -> bool {
    match stored.created_at.cmp(&arrived.created_at) {
        Ordering::Greater => true,
        Ordering::Equal => stored.id <= arrived.id,
        Ordering::Less => false,
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;

    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_spelled() {
        let author = Keys::generate().public_key().to_hex();
        let shouted = author.to_uppercase();
        let table = [
            (format!("30023:{author}:name"), true),
            (format!("30023:{author}:with:colons:"), true),
            (format!("30023:{author}:"), true),
            (format!("30023:{author}"), true),
            (format!("0:{author}:"), true),
            (format!("0:{author}"), true),
            (format!("0:{author}:name"), false),
            (format!("1:{author}:"), false),
            (format!("030023:{author}:name"), false),
            (format!("30023:{shouted}:name"), false),
            ("30023".to_owned(), false),
            (String::new(), false),
        ];
        for (value, is_address) in table {
            let address = Address::parse(&value);
            assert_eq!(address.is_some(), is_address, "{value}");
            assert!(
                address.is_none_or(|address| address.spellings().contains(&value)),
                "{value}"
            );
        }
    }
}
