//! What a batch has to say: collected while it is decided, sealed and signed
//! in parallel, put into the outbox in the same commit.

use std::thread;

use escrow_core::decision::Effect;
use escrow_core::dispute::Dispute;
use escrow_core::letters;
use escrow_core::notice::Letter;
use escrow_core::notice::Reputation;
use escrow_core::order::Order;
use escrow_core::party::{IdentityKey, TradeKey};
use escrow_core::payout::Payout;
use escrow_core::wire::{self, DevFeeEvent, DisputeEvent, RatingEvent, Seed};
use escrow_core::{PaymentHash, UnixTime};
use nostr::event::{Event, Kind, Tag, Tags, UnsignedEvent};
use nostr::key::PublicKey;
use nostr::types::Timestamp;
use storage::ledger::{Lane, MirrorNo, OutboxRow, Page, SeenKey, StorageError};

use crate::book;
use crate::desk::{Desk, Sealing};
use crate::letter_times::LetterTimes;
use crate::submission::Announcement;

/// Fewer pieces than this are not worth a thread.
const PIECES_PER_THREAD: usize = 4;

/// Words and effects of a batch, in order.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) letter_times: LetterTimes,
    pieces: Vec<Piece>,
    pub(crate) letters: Vec<Letter>,
    pub(crate) effects: Vec<Effect>,
    touched: Vec<PublicKey>,
}

/// One event to be made.
struct Piece {
    stamp: UnixTime,
    seed: Seed,
    content: PieceContent,
}

enum PieceContent {
    Letter(Letter),
    Public {
        address: String,
        kind: Kind,
        tags: Vec<Tag>,
        content: String,
    },
}

impl Draft {
    pub(crate) fn new(letter_times: LetterTimes) -> Draft {
        Draft {
            letter_times,
            ..Draft::default()
        }
    }

    /// Adds a letter, stamped later than all before it to the same key.
    pub(crate) fn letter(
        &mut self,
        page: &mut Page<'_>,
        desk: &mut Desk,
        letter: Letter,
        now: UnixTime,
    ) -> Result<(), StorageError> {
        self.letters.push(letter.clone());
        if desk.sealing == Sealing::Off {
            return Ok(());
        }
        let last = page.letter_stamp(letter.to)?;
        let next = self.letter_times.next(letter.to, last, now);
        let stamp = page.next_letter_stamp(letter.to, next)?;
        self.pieces.push(Piece {
            stamp,
            seed: desk.entropy.seed(),
            content: PieceContent::Letter(letter),
        });
        Ok(())
    }

    /// Adds a new revision of an order's public event.
    pub(crate) fn order(
        &mut self,
        page: &mut Page<'_>,
        desk: &mut Desk,
        order: &Order,
        now: UnixTime,
    ) -> Result<(), StorageError> {
        let announcement = Announcement {
            kind: Kind::from_u16(wire::order_event::ORDER),
            identifier: order.id.0.to_string(),
            tags: book::tags(page, desk, order, now)?,
            content: String::new(),
        };
        self.announce(page, desk, announcement, now)
    }

    /// Adds a new revision of a dispute's public event.
    pub(crate) fn dispute(
        &mut self,
        page: &mut Page<'_>,
        desk: &mut Desk,
        dispute: &Dispute,
        now: UnixTime,
    ) -> Result<(), StorageError> {
        let event = DisputeEvent {
            id: dispute.id.0,
            status: dispute.status(),
            initiator: dispute.opened_by.into(),
            opened_at: dispute.opened_at,
            expiration: now.plus(desk.stationery.dispute_secs),
            instance: desk.stationery.instance.as_deref(),
        };
        let announcement = Announcement {
            kind: Kind::from_u16(wire::dispute_event::DISPUTE),
            identifier: dispute.id.0.to_string(),
            tags: event.tags(),
            content: String::new(),
        };
        self.announce(page, desk, announcement, now)
    }

