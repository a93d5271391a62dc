//! Two who do not agree, and a solver who rules between them.

use anyhow::{Context, bail, ensure};
use escrow_core::wire::{Action, BookStatus, CantDo, Payload};
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use uuid::Uuid;

use super::cast::Cast;
use super::storyteller::Storyteller;
use crate::trader::deal::{self, Player, Terms};
use crate::trader::{Ask, Heard, Seat};

/// Whom the solver believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// The buyer, who is paid.
    Settle,
    /// The seller, who gets her sats back.
    Cancel,
}

pub(super) async fn play(ruling: Ruling, teller: &mut Storyteller) -> anyhow::Result<()> {
    let (operator, keys) = (Keys::generate(), [Keys::generate(), Keys::generate()]);
    let own_key = |settings: &mut crate::settings::Settings| {
        settings.node.key = Some(operator.clone());
    };
    let mut cast = Cast::gather(ruling.title(), own_key, teller).await?;
    register(&cast, operator.clone(), &keys, teller).await?;
    let mut solvers = [
        cast.stand.official("carol").await?,
        cast.stand.official("dave").await?,
    ];
    judged(ruling, &mut cast, &mut solvers, keys, teller).await?;
    for solver in &mut solvers {
        solver.trader.hang_up().await;
    }
    match ruling {
        Ruling::Settle => {
            let terms = terms(&cast);
            cast.alice_has_sold(&terms, teller).await?;
        }
        Ruling::Cancel => cast.nothing_has_moved(teller).await?,
    }
    cast.leaves().await
}

fn terms(cast: &Cast) -> Terms {
    cast.stand.terms(55_000)
}

/// From an offer to the end of the dispute about it.
async fn judged(
    ruling: Ruling,
    cast: &mut Cast,
    [carol, dave]: &mut [Player; 2],
    [carols, daves]: [Keys; 2],
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let terms = terms(cast);
    let mut carol = seat_of(carol, carols).await?;
    let mut dave = seat_of(dave, daves).await?;
    let mut alice = Seat::new(&mut cast.alice).await?;
    let mut bob = Seat::new(&mut cast.bob).await?;
    teller.narrates(
        "Alice sells, and Bob says that the fiat is sent. Alice says that nothing came; Bob asks \
         for somebody to judge.",
    );
    let order = deal::strike(&mut alice, &mut bob, &terms, teller).await?;
    deal::fund(&mut alice, &mut bob, &terms, teller).await?;
    deal::pay_fiat(&mut alice, &mut bob, teller).await?;
    let ask = Ask::about(Action::Dispute, Some(order));
    let opened = bob.asks(ask, Action::DisputeInitiatedByYou, teller).await?;
    alice.hears(Action::DisputeInitiatedByPeer, teller).await?;
    let dispute = opened.dispute().context("the dispute has no name")?;
    stands(&mut carol, dispute, "initiated", teller).await?;

    let mut court = Court {
        parties: [&mut alice, &mut bob],
        order,
        dispute,
    };
    court.goes_from(&mut dave, &mut carol, teller).await?;
    rules(ruling, &mut court, &mut carol, teller).await?;
    the_parties_hear(ruling, &mut alice, &mut bob, teller).await?;
    stands(&mut carol, dispute, ruling.end(), teller).await?;
    bob.sees(order, ruling.book(), teller).await?;
    teller.narrates("There is nothing left to rule.");
    let again = Ask::about(ruling.verb(), Some(order));
    carol.asks_in_vain(again, ruling.too_late(), teller).await?;
    for seat in [alice, bob, carol, dave] {
        seat.leaves().await?;
    }
    Ok(())
}

/// The operator writes with the key of the node itself.
async fn register(
    cast: &Cast,
    operator: Keys,
    [carol, dave]: &[Keys; 2],
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates(
        "The operator, writing with the key of the node, registers two solvers: Carol may rule, \
         Dave may only read. Nobody else can do that.",
    );
    let mut desk = cast.stand.official("op").await?;
    let mut desk = seat_of(&mut desk, operator).await?;
    for (solver, may) in [(carol, "read-write"), (dave, "read")] {
        let npub = solver.public_key().to_bech32()?;
        let ask = Ask::add_solver(&format!("{npub}:{may}"));
        desk.asks(ask, Action::AdminAddSolver, teller).await?;
    }
    desk.leaves().await?;
    let mut carols = cast.stand.official("carol").await?;
    let mut carols = seat_of(&mut carols, carol.clone()).await?;
    let ask = Ask::add_solver(&dave.public_key().to_bech32()?);
    carols
        .asks_in_vain(ask, CantDo::NotAuthorized, teller)
        .await?;
    Ok(carols.leaves().await?)
}

async fn seat_of(official: &mut Player, keys: Keys) -> anyhow::Result<Seat<'_>> {
    let desk = official.trader.writes_as(keys).await?;
    Ok(Seat::at(official, desk))
}

