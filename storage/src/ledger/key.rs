//! Keys: parts of fixed width, numbers big-endian, so that bytes sort as
//! their meaning does.

use escrow_core::dispute::DisputeId;
use escrow_core::hold::HoldId;
use escrow_core::order::OrderId;
use escrow_core::party::{IdentityKey, TradeKey};
use escrow_core::payout::PayoutId;
use escrow_core::{PaymentHash, UnixTime};
use nostr::key::PublicKey;
use uuid::Uuid;

use super::error::StorageError;
use super::table::Table;

/// A part of a key.
pub(crate) trait KeyPart: Sized {
    /// Appends its bytes.
    fn write(&self, key: &mut Vec<u8>);
    /// Takes its bytes from the front; none if there are too few, or they mean nothing.
    fn read(key: &mut &[u8]) -> Option<Self>;
}

/// The bytes of a whole key, or of the front of one.
pub(crate) fn key<K: KeyPart>(parts: &K) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    parts.write(&mut bytes);
    bytes
}

/// Reads a whole key back.
pub(crate) fn read_key<K: KeyPart>(table: Table, mut bytes: &[u8]) -> Result<K, StorageError> {
    K::read(&mut bytes)
        .filter(|_| bytes.is_empty())
        .ok_or_else(|| StorageError::Damaged {
            table: table.name(),
            what: "a key has the wrong length or content".into(),
        })
}

impl<A: KeyPart, B: KeyPart> KeyPart for (A, B) {
    fn write(&self, key: &mut Vec<u8>) {
        self.0.write(key);
        self.1.write(key);
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        Some((A::read(key)?, B::read(key)?))
    }
}

impl<A: KeyPart, B: KeyPart, C: KeyPart> KeyPart for (A, B, C) {
    fn write(&self, key: &mut Vec<u8>) {
        self.0.write(key);
        self.1.write(key);
        self.2.write(key);
    }

    fn read(key: &mut &[u8]) -> Option<Self> {
        Some((A::read(key)?, B::read(key)?, C::read(key)?))
    }
}

/// Key parts that are some bytes and a way there and back.
macro_rules! key_part {
    ($part:ty, $width:literal, $to:expr, $from:expr) => {
        impl KeyPart for $part {
            fn write(&self, key: &mut Vec<u8>) {
                let bytes: [u8; $width] = $to(self);
                key.extend_from_slice(&bytes);
            }

            fn read(key: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = key.split_first_chunk::<$width>()?;
                *key = rest;
                Some($from(*bytes))
            }
        }
    };
}

key_part!(u8, 1, |n: &u8| [*n], |[n]: [u8; 1]| n);
key_part!(u32, 4, |n: &u32| n.to_be_bytes(), u32::from_be_bytes);
key_part!(u64, 8, |n: &u64| n.to_be_bytes(), u64::from_be_bytes);
key_part!(UnixTime, 8, |t: &UnixTime| t.0.to_be_bytes(), |b| UnixTime(
    u64::from_be_bytes(b)
));
key_part!([u8; 32], 32, |b: &[u8; 32]| *b, |b| b);
key_part!(PaymentHash, 32, |h: &PaymentHash| h.0, PaymentHash);
key_part!(OrderId, 16, |id: &OrderId| id.0.into_bytes(), |b| OrderId(
    Uuid::from_bytes(b)
));
key_part!(HoldId, 16, |id: &HoldId| id.0.into_bytes(), |b| HoldId(
    Uuid::from_bytes(b)
));
key_part!(PayoutId, 16, |id: &PayoutId| id.0.into_bytes(), |b| {
    PayoutId(Uuid::from_bytes(b))
});
key_part!(DisputeId, 16, |id: &DisputeId| id.0.into_bytes(), |b| {
    DisputeId(Uuid::from_bytes(b))
});
key_part!(TradeKey, 32, |k: &TradeKey| k.0.to_bytes(), |b| TradeKey(
    PublicKey::from_byte_array(b)
));
key_part!(IdentityKey, 32, |k: &IdentityKey| k.0.to_bytes(), |b| {
    IdentityKey(PublicKey::from_byte_array(b))
});
