//! Who waits for news of a hold, a payment or the chain.

use std::collections::BTreeMap;

use escrow_core::PaymentHash;
use tokio::sync::watch;

use super::world::Change;
use crate::backend::{HoldSnapshot, PaymentState};

/// Who waits for news. Only the latest news counts: a slow watcher misses
/// what was between.
pub(super) struct Watchers {
    holds: BTreeMap<PaymentHash, watch::Sender<HoldSnapshot>>,
    payments: BTreeMap<PaymentHash, watch::Sender<PaymentState>>,
    height: watch::Sender<u32>,
}

impl Watchers {
    pub(super) fn new(height: u32) -> Self {
        let (holds, payments) = (BTreeMap::new(), BTreeMap::new());
        Watchers {
            holds,
            payments,
            height: watch::Sender::new(height),
        }
    }

    /// A receiver whose first news is the present state. In a final state the
    /// sender is dropped at once, so that the stream ends after it.
    pub(super) fn hold(&mut self, now: HoldSnapshot) -> watch::Receiver<HoldSnapshot> {
        let is_final = now.state.is_final();
        let hash = now.hash;
        subscribe(&mut self.holds, hash, now, is_final)
    }

    /// As [`Self::hold`].
    pub(super) fn payment(
        &mut self,
        hash: PaymentHash,
        now: PaymentState,
    ) -> watch::Receiver<PaymentState> {
        let is_final = now.is_final();
        subscribe(&mut self.payments, hash, now, is_final)
    }

    pub(super) fn height(&self) -> watch::Receiver<u32> {
        let mut news = self.height.subscribe();
        news.mark_changed();
        news
    }

    pub(super) fn tell(&mut self, change: Change) {
        match change {
            Change::Hold(snapshot) => {
                let is_final = snapshot.state.is_final();
                tell(&mut self.holds, snapshot.hash, snapshot, is_final);
            }
            Change::Payment(hash, state) => {
                let is_final = state.is_final();
                tell(&mut self.payments, hash, state, is_final);
            }
            Change::Block(height) => {
                self.height.send_replace(height);
            }
        }
    }

    /// Ends every stream.
    pub(super) fn end(&mut self) {
        let height = *self.height.borrow();
        *self = Watchers::new(height);
    }
}

type Senders<T> = BTreeMap<PaymentHash, watch::Sender<T>>;

fn subscribe<T>(
    senders: &mut Senders<T>,
    hash: PaymentHash,
    now: T,
    is_final: bool,
) -> watch::Receiver<T> {
    if is_final {
        let mut news = watch::Sender::new(now).subscribe();
        news.mark_changed();
        return news;
    }
    let mut news = senders
        .entry(hash)
        .or_insert_with(|| watch::Sender::new(now))
        .subscribe();
    news.mark_changed();
    news
}

fn tell<T>(senders: &mut Senders<T>, hash: PaymentHash, news: T, is_final: bool) {
    let Some(sender) = senders.get(&hash) else {
        return;
    };
    sender.send_replace(news);
    if is_final || sender.receiver_count() == 0 {
        senders.remove(&hash);
    }
}
