//! How a client proves to hold a key (NIP-42).

use std::sync::OnceLock;

use nostr::event::{Event, Kind};
use nostr::types::{RelayUrl, Timestamp};
use rand_chacha::rand_core::{OsRng, TryRngCore};
use relay_policy::Refusal;

/// How far `created_at` of a proof may be from the clock, in seconds.
const WINDOW_SECS: u64 = 600;

/// What a client has to sign on one connection; drawn when it is first asked for.
#[derive(Debug, Default)]
pub(super) struct Challenge(OnceLock<String>);

impl Challenge {
    pub(super) fn text(&self) -> &str {
        self.0.get_or_init(|| {
            let mut bytes = [0; 32];
            OsRng
                .try_fill_bytes(&mut bytes)
                .expect("a system that has started does not run out of randomness");
            faster_hex::hex_string(&bytes)
        })
    }

    /// Judges what a proof says, whose id and signature are right.
    ///
    /// The challenge ties it to this connection, the `relay` tag to this relay: another
    /// relay that a client trusts could otherwise pass our challenge on and use his answer
    /// here. So the tag is compared with what the operator calls the relay, never with the
    /// `Host` that the other side sends.
    ///
    /// # Errors
    ///
    /// The refusal becomes the `OK false` of the proof.
    pub(super) fn check(
        &self,
        proof: &Event,
        urls: &[RelayUrl],
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if proof.kind != Kind::Authentication {
            return Err(Refusal::invalid("an AUTH carries an event of kind 22242"));
        }
        let Some(challenge) = self.0.get() else {
            return Err(Refusal::invalid("nothing was asked on this connection"));
        };
        if the_only(proof, "challenge") != Some(challenge) {
            return Err(Refusal::invalid(
                "the challenge is not the one of this connection",
            ));
        }
        if !the_only(proof, "relay").is_some_and(|named| names_one_of(named, urls)) {
            let first = urls.first().map_or("this relay", RelayUrl::as_str);
            return Err(Refusal::invalid(format!("the relay tag must name {first}")));
        }
        if proof.created_at.as_secs().abs_diff(now.as_secs()) > WINDOW_SECS {
            return Err(Refusal::invalid(format!(
                "created_at is over {WINDOW_SECS} s away from the time here"
            )));
        }
        Ok(())
    }
}

/// The value of the tag with this name, if there is exactly one.
fn the_only<'a>(proof: &'a Event, name: &str) -> Option<&'a str> {
    let mut tags = proof.tags.iter().filter(|tag| tag.kind() == name);
    let value = tags.next()?.content();
    tags.next().is_none().then_some(value)?
}

/// Case of the host, the default port and slashes at the end make no difference.
fn names_one_of(named: &str, urls: &[RelayUrl]) -> bool {
    RelayUrl::parse(named).is_ok_and(|named| {
        urls.iter()
            .any(|url| named.as_str_without_trailing_slash() == url.as_str_without_trailing_slash())
    })
}

#[cfg(test)]
mod tests {
    use nostr::event::{EventBuilder, FinalizeEvent, Tag};
    use nostr::key::Keys;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn proof(kind: u16, at: u64, tags: &[[&str; 2]]) -> Event {
        EventBuilder::new(Kind::from(kind), "")
            .tags(tags.iter().map(|tag| Tag::parse(*tag).unwrap()))
            .custom_created_at(Timestamp::from(at))
            .finalize(&Keys::generate())
            .unwrap()
    }

    fn judge(challenge: &Challenge, proof: &Event) -> Result<(), String> {
        let urls = ["wss://Relay.Example:443", "ws://127.0.0.1:7000/path/"]
            .map(|url| RelayUrl::parse(url).unwrap());
        let judged = challenge.check(proof, &urls, Timestamp::from(NOW));
        judged.map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn nip42_a_challenge_is_drawn_once_and_for_one_connection() {
        let (mine, other) = (Challenge::default(), Challenge::default());
        assert_eq!(mine.text(), mine.text());
        assert_eq!(mine.text().len(), 64);
        assert_ne!(mine.text(), other.text());
    }

    #[test]
    fn nip42_a_proof_is_for_this_connection_this_relay_and_this_hour() {
        let challenge = Challenge::default();
        let ours = ["challenge", challenge.text()];
        let here = ["relay", "wss://relay.example"];
        let elsewhere = ["relay", "wss://relay.example.org"];
        let table: [(&str, Event, &str); 12] = [
            ("right", proof(22_242, NOW, &[ours, here]), ""),
            ("another kind", proof(1, NOW, &[ours, here]), "kind 22242"),
            ("no challenge", proof(22_242, NOW, &[here]), "the challenge"),
            (
                "another challenge",
                proof(22_242, NOW, &[["challenge", "a"], here]),
                "the challenge",
            ),
            (
                "two challenges",
                proof(22_242, NOW, &[ours, ours, here]),
                "the challenge",
            ),
            ("no relay", proof(22_242, NOW, &[ours]), "the relay tag"),
            (
                "another relay",
                proof(22_242, NOW, &[ours, elsewhere]),
                "must name wss://relay.example",
            ),
            (
                "two relays",
                proof(22_242, NOW, &[ours, here, elsewhere]),
                "the relay tag",
            ),
            ("600 s old", proof(22_242, NOW - 600, &[ours, here]), ""),
            (
                "601 s old",
                proof(22_242, NOW - 601, &[ours, here]),
                "600 s",
            ),
            ("600 s ahead", proof(22_242, NOW + 600, &[ours, here]), ""),
            (
                "601 s ahead",
                proof(22_242, NOW + 601, &[ours, here]),
                "600 s",
            ),
        ];
        for (case, proof, expected) in table {
            let refused = judge(&challenge, &proof).err().unwrap_or_default();
            assert_eq!(refused.is_empty(), expected.is_empty(), "{case}: {refused}");
            assert!(refused.contains(expected), "{case}: {refused}");
        }
    }

    #[test]
    fn nip42_the_relay_is_named_however_its_address_is_written() {
        let challenge = Challenge::default();
        let table = [
            ("wss://relay.example", true),
            ("wss://RELAY.example/", true),
            ("wss://relay.example:443/", true),
            ("ws://127.0.0.1:7000/path", true),
            ("ws://relay.example", false),
            ("wss://relay.example:7000", false),
            ("wss://relay.example/path", false),
            ("ws://127.0.0.1:7000", false),
            ("wss://relay.example.evil.example", false),
            ("wss://user@relay.example", false),
            ("https://relay.example", false),
            ("relay.example", false),
            ("", false),
        ];
        for (url, accepted) in table {
            let tags = [["challenge", challenge.text()], ["relay", url]];
            let judged = judge(&challenge, &proof(22_242, NOW, &tags));
            assert_eq!(judged.is_ok(), accepted, "{url}: {judged:?}");
        }
    }

    #[test]
    fn nip42_nothing_is_proven_before_it_was_asked() {
        let tags = [["challenge", ""], ["relay", "wss://relay.example"]];
        let refused = judge(&Challenge::default(), &proof(22_242, NOW, &tags)).unwrap_err();
        assert!(refused.contains("nothing was asked"), "{refused}");
    }
}
