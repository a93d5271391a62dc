//! How often one server is asked, whoever names it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Questions a server may be asked at once.
const BURST: u32 = 20;

/// Time after which it may be asked one more.
const PER_QUESTION: Duration = Duration::from_secs(1);

/// Servers remembered at a time.
const MOST_SERVERS: usize = 4_096;

/// For each server the moment at which it has forgotten all questions.
#[derive(Debug, Default)]
pub(super) struct Pace {
    rested_at: Mutex<HashMap<String, Instant>>,
}

impl Pace {
    /// Counts a question to a server; false if it has to wait.
    pub(super) fn allows(&self, server: &str) -> bool {
        let now = Instant::now();
        let mut rested_at = self
            .rested_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if rested_at.len() >= MOST_SERVERS {
            rested_at.retain(|_, at| *at > now);
        }
        if rested_at.len() >= MOST_SERVERS && !rested_at.contains_key(server) {
            return false;
        }
        let before = rested_at.get(server).copied().unwrap_or(now).max(now);
        let after = before + PER_QUESTION;
        let is_allowed = after <= now + PER_QUESTION * BURST;
        if is_allowed {
            rested_at.insert(server.to_owned(), after);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn v5_a_server_is_asked_twenty_times_at_once_and_then_once_a_second() {
        let pace = Pace::default();
        let allowed = |server| (0..30).filter(|_| pace.allows(server)).count();
        assert_eq!(allowed("wallet.example"), 20);
        assert_eq!(allowed("other.example"), 20);
        advance(PER_QUESTION * 3).await;
        assert_eq!(allowed("wallet.example"), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn v5_servers_nobody_asks_any_more_are_forgotten() {
        let pace = Pace::default();
        for n in 0..MOST_SERVERS {
            assert!(pace.allows(&format!("{n}.example")));
        }
        assert!(!pace.allows("one-more.example"));
        advance(PER_QUESTION).await;
        assert!(pace.allows("one-more.example"));
        assert_eq!(pace.rested_at.lock().unwrap().len(), 1);
    }
}
