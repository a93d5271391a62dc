//! The Lightning side of a run: the sandbox's world, a bad line to it, and a
//! synchronous stand-in for the workers.
//!
//! The stand-in keeps the workers' own rules: a tender exists for what an
//! effect or a start named, reads the row, does what its state asks for and
//! reports. What it remembers is lost with the process.

use std::collections::BTreeMap;
use std::time::Duration;

use escrow_core::command::{AddressAnswer, Command};
use escrow_core::decision::Effect;
use escrow_core::hold::{Hold, HoldState};
use escrow_core::payout::{Attempt, AttemptState, PayoutId, PayoutState};
use escrow_core::{Destination, Msat, PaymentHash, UnixTime};
use escrow_engine::preimages::Preimages;
use escrow_engine::reports::{self, PaymentStep, Tried};
use escrow_lightning::backend::{PaymentState, StartPayment};
use escrow_lightning::sandbox::{
    Act, Applied, CancelHold, Command as Ordered, CreateHold, CreateInvoice, SettleHold, Setup,
    StartPaying, Tick, World,
};
use escrow_lightning::{InvoiceRules, LnError, LnResult, read_payout_invoice};
use storage::ledger::View;

use crate::dice::Dice;
use crate::tally::Tally;

/// How long the workers wait for a hold to open, and for anything else.
const OPENING_LIMIT_SECS: u64 = 8;
const CALL_LIMIT_SECS: u64 = 15;

/// The world and the line to it.
pub(crate) struct Line {
    pub(crate) world: World,
    now: UnixTime,
    /// Calls that reach the node when their time has come.
    late: Vec<(UnixTime, Ordered)>,
    /// The wallets whose addresses gave these invoices.
    pub(crate) given_by_address: BTreeMap<PaymentHash, String>,
    down_until: UnixTime,
    /// Faults are over: every call is done and answered.
    pub(crate) is_good: bool,
}

/// What became of a call.
enum Called<T> {
    Answered(LnResult<T>),
    /// The caller hangs; the call may be done at any later time.
    Hanging,
}

impl Line {
    pub(crate) fn new(seed: [u8; 32], now: UnixTime) -> Line {
        Line {
            world: World::new(&Setup::from_seed(seed), now),
            now,
            late: Vec::new(),
            given_by_address: BTreeMap::new(),
            down_until: now,
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
            self.world.apply(at.min(now), act);
        }
        self.world.apply(now, Tick);
    }

    pub(crate) fn go_down(&mut self, secs: u64) {
        self.down_until = self.now.plus(secs);
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_good || self.down_until <= self.now
    }

    /// What people do in the world; faults do not touch it.
    pub(crate) fn act<A: Act>(&mut self, act: A) -> A::Reply {
        let Applied { reply, .. } = self.world.apply(self.now, act);
        reply
    }

    fn call<A: Act>(&mut self, act: A, dice: &mut Dice, tally: &mut Tally) -> Called<A::Reply> {
        if !self.is_up() {
            return Called::Answered(Err(LnError::Unavailable("down".into())));
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
                if matches!(act, Ordered::CreateHold(_)) {
                    tally.add("late hold");
                }
                self.late.push((self.now.plus(dice.below(60)), act));
                Called::Hanging
            }
            _ => Called::Answered(Ok(self.act(act))),
        }
    }

    fn look<T>(
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
}

/// Something that is tended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    Hold(PaymentHash),
    Payment(PaymentHash),
    Address(PayoutId),
}

/// What a tender remembers.
#[derive(Clone, Debug)]
struct Tender {
    asked_at: UnixTime,
    /// Hangs in a call until then.
    busy_until: UnixTime,
    /// The call it hung in asked for a hold: a look-up follows.
    looks_up: bool,
    /// A decision waits for a look-up.
    is_asked: bool,
    /// The try of a payment that it has seen started.
    started: Option<u32>,
    /// The last call to start a payment that remained without an answer.
    unanswered: Option<UnixTime>,
}

/// The workers of one process.
#[derive(Default)]
pub(crate) struct Workers(BTreeMap<Task, Tender>);

/// What the workers use to do their work.
pub(crate) struct Bench<'a> {
    pub(crate) line: &'a mut Line,
    pub(crate) view: &'a View,
    pub(crate) preimages: &'a Preimages,
    pub(crate) dice: &'a mut Dice,
    pub(crate) tally: &'a mut Tally,
    pub(crate) rules: &'a InvoiceRules,
    pub(crate) now: UnixTime,
}

/// The wallet that an address stands for.
pub(crate) fn wallet_of(address: &str) -> &str {
    address.split('@').next().unwrap()
}

