//! The Lightning node behind the escrow, and whether it is the one it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use escrow_core::payout::{Payee, Payout, PayoutState};
use escrow_engine::clock::{Clock, SystemClock};
use escrow_lightning::backend::LightningIdentity;
use escrow_lightning::lnd::{LndAccess, LndRefusal, Macaroon};
use escrow_lightning::sandbox::Setup;
use escrow_lightning::{InvoiceRules, LightningBackend, LnError, Lnd, Lnurl, Network, Sandbox};
use rand_chacha::rand_core::{OsRng, TryRngCore};
use storage::ledger::{Ledger, LightningNode, View};
use tokio::time::timeout;

use super::crew::Crew;
use super::port::Port;
use super::{NodeError, OpenSandbox, Part, terms};
use crate::https;
use crate::sandbox_door;
use crate::settings::{Backend, LightningSettings, Settings};

/// File in the data directory.
const SANDBOX: &str = "sandbox.log";

/// Time for the Lightning node to say who it is and what it allows.
const INTRODUCTION_TIME: Duration = Duration::from_secs(30);

/// An open backend.
pub(super) struct Lightning {
    pub(super) backend: Arc<dyn LightningBackend>,
    pub(super) identity: LightningIdentity,
    /// The simulated network, if this is one.
    pub(super) sandbox: Option<OpenSandbox>,
}

impl Lightning {
    /// Asks the servers behind addresses. Simulated sats have nowhere else to
    /// go: in the sandbox its own door answers for every address there is.
    pub(super) fn addresses(&self, rules: InvoiceRules) -> Lnurl {
        match &self.sandbox {
            Some(sandbox) => Lnurl::only_at(sandbox.address, rules),
            None => Lnurl::on_the_web(https::web_tls(), rules),
        }
    }
}

/// Opens the backend that the settings name, and writes down which node it is.
///
/// # Errors
/// If it is not usable, or not the node with which money lies that is still open.
pub(super) async fn open(
    settings: &Settings,
    ledger: &mut Ledger,
    doors: &mut Crew,
    rooms: &mut Crew,
) -> Result<Lightning, NodeError> {
    let known = known(&ledger.views().view()?)?;
    let lightning = match settings.lightning.backend {
        Backend::Sandbox => sandbox(settings, doors, rooms).await?,
        Backend::Lnd => lnd(&settings.lightning, known.as_ref()).await?,
    };
    terms::check_lightning(&settings.lightning, lightning.backend.capabilities())?;
    terms::check_dev_fee(&settings.mostro, &lightning.identity)?;
    let may_change = settings.lightning.allow_node_change;
    admit(ledger, known.as_ref(), &lightning.identity, may_change)?;
    Ok(lightning)
}

/// A node that was met before may be away at start: what is open waits for it, and
/// nothing new is taken on.
async fn lnd(
    settings: &LightningSettings,
    known: Option<&LightningIdentity>,
) -> Result<Lightning, NodeError> {
    let lnd = Lnd::new(access(settings), settings.lnd_hold_expiry_delta)
        .map_err(|problems| NodeError::Lnd(problems.into()))?;
    let met = timeout(INTRODUCTION_TIME, lnd.introduce())
        .await
        .unwrap_or_else(|_| Err(LnError::Unavailable("it was silent for too long".into()).into()));
    let identity = match (met, known) {
        (Ok(info), _) => LightningIdentity::from(&info),
        (Err(LndRefusal::Lightning(LnError::Unavailable(why))), Some(known))
            if !settings.allow_node_change =>
        {
            tracing::warn!(%why, "LND is away; nothing new is taken on until it is back");
            lnd.expect(known.clone());
            known.clone()
        }
        (Err(refusal), _) => return Err(NodeError::Lnd(refusal)),
    };
    Ok(Lightning {
        backend: Arc::new(lnd),
        identity,
        sandbox: None,
    })
}

