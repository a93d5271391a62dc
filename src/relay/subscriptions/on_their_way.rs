//! Events between the disk and their subscribers.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::event::EventId;

/// The events that are perhaps stored and not yet delivered.
#[derive(Debug, Default)]
pub(super) struct OnTheirWay {
    marks: Mutex<HashMap<EventId, usize>>,
}

impl OnTheirWay {
    pub(super) fn mark(self: &Arc<Self>, id: EventId) -> OnItsWay {
        let mut all = self.lock();
        let marks = all.entry(id).or_default();
        *marks = marks.saturating_add(1);
        OnItsWay {
            id,
            all: self.clone(),
        }
    }

    /// Finds those of `ids` that are on their way, going through the fewer of both.
    pub(super) fn among(&self, ids: &HashSet<EventId>) -> HashSet<EventId> {
        let all = self.lock();
        if ids.len() < all.len() {
            ids.iter()
                .filter(|id| all.contains_key(*id))
                .copied()
                .collect()
        } else {
            all.keys().filter(|id| ids.contains(*id)).copied().collect()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EventId, usize>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an event as perhaps stored and not yet delivered.
pub(in crate::relay) struct OnItsWay {
    id: EventId,
    all: Arc<OnTheirWay>,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(marks) = all.get_mut(&self.id) {
            *marks = marks.saturating_sub(1);
            if *marks == 0 {
                all.remove(&self.id);
            }
        }
    }
}