    /// Adds the reputation of a party that was rated (rule K3).
    pub(crate) fn rating(
        &mut self,
        page: &mut Page<'_>,
        desk: &mut Desk,
        (rated, identity): (TradeKey, IdentityKey),
        now: UnixTime,
    ) -> Result<(), StorageError> {
        let Some(user) = page.user(identity)? else {
            return Ok(());
        };
        let shown = Reputation::of(Some(&user), now);
        let event = RatingEvent {
            rated: rated.0,
            expiration: now.plus(desk.stationery.rating_secs),
            total_reviews: user.rating.reviews.into(),
            total_rating: user.rating.total,
            last_rating: user.rating.last,
            max_rate: user.rating.max,
            min_rate: user.rating.min,
            since: shown.since,
            days: shown.operating_days,
        };
        let announcement = Announcement {
            kind: Kind::from_u16(wire::rating_event::RATING),
            identifier: rated.0.to_hex(),
            tags: event.tags(),
            content: String::new(),
        };
        self.announce(page, desk, announcement, now)
    }

    /// Adds the audit of a development fee that was paid (rule J5).
    pub(crate) fn dev_fee(
        &mut self,
        page: &mut Page<'_>,
        desk: &mut Desk,
        (fee, hash): (&Payout, PaymentHash),
        now: UnixTime,
    ) -> Result<(), StorageError> {
        let event = DevFeeEvent {
            order: fee.order.0,
            amount: fee.amount,
            hash,
            destination: fee.destination.text(),
            network: &desk.stationery.network,
            expiration: now.plus(desk.stationery.dev_fee_secs),
            instance: desk.stationery.instance.as_deref(),
        };
        let announcement = Announcement {
            kind: Kind::from_u16(wire::dev_fee_event::DEV_FEE),
            // No other event is about this payment, so none takes its place.
            identifier: hash.to_string(),
            tags: event.tags(),
            content: String::new(),
        };
        self.announce(page, desk, announcement, now)
    }

    /// Adds an event about the node. Of several revisions of one address in
    /// one batch only the newest is sent.
    pub(crate) fn announce(
        &mut self,
        page: &mut Page<'_>,
        desk: &mut Desk,
        announcement: Announcement,
        now: UnixTime,
    ) -> Result<(), StorageError> {
        let Announcement {
            kind,
            identifier,
            tags,
            content,
        } = announcement;
        let address = format!("{kind}:{}:{identifier}", desk.keys.public_key());
        let stamp = match self.withdraw(&address) {
            Some(stamp) => stamp,
            None => page.next_stamp(&address, now)?,
        };
        let content = PieceContent::Public {
            address,
            kind,
            tags,
            content,
        };
        self.pieces.push(Piece {
            stamp,
            seed: desk.entropy.seed(),
            content,
        });
        Ok(())
    }

    fn withdraw(&mut self, address: &str) -> Option<UnixTime> {
        let older = self.pieces.iter().position(|piece| match &piece.content {
            PieceContent::Public { address: other, .. } => other == address,
            PieceContent::Letter(_) => false,
        })?;
        Some(self.pieces.remove(older).stamp)
    }

    /// Notes keys that a decision made known, or made unknown.
    pub(crate) fn touch(&mut self, order: &Order) {
        self.touched
            .extend(order.parties().map(|party| party.trade_key.0));
    }

    /// Notes a key that is a solver's, or no longer.
    pub(crate) fn touch_solver(&mut self, solver: IdentityKey) {
        self.touched.push(solver.0);
    }

    /// Each touched key, with whether it is known (rule Y3).
    pub(crate) fn known_keys(
        &self,
        page: &Page<'_>,
    ) -> Result<Vec<(PublicKey, bool)>, StorageError> {
        let is_known = |key: &PublicKey| {
            let is_solver = page.solver(IdentityKey(*key))?.is_some();
            let is_known = is_solver || page.trade_key_is_living(TradeKey(*key))?;
            Ok((*key, is_known))
        };
        self.touched.iter().map(is_known).collect()
    }

