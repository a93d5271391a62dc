//! The writer alone: how many commands it decides, seals and commits in a
//! second, when it always finds a full batch waiting.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use escrow_core::UnixTime;
use escrow_core::command::{Ask, NewOrder, Request, Sender};
use escrow_core::notice::Notice;
use escrow_core::order::{OrderId, Side};
use escrow_core::party::{Identity, IdentityKey, TradeKey};
use escrow_core::terms::Terms;
use escrow_core::wire::Transport;
use escrow_engine::desk::{Desk, Sealing, Stationery};
use escrow_engine::entropy::Entropy;
use escrow_engine::known_keys::KnownKeys;
use escrow_engine::preimages::Preimages;
use escrow_engine::prices::NoPrices;
use escrow_engine::submission::{self, Receipt, Submission, TraderMessage};
use escrow_engine::writer::{BATCH, Engine};
use nostr::key::Keys;
use nostr::types::Timestamp;
use secrecy::SecretBox;
use sha2::{Digest, Sha256};
use storage::ledger::{Ledger, OutboxSeq};

use super::times::Times;
use crate::trader::Keyring;

/// What the writer has done.
#[derive(Debug)]
pub struct Written {
    /// Whether answers and events were encrypted and signed.
    pub sealing: Sealing,
    /// How many commands.
    pub commands: usize,
    /// All steps together.
    pub took: Duration,
    /// Each step, with one commit.
    pub steps: Times,
}

impl Written {
    /// Commands in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let commands = u32::try_from(self.commands).unwrap_or(u32::MAX);
        f64::from(commands) / self.took.as_secs_f64()
    }
}

/// Measures `rounds` of two full batches each: new orders, then takes and
/// cancels of them. What was brought to the relay leaves the outbox with the
/// next step, as in a running box.
///
/// # Errors
/// If the ledger fails, or any command is not decided as it should be.
pub fn measure(folder: &Path, sealing: Sealing, rounds: u32) -> anyhow::Result<Written> {
    let mut office = Office::open(folder, sealing)?;
    for round in 1..=rounds {
        let orders = office.opens(round)?;
        office.takes_and_cancels(round, &orders)?;
    }
    Ok(office.written)
}

/// Fills the ledger of the node with these keys with at least so many live
/// orders, made one batch a second until now. Their events wait in the outbox.
///
/// # Errors
/// As [`measure`].
pub(super) fn fill(ledger: Ledger, keys: Keys, orders: u32) -> anyhow::Result<()> {
    let rounds = orders.div_ceil(u32::try_from(BATCH)?);
    let desk = Desk {
        keys,
        ..desk(Sealing::Off)
    };
    let mut office = Office::at(ledger, desk)?;
    office.delivers = false;
    let now = office.now.0;
    for round in 1..=rounds {
        office.now = UnixTime(now - u64::from(rounds - round));
        office.opens(round)?;
    }
    // Without it the node would take the time until it starts for downtime.
    office
        .engine
        .step(UnixTime(now), &[Submission::Heartbeat], &[])?;
    Ok(())
}

/// Orders of one maker, after which another comes: no more than a node lets him
/// have on offer.
const ORDERS_EACH: u32 = 20;

/// A writer on a ledger of its own, with a crowd at his desk.
struct Office {
    engine: Engine,
    /// Whether what is in the outbox is brought away.
    delivers: bool,
    written: Written,
    now: UnixTime,
    delivered: Vec<OutboxSeq>,
    messages: u64,
}

impl Office {
    fn open(folder: &Path, sealing: Sealing) -> anyhow::Result<Office> {
        let name = match sealing {
            Sealing::Full => "sealed.redb",
            Sealing::Off => "unsealed.redb",
        };
        let ledger = Ledger::open(&folder.join(name))?;
        Office::at(ledger, desk(sealing))
    }

    fn at(ledger: Ledger, desk: Desk) -> anyhow::Result<Office> {
        Ok(Office {
            written: Written {
                sealing: desk.sealing,
                commands: 0,
                took: Duration::ZERO,
                steps: Times::default(),
            },
            engine: Engine::new(ledger, desk, KnownKeys::default())?,
            delivers: true,
            now: UnixTime(Timestamp::now().as_secs()),
            delivered: Vec::new(),
            messages: 0,
        })
    }

    /// As many makers as fit into a batch offer; every second one sells.
    fn opens(&mut self, round: u32) -> anyhow::Result<Vec<OrderId>> {
        let batch: Vec<_> = people()
            .map(|person| {
                let side = if person % 2 == 0 {
                    Side::Sell
                } else {
                    Side::Buy
                };
                self.message(
                    Party::Maker,
                    person,
                    round,
                    None,
                    Ask::NewOrder(offer(side)),
                )
            })
            .collect();
        self.step(&batch)
    }

    /// Half of the orders are taken, half are canceled.
    fn takes_and_cancels(&mut self, round: u32, orders: &[OrderId]) -> anyhow::Result<()> {
        let batch: Vec<_> = people()
            .zip(orders)
            .map(|(person, order)| {
                let (party, ask) = match person % 4 {
                    0 => (
                        Party::Taker,
                        Ask::TakeSell {
                            payout: None,
                            fiat: None,
                        },
                    ),
                    1 => (Party::Taker, Ask::TakeBuy { fiat: None }),
                    _ => (Party::Maker, Ask::Cancel),
                };
                self.message(party, person, round, Some(*order), ask)
            })
            .collect();
        self.step(&batch)?;
        Ok(())
    }

