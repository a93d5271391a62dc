//! What happens by itself: invoices expire, incomplete payments fall apart,
//! payments arrive, blocks are found and deadlines come.

use escrow_core::{PaymentHash, UnixTime};
use serde::{Deserialize, Serialize};

use super::world::{Change, World};

/// Seconds between two blocks.
pub(super) const BLOCK_SECS: u64 = 600;

/// Most blocks that can be mined at once.
const MAX_MINED: u32 = 100_000;

/// The last moment a BOLT11 invoice can name.
const END_OF_TIME: UnixTime = UnixTime((1 << 35) - 1);

/// Something with its hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Due {
    /// The invoice closes if it is still open.
    HoldExpires(PaymentHash),
    /// Parts that waited too long for the rest go back.
    PartsGoBack(PaymentHash),
    /// The payment reaches its payee, or turns out to have no way.
    PaymentArrives(PaymentHash),
}

impl World {
    /// Does everything that is due up to `now`, in the order of its time;
    /// says whether there was anything.
    pub(super) fn pass_time(&mut self, now: UnixTime) -> bool {
        let now = now.min(END_OF_TIME).max(self.now);
        let mut worked = false;
        loop {
            let timer = self.due.first().copied().filter(|(at, _)| *at <= now);
            match timer {
                Some((at, due)) if at < self.next_block_at => {
                    self.due.remove(&(at, due));
                    self.now = self.now.max(at);
                    self.happen(due);
                }
                Some(_) | None if self.next_block_at <= now => {
                    self.now = self.now.max(self.next_block_at);
                    self.next_block_at = self.next_block_at.plus(BLOCK_SECS);
                    self.new_block();
                }
                Some(_) | None => break,
            }
            worked = true;
        }
        self.now = now;
        worked
    }

    /// Finds blocks at once, beside those of the clock; answers the height.
    pub(super) fn mine(&mut self, blocks: u32) -> u32 {
        for _ in 0..blocks.min(MAX_MINED) {
            self.new_block();
        }
        self.height
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::HoldExpires(hash) => self.hold_expires(hash),
            Due::PartsGoBack(hash) => self.parts_go_back(hash),
            Due::PaymentArrives(hash) => self.payment_arrives(hash),
        }
    }

    fn new_block(&mut self) {
        self.height = self.height.saturating_add(1);
        self.changes.push(Change::Block(self.height));
        while let Some((height, hash)) = self.cancel_at_height.first().copied() {
            if height > self.height {
                break;
            }
            self.cancel_at_height.remove(&(height, hash));
            self.cancel_hold(hash);
        }
        while let Some((height, hash)) = self.fail_at_height.first().copied() {
            if height > self.height {
                break;
            }
            self.fail_at_height.remove(&(height, hash));
            self.lock_ends(hash);
        }
    }
}
