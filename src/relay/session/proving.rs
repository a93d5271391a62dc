//! Who the client proves to be, and where he is asked for it (NIP-42).

use nostr::event::Event;
use relay_policy::{Prefix, Refusal};

use super::Client;
use crate::relay::outgoing::Closing;
use crate::relay::words;

/// Keys that one connection may prove: a client has one, or a handful of accounts.
const MOST_KEYS: usize = 20;

impl Client<'_> {
    /// Says a refusal, and before it the challenge if a proof would change it.
    ///
    /// Nobody is asked before: many clients answer every challenge at once, and a key
    /// that nobody asked for tells who is behind the connection.
    pub(super) async fn refuse(self, refusal: &Refusal, answer: String) -> Result<(), Closing> {
        if refusal.prefix == Prefix::AuthRequired {
            let challenge = words::auth(self.challenge.text());
            self.outgoing.push(challenge).await?;
        }
        self.outgoing.push(answer).await
    }

    /// Follows an `AUTH`, unless it was refused already.
    pub(super) async fn hear_proof(
        self,
        proof: &Event,
        refusal: Option<Refusal>,
    ) -> Result<(), Closing> {
        let believed = refusal.map_or_else(|| self.believe(proof), Err);
        let answer = match believed {
            Ok(()) => words::ok(&proof.id, true, ""),
            Err(refusal) => words::refused(&proof.id, &refusal),
        };
        self.outgoing.push(answer).await
    }

    fn believe(self, proof: &Event) -> Result<(), Refusal> {
        let urls = &self.relay.inner.parts.urls;
        self.challenge.check(proof, urls, self.relay.now())?;
        if self.session.authenticated.add(proof.pubkey, MOST_KEYS) {
            return Ok(());
        }
        Err(Refusal::new(
            Prefix::RateLimited,
            format!("over {MOST_KEYS} keys on one connection"),
        ))
    }
}