fn access(settings: &LightningSettings) -> LndAccess {
    let file = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
    let macaroon = settings.lnd_macaroon_hex.clone();
    LndAccess {
        address: settings.lnd_grpc_host.clone(),
        certificate: file(&settings.lnd_cert_file),
        macaroon: macaroon.unwrap_or_else(|| Macaroon::File(file(&settings.lnd_macaroon_file))),
    }
}

/// Opens the simulated Lightning, its clock and its door.
async fn sandbox(
    settings: &Settings,
    doors: &mut Crew,
    rooms: &mut Crew,
) -> Result<Lightning, NodeError> {
    let port = Port::take("sandbox.listen", settings.sandbox.listen)?;
    let now: escrow_lightning::sandbox::Clock = Arc::new(|| SystemClock.now());
    let log = Path::new(&settings.node.data_dir).join(SANDBOX);
    let sandbox = Sandbox::open(&log, &new_world()?, now)?;
    let identity = LightningIdentity::from(&sandbox.info().await?);
    let (clock, stop) = (sandbox.clone(), rooms.stop());
    rooms.hire(Part::SandboxClock, async move {
        clock.run(stop.cancelled_owned()).await;
        Ok(())
    });
    let address = port.address;
    let (listener, behind, stop) = (port.open()?, sandbox.clone(), doors.stop());
    doors.hire(Part::SandboxDoor, async move {
        sandbox_door::run(listener, behind, stop.cancelled_owned()).await;
        Ok(())
    });
    Ok(Lightning {
        backend: Arc::new(sandbox.clone()),
        identity,
        sandbox: Some(OpenSandbox { address, sandbox }),
    })
}

/// How a world begins that is not there yet; one that is there keeps its own.
fn new_world() -> Result<Setup, LnError> {
    let mut seed = [0; 32];
    OsRng
        .try_fill_bytes(&mut seed)
        .map_err(|why| LnError::Unavailable(format!("the system has no randomness: {why}")))?;
    Ok(Setup::from_seed(seed))
}

fn known(view: &View) -> Result<Option<LightningIdentity>, NodeError> {
    let row = view.lightning_node()?;
    Ok(row.and_then(|row| {
        let network = Network::named(&row.network)?;
        Some(LightningIdentity {
            pubkey: row.pubkey,
            network,
        })
    }))
}

/// Makes this the node of the ledger, unless another one has money that is still open
/// (rule X12).
fn admit(
    ledger: &mut Ledger,
    known: Option<&LightningIdentity>,
    present: &LightningIdentity,
    may_change: bool,
) -> Result<(), NodeError> {
    if known == Some(present) {
        return Ok(());
    }
    if let Some(known) = known
        && !may_change
    {
        let view = ledger.views().view()?;
        let payouts = view.living_payouts()?;
        let payouts = payouts.iter().filter(|payout| binds(payout)).count();
        let holds = view.living_holds()?.len();
        if holds + payouts > 0 {
            return Err(NodeError::ForeignLightning {
                theirs: told(known),
                ours: told(present),
                holds,
                payouts,
            });
        }
    }
    let mut page = ledger.page()?;
    page.put_lightning_node(&LightningNode {
        pubkey: present.pubkey.clone(),
        network: present.network.to_string(),
    })?;
    Ok(page.commit()?)
}

/// Whether the sats of a payout lie with this Lightning node. A development fee
/// can be paid by another as well, unless this one may be paying it (rule J6).
fn binds(payout: &Payout) -> bool {
    match payout.payee() {
        Payee::Buyer => true,
        Payee::Development => payout.state == PayoutState::Paying,
    }
}

fn told(node: &LightningIdentity) -> String {
    format!("{} on {}", node.pubkey, node.network)
}

