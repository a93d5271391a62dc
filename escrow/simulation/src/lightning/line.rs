//! The world, and the line to it on which calls get lost.

use std::collections::BTreeMap;

use escrow_core::command::AddressAnswer;
use escrow_core::{PaymentHash, Sats, UnixTime};
use escrow_lightning::backend::{HoldSnapshot, Network, NodeInfo, PaymentRecord, PaymentState};
use escrow_lightning::sandbox::{
    Act, Applied, Change, Command as Ordered, CreateHold, LosePayments, Setup, Tick, World,
};
use escrow_lightning::{InvoiceRules, LnError, LnResult};

use super::stream::{Bend, Heard, Stream};
use super::weather::Condition;
use crate::dice::Dice;
use crate::tally::Tally;

/// What the node of a poor town can send at first.
const LITTLE: Sats = Sats(100_000);

/// The world and the line to it.
pub(crate) struct Line {
    pub(crate) world: World,
    pub(super) now: UnixTime,
    /// Calls that reach the node when their time has come.
    late: Vec<(UnixTime, Ordered)>,
    pub(super) condition: Condition,
    /// How often the node was stopped: streams of before have ended.
    era: u32,
    news: News,
    /// What the node reads invoices by.
    pub(super) rules: InvoiceRules,
    /// The wallet that wrote an invoice.
    pub(super) payees: BTreeMap<PaymentHash, String>,
    /// Invoices that addresses gave, some of which they give twice.
    pub(super) given: Vec<AddressAnswer>,
    /// Payments that succeeded and that the node does not remember.
    pub(super) forgotten: Vec<PaymentRecord>,
    pub(super) has_forgotten: bool,
    /// Faults are over: every call is done and answered.
    pub(crate) is_good: bool,
}

/// Everything that streams had to tell so far.
#[derive(Default)]
struct News {
    holds: BTreeMap<PaymentHash, Vec<HoldSnapshot>>,
    payments: BTreeMap<PaymentHash, Vec<PaymentState>>,
}

/// What became of a call.
pub(super) enum Called<T> {
    Answered(LnResult<T>),
    /// The caller hangs; the call may be done at any later time.
    Hanging,
    /// It is done at this moment, before its caller loses patience.
    Slow(UnixTime),
}

impl Line {
    pub(crate) fn new(seed: [u8; 32], now: UnixTime) -> Line {
        let mut setup = Setup::from_seed(seed);
        if seed[0].is_multiple_of(8) {
            setup.outbound = LITTLE;
        }
        let world = World::new(&setup, now);
        let rules = InvoiceRules {
            network: Network::Regtest,
            max_final_cltv_expiry_delta: 144,
            own_node_pubkey: world.node_key().to_string(),
        };
        Line {
            world,
            rules,
            payees: BTreeMap::new(),
            given: Vec::new(),
            now,
            late: Vec::new(),
            condition: Condition::default(),
            era: 0,
            news: News::default(),
            forgotten: Vec::new(),
            has_forgotten: false,
            is_good: false,
        }
    }