/// A dispute and whom it is between.
struct Court<'a, 'b> {
    parties: [&'a mut Seat<'b>; 2],
    order: Uuid,
    dispute: Uuid,
}

impl Court<'_, '_> {
    /// One who may only read has taken it, and one who may rule takes it over.
    async fn goes_from(
        &mut self,
        reader: &mut Seat<'_>,
        writer: &mut Seat<'_>,
        teller: &mut Storyteller,
    ) -> anyhow::Result<()> {
        teller.narrates("Dave takes the dispute. He learns what it is about, and no secret.");
        self.is_taken_by(reader, teller).await?;
        let (id, by) = (self.dispute, Action::AdminSettle);
        reader
            .asks_in_vain(
                Ask::about(by, Some(self.order)),
                CantDo::NotAuthorized,
                teller,
            )
            .await?;
        stands(writer, id, "in-progress", teller).await?;
        teller.narrates("He may not rule, so Carol takes the dispute over; all of them hear it.");
        self.is_taken_by(writer, teller).await?;
        let told = reader.hears(Action::AdminTookDispute, teller).await?;
        names(&told, writer)
    }

    async fn is_taken_by(
        &mut self,
        solver: &mut Seat<'_>,
        teller: &mut Storyteller,
    ) -> anyhow::Result<()> {
        let ask = Ask::about(Action::AdminTakeDispute, Some(self.dispute));
        let taken = solver.asks(ask, Action::AdminTookDispute, teller).await?;
        let Some(Payload::Dispute(_, Some(info))) = &taken.message.payload else {
            bail!("the solver learns nothing: {}", taken.json);
        };
        ensure!(
            info.id == self.order && info.hash.is_none() && info.preimage.is_none(),
            "the solver is told a secret, or of another order"
        );
        for party in &mut self.parties {
            let told = party.hears(Action::AdminTookDispute, teller).await?;
            names(&told, solver)?;
        }
        Ok(())
    }
}

/// A message must name this solver.
fn names(told: &Heard, solver: &Seat<'_>) -> anyhow::Result<()> {
    let key = solver.trade().keys.public_key().to_hex();
    match &told.message.payload {
        Some(Payload::Peer(peer)) if peer.pubkey == key => Ok(()),
        _ => bail!("the solver is not named: {}", told.json),
    }
}

async fn rules(
    ruling: Ruling,
    court: &mut Court<'_, '_>,
    solver: &mut Seat<'_>,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    teller.narrates(ruling.in_words());
    let ask = Ask::about(ruling.verb(), Some(court.order));
    solver.asks(ask, ruling.answer(), teller).await?;
    Ok(())
}

async fn the_parties_hear(
    ruling: Ruling,
    alice: &mut Seat<'_>,
    bob: &mut Seat<'_>,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    alice.hears(ruling.answer(), teller).await?;
    bob.hears(ruling.answer(), teller).await?;
    if ruling == Ruling::Settle {
        bob.hears(Action::PurchaseCompleted, teller).await?;
        bob.hears(Action::Rate, teller).await?;
        bob.rates(1, teller).await?;
    }
    Ok(())
}

/// Everybody reads where the dispute stands.
async fn stands(
    reader: &mut Seat<'_>,
    dispute: Uuid,
    status: &str,
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let says = [("s", status), ("initiator", "buyer"), ("z", "dispute")];
    let name = dispute.to_string();
    reader.trader().reads_notice(&name, &says).await?;
    teller.checks(&format!("everybody reads of the dispute: {status}"));
    Ok(())
}

impl Ruling {
    fn title(self) -> &'static str {
        match self {
            Ruling::Settle => "dispute-settle: a solver pays the buyer",
            Ruling::Cancel => "dispute-cancel: a solver gives the seller her sats back",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Ruling::Settle => "Bob shows the receipt of his bank. Carol settles: he is paid.",
            Ruling::Cancel => "Bob has no receipt. Carol cancels: Alice gets her sats back.",
        }
    }

    fn verb(self) -> Action {
        match self {
            Ruling::Settle => Action::AdminSettle,
            Ruling::Cancel => Action::AdminCancel,
        }
    }

    fn answer(self) -> Action {
        match self {
            Ruling::Settle => Action::AdminSettled,
            Ruling::Cancel => Action::AdminCanceled,
        }
    }

    /// How the dispute ends.
    fn end(self) -> &'static str {
        match self {
            Ruling::Settle => "settled",
            Ruling::Cancel => "seller-refunded",
        }
    }

    fn book(self) -> BookStatus {
        match self {
            Ruling::Settle => BookStatus::Success,
            Ruling::Cancel => BookStatus::Canceled,
        }
    }

    /// Why there is no second ruling (rule A8).
    fn too_late(self) -> CantDo {
        match self {
            Ruling::Settle => CantDo::InvalidOrderStatus,
            Ruling::Cancel => CantDo::NotAllowedByStatus,
        }
    }
}