#[cfg(test)]
mod tests {
    use escrow_core::hold::{Hold, HoldId, HoldState, HorizonWatch};
    use escrow_core::order::OrderId;
    use escrow_core::party::{Identity, Party, TradeIndex, TradeKey};
    use escrow_core::payout::PayoutId;
    use escrow_core::wire::Transport;
    use escrow_core::{Destination, PaymentHash, Sats, UnixTime};
    use nostr::key::PublicKey;
    use uuid::Uuid;

    use super::*;

    fn node(digit: char, network: Network) -> LightningIdentity {
        LightningIdentity {
            pubkey: digit.to_string().repeat(66),
            network,
        }
    }

    fn remembered(ledger: &Ledger) -> Option<LightningIdentity> {
        known(&ledger.views().view().unwrap()).unwrap()
    }

    #[test]
    fn x12_the_first_node_and_a_new_one_with_nothing_open_are_written_down() {
        let mut ledger = Ledger::in_memory();
        assert_eq!(remembered(&ledger), None);
        for node in [node('1', Network::Regtest), node('2', Network::Signet)] {
            let before = remembered(&ledger);
            admit(&mut ledger, before.as_ref(), &node, false).unwrap();
            assert_eq!(remembered(&ledger), Some(node));
        }
    }

    fn open_hold() -> Hold {
        Hold {
            id: HoldId(Uuid::from_u128(1)),
            order: OrderId(Uuid::from_u128(2)),
            seller: Party {
                trade_key: TradeKey(PublicKey::from_byte_array([1; 32])),
                identity: Identity::FullPrivacy,
                trade_index: TradeIndex(1),
                transport: Transport::GiftWrap,
            },
            hash: PaymentHash([3; 32]),
            value: Sats(1_000),
            cltv_delta_blocks: 144,
            expires_at: UnixTime(1),
            state: HoldState::New,
            late_payment: None,
            horizon: HorizonWatch::default(),
        }
    }

    fn dev_fee(state: PayoutState) -> Payout {
        let order = OrderId(Uuid::from_u128(2));
        Payout {
            id: PayoutId::of_dev_fee(order),
            order,
            amount: Sats(18),
            destination: Destination::Address("dev@wallet.example".to_owned()),
            resolved: None,
            tries: 7,
            state,
        }
    }

    #[test]
    fn j6_x12_only_a_development_fee_in_flight_binds_to_its_lightning_node() {
        let (old, new) = (node('1', Network::Regtest), node('2', Network::Regtest));
        let waiting = PayoutState::Ready {
            not_before: UnixTime(1),
        };
        let resolving = PayoutState::Resolving { queued_since: None };
        let table = [
            (waiting, true),
            (resolving, true),
            (PayoutState::Parked, true),
            (PayoutState::Paying, false),
        ];
        for (state, may_change) in table {
            let mut ledger = Ledger::in_memory();
            admit(&mut ledger, None, &old, false).unwrap();
            let mut page = ledger.page().unwrap();
            page.put_payout(&dev_fee(state)).unwrap();
            page.commit().unwrap();
            let changed = admit(&mut ledger, Some(&old), &new, false);
            assert_eq!(changed.is_ok(), may_change, "{state:?}");
        }
    }

    #[test]
    fn x12_up_m17_another_node_is_refused_while_a_hold_is_open_unless_the_operator_says_so() {
        let (old, new) = (node('1', Network::Regtest), node('2', Network::Regtest));
        let mut ledger = Ledger::in_memory();
        admit(&mut ledger, None, &old, false).unwrap();
        let mut page = ledger.page().unwrap();
        page.put_hold(&open_hold()).unwrap();
        page.commit().unwrap();

        let refused = admit(&mut ledger, Some(&old), &new, false).unwrap_err();
        let told = refused.to_string();
        assert!(told.contains("1 hold invoices and 0 payouts"), "{told}");
        assert_eq!(remembered(&ledger), Some(old.clone()));
        admit(&mut ledger, Some(&old), &old, false).unwrap();
        admit(&mut ledger, Some(&old), &new, true).unwrap();
        assert_eq!(remembered(&ledger), Some(new));
    }
}