/// Asks a payout's address for an invoice; while the line is bad, its server
/// lies.
fn address(id: PayoutId, bench: &mut Bench<'_>) -> (bool, Option<Command>) {
    let payout = bench.view.payout(id).unwrap().unwrap();
    let waits = matches!(payout.state, PayoutState::Resolving { .. });
    let Destination::Address(address) = payout.destination else {
        return (false, None);
    };
    if !waits {
        return (false, None);
    }
    let chance = if bench.line.is_good {
        99
    } else {
        bench.dice.below(100)
    };
    let amount = payout.amount.to_msat().unwrap();
    let answer = match chance {
        0..10 => AddressAnswer::Refused,
        10..20 => AddressAnswer::Unasked,
        20..30 => bench.invoice_of(&address, Msat(amount.0 + 1), 3_600),
        30..40 => bench.invoice_of(&address, amount, 59),
        _ => bench.invoice_of(&address, amount, 600),
    };
    bench.tally.add("address asked");
    let asked = Command::AddressAsked {
        payout: id,
        address,
        answer,
    };
    (true, Some(asked))
}

impl Bench<'_> {
    fn invoice_of(&mut self, address: &str, amount: Msat, expiry_secs: u64) -> AddressAnswer {
        let wallet = wallet_of(address).to_owned();
        let text = self.line.act(CreateInvoice {
            wallet: wallet.clone(),
            amount: Some(amount),
            memo: "payout".into(),
            expiry_secs,
            cltv_delta: 40,
        });
        let invoice = read_payout_invoice(&text.unwrap(), self.rules).unwrap();
        self.line.given_by_address.insert(invoice.hash, wallet);
        AddressAnswer::Invoice(invoice)
    }
}

impl Workers {
    /// The tenders with which a process starts.
    pub(crate) fn at_start(view: &View, now: UnixTime) -> Workers {
        let mut workers = Workers::default();
        workers.wake_all(view, now);
        workers
    }

    /// As after a start or a reopened ledger.
    pub(crate) fn wake_all(&mut self, view: &View, now: UnixTime) {
        for hold in view.living_holds().unwrap() {
            self.wake(Task::Hold(hold.hash), now);
        }
        for attempt in view.sent_attempts().unwrap() {
            let task = Task::Payment(attempt.hash);
            if !self.tends(task) {
                self.wake(task, now).unanswered = Some(now);
            }
        }
        for payout in view.living_payouts().unwrap() {
            if matches!(payout.state, PayoutState::Resolving { .. }) {
                self.wake(Task::Address(payout.id), now);
            }
        }
    }

    pub(crate) fn nudge(&mut self, effects: &[Effect], now: UnixTime) {
        for effect in effects {
            match effect {
                Effect::OpenHold(hash) | Effect::SettleHold(hash) | Effect::CancelHold(hash) => {
                    self.wake(Task::Hold(*hash), now);
                }
                Effect::Pay(hash) => {
                    self.wake(Task::Payment(*hash), now);
                }
                Effect::Resolve(payout) => {
                    self.wake(Task::Address(*payout), now);
                }
                Effect::LookUpHold(hash) => self.wake(Task::Hold(*hash), now).is_asked = true,
                Effect::PublishOrder(_)
                | Effect::PublishDispute(_)
                | Effect::PublishRating { .. }
                | Effect::WakeAt(_)
                | Effect::Alarm(_) => {}
            }
        }
    }

    fn wake(&mut self, task: Task, now: UnixTime) -> &mut Tender {
        self.0.entry(task).or_insert(Tender {
            asked_at: now,
            busy_until: now,
            looks_up: false,
            is_asked: false,
            started: None,
            unanswered: None,
        })
    }

    pub(crate) fn tends(&self, task: Task) -> bool {
        self.0.contains_key(&task)
    }

    /// Each tender makes one step; what they report is returned.
    pub(crate) fn work(&mut self, bench: &mut Bench<'_>) -> Vec<Command> {
        let mut commands = Vec::new();
        self.0.retain(|task, tender| {
            let is_idle = !bench.line.is_good && bench.dice.percent(20);
            if is_idle || tender.busy_until > bench.now {
                return true;
            }
            let (lives, command) = match task {
                Task::Hold(hash) => tender.hold(*hash, bench),
                Task::Payment(hash) => tender.payment(*hash, bench),
                Task::Address(payout) => address(*payout, bench),
            };
            commands.extend(command);
            lives
        });
        commands
    }
}

impl Tender {
    /// Whether there is more to do, and what is reported.
    fn hold(&mut self, hash: PaymentHash, bench: &mut Bench<'_>) -> (bool, Option<Command>) {
        let Some(hold) = bench.view.hold_by_hash(hash).unwrap() else {
            return (false, None);
        };
        let command = match &hold.state {
            HoldState::New => self.open(&hold, bench),
            HoldState::Open { .. } | HoldState::Accepted(_) => {
                let seen = bench
                    .line
                    .look(|world| world.hold(hash), bench.dice, bench.tally);
                match seen {
                    Ok(seen) if std::mem::take(&mut self.is_asked) => {
                        reports::hold_looked_up(&hold, seen.as_ref())
                    }
                    Ok(seen) => seen.and_then(|seen| reports::hold_news(&hold, &seen)),
                    Err(_) => None,
                }
            }
            HoldState::Settling(_) => self.settle(&hold, bench),
            HoldState::Canceling => self.cancel(hash, bench),
            HoldState::Settled(_) | HoldState::Canceled | HoldState::Lost => return (false, None),
        };
        (true, command)
    }