    /// Makes the events and puts them into the outbox, in order, and into what
    /// waits for the mirrors; returns whether anything waits for them now.
    pub(crate) fn post(
        &self,
        page: &mut Page<'_>,
        desk: &Desk,
        mirrors: &[MirrorNo],
    ) -> Result<bool, StorageError> {
        let mut mirrored = false;
        for row in make_all(&self.pieces, desk).into_iter().flatten() {
            let seq = page.push_outbox(&row)?;
            for mirror in readers(page, &row.lane, mirrors)? {
                page.push_backlog(mirror, seq, &row)?;
                mirrored = true;
            }
            if row.lane == Lane::Recipient(TradeKey(desk.keys.public_key())) {
                // It looks like a message to the node when it comes back, and the
                // answer to it would come back too, for ever.
                page.put_seen(SeenKey::Event(row.event_id.to_bytes()), row.created_at)?;
            }
        }
        Ok(mirrored)
    }
}

/// The mirrors an event goes to: all, if it is public; those through which
/// its recipient has asked, if it is a letter.
fn readers(
    page: &Page<'_>,
    lane: &Lane,
    mirrors: &[MirrorNo],
) -> Result<Vec<MirrorNo>, StorageError> {
    match lane {
        Lane::Address(_) => Ok(mirrors.to_vec()),
        Lane::Recipient(_) if mirrors.is_empty() => Ok(Vec::new()),
        Lane::Recipient(to) => {
            let mut paths = page.paths_of(*to)?;
            paths.retain(|mirror| mirrors.contains(mirror));
            Ok(paths)
        }
    }
}

fn make_all(pieces: &[Piece], desk: &Desk) -> Vec<Option<OutboxRow>> {
    let worth = pieces.len() / PIECES_PER_THREAD;
    // To ask for the cores costs some files of the system, so few pieces do not.
    let threads = match worth {
        0 | 1 => 1,
        _ => thread::available_parallelism()
            .map_or(1, usize::from)
            .min(worth),
    };
    let make = |piece: &Piece| piece.make(desk);
    if threads <= 1 {
        return pieces.iter().map(make).collect();
    }
    let share = pieces.len().div_ceil(threads);
    thread::scope(|scope| {
        let shares: Vec<_> = pieces
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(make).collect::<Vec<_>>()))
            .collect();
        shares
            .into_iter()
            .flat_map(|share| share.join().expect("sealing does not panic"))
            .collect()
    })
}

impl Piece {
    /// The finished event; none if the recipient's key is no point of the
    /// curve, so that nobody can read a letter to it.
    fn make(&self, desk: &Desk) -> Option<OutboxRow> {
        let (lane, event) = match &self.content {
            PieceContent::Letter(letter) => (Lane::Recipient(letter.to), self.seal(letter, desk)?),
            PieceContent::Public {
                address,
                kind,
                tags,
                content,
            } => {
                let event = UnsignedEvent::new(
                    desk.keys.public_key(),
                    Timestamp::from_secs(self.stamp.0),
                    *kind,
                    Tags::from_list(tags.clone()),
                    content.clone(),
                );
                (
                    Lane::Address(address.clone()),
                    wire::sign(event, &desk.keys, &self.seed),
                )
            }
        };
        Some(OutboxRow {
            lane,
            event: event.as_json(),
            event_id: event.id,
            created_at: self.stamp,
        })
    }

    fn seal(&self, letter: &Letter, desk: &Desk) -> Option<Event> {
        let envelope = wire::Letter {
            message_json: &letters::message(letter).to_json(),
            to: letter.to.0,
            transport: letter.transport,
            created_at: self.stamp,
            expiration: Some(self.stamp.plus(desk.stationery.letter_secs)),
        };
        wire::seal(&envelope, &desk.keys, &self.seed)
            .inspect_err(|why| tracing::error!(%why, "a letter cannot be sealed and is not sent"))
            .ok()
    }
}
