//! Where envelopes are opened: who waits for it, and on which thread it is done.

use std::sync::Arc;

use nostr::event::Event;

use crate::fair_queue::Source;
use crate::intake::Intake;
use crate::known_keys::KnownKeys;
use crate::strangers::Strangers;
use crate::submission::{Receipt, TraderMessage};

/// An envelope up to this size is opened in less time than it takes to wake another
/// thread a few times; the largest keep a core busy for milliseconds, in which the
/// threads of the runtime have others to serve. No trade needs any that is larger.
const LIGHT_BYTES: usize = 16 * 1024;

/// Opens what is sent to the node.
#[derive(Debug)]
pub(crate) struct Mailroom {
    intake: Arc<Intake>,
    known: KnownKeys,
    strangers: Strangers,
}

impl Mailroom {
    pub(crate) fn new(intake: Intake, known: KnownKeys, strangers: Strangers) -> Mailroom {
        Mailroom {
            intake: Arc::new(intake),
            known,
            strangers,
        }
    }

    /// Opens a light envelope of a known key at once, and any other when its source's
    /// turn has come.
    ///
    /// # Errors
    /// The receipt for what cannot be opened, or must not wait any longer.
    pub(crate) async fn open(
        &self,
        source: Source,
        event: Event,
    ) -> Result<TraderMessage, Receipt> {
        let is_light = event.content.len() <= LIGHT_BYTES;
        if is_light && self.known.knows(&event.pubkey) {
            return self.intake.read(&event);
        }
        let _turn = self.strangers.turn(source).await?;
        if is_light {
            return self.intake.read(&event);
        }
        self.read_elsewhere(event).await
    }

    async fn read_elsewhere(&self, event: Event) -> Result<TraderMessage, Receipt> {
        let intake = self.intake.clone();
        let reading = tokio::task::spawn_blocking(move || intake.read(&event));
        reading.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "an envelope could not be opened");
            Err(Receipt::error("the node could not open this"))
        })
    }

    /// Lets strangers in, one after the other, as long as it is polled.
    pub(crate) async fn serve(&self) {
        self.strangers.serve().await;
    }

    /// Lets no stranger in any more, and tells all who wait.
    pub(crate) fn close(&self) {
        self.strangers.close();
    }
}