    fn open(&mut self, hold: &Hold, bench: &mut Bench<'_>) -> Option<Command> {
        let hash = hold.hash;
        if std::mem::take(&mut self.looks_up) {
            return Tender::look_up_opened(hash, bench);
        }
        self.asked_at = bench.now;
        let act = CreateHold::from(&reports::hold_request(hold));
        match bench.line.call(act, bench.dice, bench.tally) {
            Called::Hanging => {
                self.busy_until = bench.now.plus(OPENING_LIMIT_SECS);
                self.looks_up = true;
                None
            }
            Called::Answered(Ok(Ok(snapshot))) => Some(Command::HoldOpened {
                hash,
                bolt11: snapshot.bolt11,
            }),
            Called::Answered(Err(LnError::Ambiguous(_))) => Tender::look_up_opened(hash, bench),
            Called::Answered(Ok(Err(_)) | Err(_)) => Some(Command::HoldFailed { hash }),
        }
    }

    fn look_up_opened(hash: PaymentHash, bench: &mut Bench<'_>) -> Option<Command> {
        let seen = bench
            .line
            .look(|world| world.hold(hash), bench.dice, bench.tally);
        seen.ok().flatten().map(|seen| Command::HoldOpened {
            hash,
            bolt11: seen.bolt11,
        })
    }

    fn settle(&mut self, hold: &Hold, bench: &mut Bench<'_>) -> Option<Command> {
        let act = SettleHold::from(&bench.preimages.of(hold.id));
        let outcome = self.definite(act, bench)?;
        reports::settled(hold.hash, outcome)
    }

    fn cancel(&mut self, hash: PaymentHash, bench: &mut Bench<'_>) -> Option<Command> {
        let outcome = self.definite(CancelHold { hash }, bench)?;
        let asked_ago = Duration::from_secs(bench.now.secs_since(self.asked_at));
        reports::canceled(hash, outcome, asked_ago)
    }

    fn payment(&mut self, hash: PaymentHash, bench: &mut Bench<'_>) -> (bool, Option<Command>) {
        let attempt = bench.view.attempt(hash).unwrap();
        let Some(attempt) = attempt.filter(|attempt| attempt.state == AttemptState::Sent) else {
            return (false, None);
        };
        let seen = bench
            .line
            .look(|world| world.payment(hash), bench.dice, bench.tally);
        let Ok(seen) = seen else {
            return (true, None);
        };
        let unanswered_ago = self
            .unanswered
            .map(|at| Duration::from_secs(bench.now.secs_since(at)));
        let tried = Tried::of(self.started == Some(attempt.tries), unanswered_ago);
        let command = match reports::payment_step(hash, seen, tried) {
            PaymentStep::LookAgain => {
                bench.tally.add("failure held back");
                None
            }
            PaymentStep::Report(command) => Some(command),
            PaymentStep::Start => self.pay(&attempt, bench),
            // The workers wait for its end and then take the try for started.
            PaymentStep::Wait => {
                self.started = Some(attempt.tries);
                None
            }
        };
        (true, command)
    }

    fn pay(&mut self, attempt: &Attempt, bench: &mut Bench<'_>) -> Option<Command> {
        let act = StartPaying::from(&reports::pay_request(attempt));
        match self.definite(act, bench)? {
            StartPayment::Started | StartPayment::AlreadyKnown => {
                self.started = Some(attempt.tries);
                None
            }
            StartPayment::Rejected(reason) => {
                let hash = attempt.hash;
                let seen: PaymentState = bench
                    .line
                    .look(|world| world.payment(hash), bench.dice, bench.tally)
                    .ok()?;
                reports::rejected(hash, &reason, &seen)
            }
        }
    }

    /// The answer, if there is one.
    fn definite<A: Act>(&mut self, act: A, bench: &mut Bench<'_>) -> Option<A::Reply> {
        match bench.line.call(act, bench.dice, bench.tally) {
            Called::Answered(Err(LnError::Ambiguous(_))) => {
                self.unanswered = Some(bench.now);
                None
            }
            Called::Answered(answer) => answer.ok(),
            Called::Hanging => {
                self.unanswered = Some(bench.now.plus(CALL_LIMIT_SECS));
                self.busy_until = bench.now.plus(CALL_LIMIT_SECS);
                None
            }
        }
    }
}
