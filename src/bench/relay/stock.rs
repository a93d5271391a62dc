//! Events for the load, made and signed before any clock starts.

use std::thread;

use anyhow::Context;
use nostr::event::{Event, EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::key::{Keys, PublicKey};
use nostr::types::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::connection::text_frame;

/// A signed event, and the frame that brings it to a relay.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) event: Event,
    pub(super) frame: Vec<u8>,
}

/// An event that is not signed yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) author: Author,
    pub(super) kind: u16,
    pub(super) tags: Vec<Vec<String>>,
    pub(super) content: String,
    pub(super) created_at: u64,
}

/// Who signs.
#[derive(Clone, Debug)]
pub(super) enum Author {
    /// A key that is used once.
    Fresh,
    /// This one.
    Known(Keys),
}

/// Signs on all cores, in the given order.
///
/// # Errors
/// If a draft cannot be signed.
pub(super) async fn sign(drafts: Vec<Draft>) -> anyhow::Result<Vec<Parcel>> {
    tokio::task::spawn_blocking(move || {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let share = drafts.len().div_ceil(cores).max(1);
        thread::scope(|scope| {
            let workers: Vec<_> = drafts
                .chunks(share)
                .map(|share| scope.spawn(|| share.iter().map(Draft::sign).collect()))
                .collect();
            let mut parcels = Vec::with_capacity(drafts.len());
            for worker in workers {
                let signed: anyhow::Result<Vec<Parcel>> =
                    worker.join().expect("signing does not panic");
                parcels.extend(signed?);
            }
            Ok(parcels)
        })
    })
    .await?
}

impl Draft {
    /// A gift wrap (kind 1059), as long as those of the trade are, from a key
    /// of its own, and dated up to two days back.
    pub(super) fn gift_wrap(number: u64, to: PublicKey, now: u64) -> Draft {
        Draft {
            author: Author::Fresh,
            kind: 1059,
            tags: vec![tag(["p", &to.to_hex()])],
            content: sealed(number, 1_400),
            created_at: now - number % 172_000,
        }
    }

    /// A message of kind 14 to somebody.
    pub(super) fn direct(author: Author, number: u64, to: PublicKey, created_at: u64) -> Draft {
        Draft {
            author,
            kind: 14,
            tags: vec![
                tag(["p", &to.to_hex()]),
                tag(["expiration", &(created_at + 30 * DAY).to_string()]),
            ],
            content: sealed(number, 348),
            created_at,
        }
    }

    /// A note (kind 1) of so many characters.
    pub(super) fn note(author: Author, number: u64, length: usize, created_at: u64) -> Draft {
        Draft {
            author,
            kind: 1,
            tags: Vec::new(),
            content: gibberish(number, length),
            created_at,
        }
    }

    /// An order as a Mostro publishes it (kind 38383), pending.
    pub(super) fn order(author: &Keys, address: u64, created_at: u64) -> Draft {
        let pick = |of: &[&str]| {
            let at = usize::try_from(address).unwrap_or_default() % of.len().max(1);
            of.get(at).copied().unwrap_or_default().to_owned()
        };
        let number = |of: u64| (address % of + 1).to_string();
        let tags = [
            ("d", order_id(author.public_key(), address)),
            ("k", pick(&["buy", "sell"])),
            ("f", pick(&["USD", "EUR", "ARS", "CUP", "VES"])),
            (
                "s",
                pick(&["pending", "pending", "pending", "in-progress", "success"]),
            ),
            ("amt", number(1_000_000)),
            ("fa", number(1_000)),
            ("pm", pick(&["cash", "bank", "Bizum"])),
            ("premium", number(9)),
            ("network", "mainnet".to_owned()),
            ("layer", "lightning".to_owned()),
            ("published_at", created_at.to_string()),
            ("expires_at", (created_at + 2 * DAY).to_string()),
            ("expiration", (created_at + 30 * DAY).to_string()),
            ("y", "mostro".to_owned()),
            ("z", "order".to_owned()),
        ];
        Draft {
            author: Author::Known(author.clone()),
            kind: 38_383,
            tags: tags.map(|(name, value)| tag([name, &value])).into(),
            content: String::new(),
            created_at,
        }
    }

    /// What a Mostro says besides its orders: its profile, relays, rates,
    /// terms, and so many disputes; and a note.
    pub(super) fn notices(node: &Keys, disputes: u64, now: u64) -> Vec<Draft> {
        let myself = node.public_key().to_hex();
        let notice = |kind: u16, tags: Vec<Vec<String>>| Draft {
            author: Author::Known(node.clone()),
            kind,
            tags,
            content: String::new(),
            created_at: now,
        };
        let terms = vec![
            tag(["d", &myself]),
            tag(["y", "mostro"]),
            tag(["z", "info"]),
        ];
        let mut notices = vec![
            notice(0, Vec::new()),
            notice(1, Vec::new()),
            notice(10_002, vec![tag(["r", "wss://relay.example"])]),
            notice(30_078, vec![tag(["d", "mostro-rates"])]),
            notice(38_385, terms),
        ];
        notices.extend((0..disputes).map(|number| {
            let status = if number % 2 == 0 {
                "initiated"
            } else {
                "settled"
            };
            let address = order_id(node.public_key(), number);
            let tags = [
                ("d", address.as_str()),
                ("s", status),
                ("initiator", "buyer"),
                ("y", "mostro"),
                ("z", "dispute"),
            ];
            notice(38_386, tags.map(|(name, value)| tag([name, value])).into())
        }));
        notices
    }

    fn sign(&self) -> anyhow::Result<Parcel> {
        let fresh;
        let keys = match &self.author {
            Author::Fresh => {
                fresh = Keys::generate();
                &fresh
            }
            Author::Known(keys) => keys,
        };
        let event = self
            .builder()?
            .finalize(keys)
            .context("it cannot be signed")?;
        let frame = text_frame(&json!(["EVENT", event]).to_string());
        Ok(Parcel { event, frame })
    }

    fn builder(&self) -> anyhow::Result<EventBuilder> {
        let tags: Result<Vec<_>, _> = self.tags.iter().map(Tag::parse).collect();
        Ok(EventBuilder::new(Kind::from_u16(self.kind), &self.content)
            .tags(tags?)
            .custom_created_at(Timestamp::from(self.created_at)))
    }
}

const DAY: u64 = 86_400;

/// The `d` tag of an order: a UUID, which no other key has used.
pub(super) fn order_id(author: PublicKey, address: u64) -> String {
    let digest = Sha256::new().chain_update(author.as_bytes());
    let digest = digest.chain_update(address.to_be_bytes()).finalize();
    let bytes = std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default());
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

fn tag<const PARTS: usize>(parts: [&str; PARTS]) -> Vec<String> {
    parts.map(str::to_owned).into()
}

/// Text that only who has the key can tell from a NIP-44 payload.
fn sealed(number: u64, length: usize) -> String {
    let mut text = gibberish(number, length);
    text.replace_range(..2, "Ag");
    text
}

/// Text that looks encrypted and that nothing can compress.
fn gibberish(number: u64, length: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(length + 32);
    let mut block = 0_u64;
    while text.len() < length {
        let seed = Sha256::new().chain_update(number.to_be_bytes());
        let digest = seed.chain_update(block.to_be_bytes()).finalize();
        let letters = digest.iter().map(|byte| usize::from(byte % 64));
        text.extend(
            letters
                .filter_map(|at| LETTERS.get(at))
                .map(|it| char::from(*it)),
        );
        block += 1;
    }
    text.truncate(length);
    text
}