    fn message(
        &mut self,
        party: Party,
        person: u8,
        round: u32,
        order: Option<OrderId>,
        ask: Ask,
    ) -> Submission {
        self.messages += 1;
        let (keys, index) = match party {
            // The orders of one identity are looked through with each of his.
            Party::Maker => (keyring(round / ORDERS_EACH, person), round),
            // Who has an unfinished take may not take another.
            Party::Taker => (keyring(u32::MAX - round, person), 1),
        };
        let name = |part: &str| -> [u8; 32] {
            let digest = Sha256::new().chain_update(part);
            digest
                .chain_update(self.messages.to_be_bytes())
                .finalize()
                .into()
        };
        Submission::Message(TraderMessage {
            event: name("event"),
            inner: name("inner"),
            path: submission::Path::OwnRelay,
            request: Request {
                sender: Sender {
                    trade_key: TradeKey(keys.trade(index).public_key()),
                    identity: Identity::Known(IdentityKey(keys.identity().public_key())),
                    transport: Transport::Direct,
                },
                request_id: Some(self.messages),
                trade_index: Some(i64::from(index)),
                order,
                signed_at: self.now,
                ask,
            },
        })
    }

    /// One timed step. Returns the orders that were answered about, in order.
    fn step(&mut self, batch: &[Submission]) -> anyhow::Result<Vec<OrderId>> {
        let began = Instant::now();
        let outcome = self.engine.step(self.now, batch, &self.delivered)?;
        let took = began.elapsed();
        self.written.commands += batch.len();
        self.written.took += took;
        self.written.steps.add(took);

        let decided = outcome.receipts.iter().all(|one| *one == Receipt::Decided);
        ensure!(
            decided,
            "not everything was decided: {:?}",
            outcome.receipts
        );
        let refused = outcome
            .letters
            .iter()
            .find(|letter| matches!(letter.notice, Notice::Refused(_)));
        ensure!(refused.is_none(), "something was refused: {refused:?}");
        if self.delivers {
            self.delivered = self.outbox()?;
        }
        let answers = outcome
            .letters
            .iter()
            .filter(|letter| letter.request_id.is_some());
        Ok(answers.filter_map(|letter| letter.order).collect())
    }

    fn outbox(&self) -> anyhow::Result<Vec<OutboxSeq>> {
        let view = self.engine.views().view()?;
        let rows = view.outbox_from(OutboxSeq(0), usize::MAX)?;
        Ok(rows.into_iter().map(|(seq, _)| seq).collect())
    }
}

#[derive(Clone, Copy)]
enum Party {
    Maker,
    Taker,
}

fn keyring(crowd: u32, person: u8) -> Keyring {
    let seed = Sha256::new()
        .chain_update(crowd.to_be_bytes())
        .chain_update([person]);
    Keyring::from_seed(seed.finalize().into())
}

fn people() -> impl Iterator<Item = u8> {
    let most = u8::try_from(BATCH).unwrap_or(u8::MAX);
    0..most
}

fn offer(side: Side) -> NewOrder {
    NewOrder {
        side: Some(side),
        fiat_code: "USD".into(),
        sats: 10_000,
        fiat: 10,
        min_fiat: None,
        max_fiat: None,
        premium: 0,
        payment_method: "cash,bank".into(),
        expires_at: None,
        payout: None,
        names_mint: false,
    }
}

/// The desk of a node that nothing holds back.
fn desk(sealing: Sealing) -> Desk {
    let secret = SecretBox::new(Box::new([3; 32]));
    Desk {
        keys: Keyring::from_seed([9; 32]).identity(),
        terms: terms(),
        stationery: Stationery {
            network: "regtest".into(),
            relays: vec!["ws://127.0.0.1:7000".into()],
            instance: None,
            closed_order_secs: 30 * 86_400,
            dispute_secs: 7_776_000,
            rating_secs: 7_776_000,
            dev_fee_secs: 365 * 86_400,
            letter_secs: 30 * 86_400,
        },
        preimages: Arc::new(Preimages::new(secret)),
        entropy: Entropy::from_os(),
        prices: Arc::new(NoPrices),
        lightning_is_ready: true,
        sealing,
    }
}

/// The usual terms, without the limits on a crowd.
fn terms() -> Terms {
    Terms {
        pending_per_identity: u32::MAX,
        pending_without_identity: u32::MAX,
        max_open_holds: u32::MAX,
        max_opening_holds: u32::MAX,
        ..Terms::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_a_round_is_decided_and_its_letters_leave_the_outbox() {
        let folder = tempfile::tempdir().unwrap();
        for (sealing, events_a_round) in [(Sealing::Full, 64 + 64), (Sealing::Off, 64)] {
            let mut office = Office::open(folder.path(), sealing).unwrap();
            for round in 1..=2 {
                let orders = office.opens(round).unwrap();
                assert_eq!(orders.len(), BATCH);
                // An answer and a revision of the book for each new order.
                assert_eq!(office.delivered.len(), events_a_round, "{sealing:?}");
                office.takes_and_cancels(round, &orders).unwrap();
            }
            assert_eq!(office.written.commands, 4 * BATCH);
            assert_eq!(office.written.steps.count(), 4);
        }
    }
}