    /// Lets time pass; late calls arrive.
    pub(crate) fn pass_time(&mut self, now: UnixTime) {
        self.now = now;
        let (due, late) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, _)| *at <= now || self.is_good);
        self.late = late;
        for (at, act) in due {
            self.apply(at.min(now), act);
        }
        self.act(Tick);
        self.condition_passes();
    }

    /// The node stops for a while, and streams end.
    pub(super) fn go_down(&mut self, secs: u64) {
        self.condition.down_until = self.now.plus(secs);
        self.era += 1;
    }

    /// The wallet is locked for a while, and streams end.
    pub(super) fn lock(&mut self, secs: u64) {
        self.condition.locked_until = self.now.plus(secs);
        self.era += 1;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_good || !self.condition.is_away(self.now)
    }

    /// What people do in the world; faults do not touch it.
    pub(crate) fn act<A: Act>(&mut self, act: A) -> A::Reply {
        self.apply(self.now, act)
    }

    fn apply<A: Act>(&mut self, at: UnixTime, act: A) -> A::Reply {
        let Applied { reply, changes, .. } = self.world.apply(at, act);
        for change in changes {
            match change {
                Change::Hold(snapshot) => {
                    let told = self.news.holds.entry(snapshot.hash).or_default();
                    told.push(snapshot);
                }
                Change::Payment(hash, state) => {
                    self.news.payments.entry(hash).or_default().push(state);
                }
                Change::Block(_) => {}
            }
        }
        reply
    }

    /// All payments of the node, with those it has forgotten.
    pub(crate) fn payments(&self) -> Vec<PaymentRecord> {
        let mut all = self.forgotten.clone();
        all.extend(self.world.payments_since(0, u32::MAX));
        all
    }

    pub(super) fn call<A: Act>(
        &mut self,
        act: A,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> Called<A::Reply> {
        if !self.is_up() {
            tally.add("call while away");
            return Called::Answered(Err(LnError::Unavailable("away".into())));
        }
        match if self.is_good { 99 } else { dice.below(100) } {
            0..8 => {
                tally.add("call refused");
                Called::Answered(Err(LnError::Unavailable("refused".into())))
            }
            8..16 => {
                tally.add("reply lost");
                self.act(act);
                Called::Answered(Err(LnError::Ambiguous("reply lost".into())))
            }
            16..20 => {
                let act: Ordered = act.into();
                if matches!(act, Ordered::CreateHold(CreateHold { .. })) {
                    tally.add("late hold");
                }
                self.late.push((self.now.plus(dice.below(60)), act));
                Called::Hanging
            }
            20..23 => {
                tally.add("slow call");
                let done_at = self.now.plus(1 + dice.below(6));
                self.late.push((done_at, act.into()));
                Called::Slow(done_at)
            }
            23 => {
                tally.add("node restarted in a call");
                self.go_down(1 + dice.below(60));
                Called::Answered(Err(LnError::Unavailable("restarting".into())))
            }
            24..28 if matches!(act.clone().into(), Ordered::StartPaying(_)) => {
                tally.add("attempt lost");
                self.act(LosePayments { count: 1 });
                let reply = self.act(act);
                self.act(LosePayments { count: 0 });
                Called::Answered(Ok(reply))
            }
            _ => Called::Answered(Ok(self.act(act))),
        }
    }

    pub(super) fn look<T>(
        &mut self,
        look: impl FnOnce(&World) -> T,
        dice: &mut Dice,
        tally: &mut Tally,
    ) -> LnResult<T> {
        if !self.is_up() || !self.is_good && dice.percent(10) {
            tally.add("look-up failed");
            return Err(LnError::Unavailable("no look-up".into()));
        }
        Ok(look(&self.world))
    }

    /// What the node says of itself; none if it does not answer at all.
    pub(super) fn info(&self) -> Option<LnResult<NodeInfo>> {
        if !self.is_up() {
            return Some(Err(LnError::Unavailable("away".into())));
        }
        let condition = &self.condition;
        if condition.silent_until > self.now {
            return None;
        }
        Some(Ok(NodeInfo {
            pubkey: self.world.node_key().to_string(),
            alias: String::new(),
            version: String::new(),
            network: Network::Regtest,
            block_height: condition.shown_height(self.world.height(), self.now),
            best_block_time: self.world.last_block_at(),
            synced_to_chain: condition.is_synced(self.now),
            active_channels: self.world.active_channels(),
        }))
    }

    /// Begins to watch something.
    pub(super) fn watch(&self, dice: &mut Dice, tally: &mut Tally) -> Stream {
        let bend = if self.is_good {
            Bend::Straight
        } else {
            Bend::draw(dice)
        };
        tally.add(bend.name());
        Stream::new(bend, self.era)
    }

    pub(super) fn hold_stream(
        &self,
        hash: PaymentHash,
        stream: &mut Stream,
    ) -> Heard<HoldSnapshot> {
        let told = self.news.holds.get(&hash).map_or(&[][..], Vec::as_slice);
        stream.read(told, self.era, |snapshot| snapshot.state.is_final())
    }

    pub(super) fn payment_stream(
        &self,
        hash: PaymentHash,
        stream: &mut Stream,
    ) -> Heard<PaymentState> {
        let told = self.news.payments.get(&hash).map_or(&[][..], Vec::as_slice);
        stream.read(told, self.era, PaymentState::is_final)
    }
}
