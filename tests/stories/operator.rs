//! The operator's hand: his gRPC tools, his maintenance, and what the node says of
//! its health (rules A10–A14, X9–X18).

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::maintenance::BegunBy;
use escrow_core::wire::{Action, BookStatus, OrderKind, Payload, Transport};
use escrow_lightning::sandbox::{Fault, FaultAction, Op};
use mostro_relay::admin::Token;
use mostro_relay::admin::proto::admin_service_client::AdminServiceClient;
use mostro_relay::admin::proto::{
    AddSolverRequest, CancelOrderRequest, GetMaintenanceStatusRequest,
    GetMaintenanceStatusResponse, GetVersionRequest, SetMaintenanceModeRequest, SettleOrderRequest,
    TakeDisputeRequest,
};
use mostro_relay::announce::Announcer;
use mostro_relay::operator::Rest;
use mostro_relay::settings::Settings;
use mostro_relay::trader::Ask;
use nostr::event::{Event, Tag};
use nostr::key::Keys;
use nostr::nips::nip44;
use serde_json::json;
use storage::events::{EventStore, EventStoreOptions};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::listener::Listener;
use crate::mishaps::a_trade_before_its_release;
use crate::person::{Person, offer};
use crate::town::Town;

const TOKEN: &str = "a token of this story";
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than a package takes to come over a slow line.
const TIME_TO_INSTALL: Duration = Duration::from_secs(120);
const GRPCIO: &str = "grpcio==1.85.1";

async fn town_with_admin(token: Option<&str>) -> Town {
    let token = token.map(|token| Token::new(token.replace(' ', "-")).unwrap());
    Town::with(move |settings| {
        settings.rpc.enabled = true;
        settings.rpc.port = 0;
        settings.rpc.auth_token = token;
    })
    .await
}

fn address(town: &Town) -> SocketAddr {
    town.node().admin_address().unwrap()
}

async fn admin(town: &Town) -> AdminServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", address(town))).unwrap();
    AdminServiceClient::new(endpoint.connect().await.unwrap())
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", token.replace(' ', "-"));
    let metadata = request.metadata_mut();
    metadata.insert("authorization", bearer.parse().unwrap());
    request
}

async fn status(admin: &mut AdminServiceClient<Channel>) -> GetMaintenanceStatusResponse {
    let asked = GetMaintenanceStatusRequest::default();
    admin
        .get_maintenance_status(asked)
        .await
        .unwrap()
        .into_inner()
}

fn maintenance(enabled: bool, reason: Option<&str>) -> SetMaintenanceModeRequest {
    SetMaintenanceModeRequest {
        enabled,
        reason: reason.map(Into::into),
        request_id: Some("7".into()),
    }
}

fn cancel(order: &str, pretrade_only: bool) -> CancelOrderRequest {
    CancelOrderRequest {
        order_id: order.into(),
        request_id: None,
        pretrade_only: Some(pretrade_only),
    }
}

/// An active trade between the two, in which the buyer complains.
async fn disputed(alice: &mut Person, bob: &mut Person) -> (Uuid, Uuid) {
    let order = alice.offers(OrderKind::Sell, 10_000).await;
    bob.takes_with_invoice(order, 9_970, "waiting-seller-to-pay E idx")
        .await;
    // The first one shows the buyer's reputation.
    alice.hears_of(Action::PayInvoice).await;
    let request = alice.hears_of(Action::PayInvoice).await;
    alice.pays(&request).await;
    bob.hears_of(Action::HoldInvoicePaymentAccepted).await;
    let asked = Ask::about(Action::Dispute, Some(order));
    let opened = bob.asks_anything(asked).await;
    assert_eq!(opened.message.action, Action::DisputeInitiatedByYou);
    match opened.message.payload {
        Some(Payload::Dispute(dispute, _)) => (order, dispute),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a10_a12_a13_the_operator_rules_over_grpc() {
    let mut town = town_with_admin(None).await;
    let (mut alice, mut bob) = town.pair(Transport::Direct, Transport::GiftWrap).await;
    let mut admin = admin(&town).await;
    let (order, dispute) = disputed(&mut alice, &mut bob).await;
    let order = order.to_string();

    let settle = || SettleOrderRequest {
        order_id: order.clone(),
        request_id: Some("1".into()),
    };
    let early = admin.settle_order(settle()).await.unwrap().into_inner();
    assert_eq!(early.error_message.as_deref(), Some("is_not_your_dispute"));
    assert!(!early.success);
    let kept = admin.cancel_order(cancel(&order, true)).await.unwrap();
    let kept = kept.into_inner();
    assert_eq!(kept.error_message.as_deref(), Some("not_allowed_by_status"));
    let take = TakeDisputeRequest {
        dispute_id: dispute.to_string(),
        request_id: None,
    };
    assert!(admin.take_dispute(take).await.unwrap().into_inner().success);
    let drain = status(&mut admin).await;
    assert_eq!(drain.counters.unwrap().escrowed_orders, 1);
    assert!(!drain.drained);
    let settled = admin.settle_order(settle()).await.unwrap().into_inner();
    assert_eq!((settled.success, settled.error_message), (true, None));
    bob.hears_of(Action::AdminSettled).await;
    bob.hears_of(Action::PurchaseCompleted).await;

    alice.turns_the_page().await;
    let offered = alice.offers(OrderKind::Sell, 10_000).await.to_string();
    let drain = status(&mut admin).await;
    assert_eq!(drain.counters.unwrap().pending_orders, 1);
    assert!(drain.drained, "an offer does not count");
    let ended = admin.cancel_order(cancel(&offered, true)).await.unwrap();
    assert!(ended.into_inner().success);
    alice.hears_of(Action::AdminCanceled).await;

    for (solver, refusal) in [
        (format!("{}:read", Keys::generate().public_key()), None),
        ("nobody".into(), Some("invalid_text_message")),
    ] {
        let add = AddSolverRequest {
            solver_pubkey: solver,
            request_id: None,
        };
        let added = admin.add_solver(add).await.unwrap().into_inner();
        assert_eq!(added.error_message.as_deref(), refusal);
    }
    for unknown in ["not a uuid", "00000000-0000-4000-8000-000000000000"] {
        let answer = admin.cancel_order(cancel(unknown, false)).await.unwrap();
        assert!(!answer.into_inner().success, "{unknown}");
    }
    let version = admin.get_version(GetVersionRequest {}).await.unwrap();
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(
        version.into_inner().version,
        format!("0.20.2+mostro-relay.{own}")
    );
}

#[tokio::test]
async fn without_the_token_only_harmless_methods_answer() {
    let town = town_with_admin(Some(TOKEN)).await;
    let mut admin = admin(&town).await;
    let code = |refused: Status| refused.code();
    let begin = || maintenance(true, None);
    let missing = admin.set_maintenance_mode(begin()).await.unwrap_err();
    assert_eq!(code(missing), Code::PermissionDenied);
    let wrong = with("a token of a stranger", begin());
    let wrong = admin.set_maintenance_mode(wrong).await.unwrap_err();
    assert_eq!(code(wrong), Code::PermissionDenied);
    assert!(!status(&mut admin).await.enabled);
    let right = admin.set_maintenance_mode(with(TOKEN, begin())).await;
    assert!(right.unwrap().into_inner().success);
    assert!(status(&mut admin).await.enabled);
    let reserved = maintenance(true, Some("lnd_unsynced"));
    let reserved = admin.set_maintenance_mode(with(TOKEN, reserved)).await;
    let reserved = reserved.unwrap().into_inner();
    assert_eq!(
        reserved.error_message.as_deref(),
        Some("invalid_parameters")
    );

    let mut last = Code::Ok;
    for _ in 0..20 {
        let guess = with("a token of a stranger", begin());
        last = code(admin.set_maintenance_mode(guess).await.unwrap_err());
    }
    assert_eq!(last, Code::ResourceExhausted);
}

/// A client that shares no code with the service. It needs Python and, for the first
/// run, a package registry; without them it says so and passes, but for a build server
/// (`CI=true`), where it fails.
#[tokio::test]
async fn a_foreign_client_speaks_to_the_admin_service() {
    let python = match python_with_grpc().await {
        Ok(python) => python,
        Err(why) => {
            let loud = format!("\n!!! SKIPPED: NO PYTHON WITH GRPCIO: {why} !!!\n\n");
            std::io::stderr().write_all(loud.as_bytes()).unwrap();
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI needs it");
            return;
        }
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories/admin_client.py");
    let script = script.display().to_string();
    let token = TOKEN.replace(' ', "-");
    let wrong = format!("{token}-");
    for strangers in ["", &wrong, &token.to_uppercase()] {
        let town = town_with_admin(Some(TOKEN)).await;
        let address = address(&town).to_string();
        let said = runs(&python, &[&script, &address, &token, strangers]).await;
        assert_eq!(said.unwrap().trim(), "all is well", "{strangers}");
    }
}

/// The machine's own Python if it has the package, or else one beside the build.
async fn python_with_grpc() -> Result<PathBuf, String> {
    let machines = PathBuf::from("python3");
    let has_grpc = ["-c", "import grpc"];
    if runs(&machines, &has_grpc).await.is_ok() {
        return Ok(machines);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("admin-client");
    let own = folder.join("bin/python3");
    if runs(&own, &has_grpc).await.is_err() {
        runs(&machines, &["-m", "venv", &folder.display().to_string()]).await?;
        runs(&own, &["-m", "pip", "install", "--quiet", GRPCIO]).await?;
    }
    Ok(own)
}

async fn runs(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(TIME_TO_INSTALL, command.output()).await;
    let output = output.map_err(|_| "it takes too long".to_owned())?;
    let output = output.map_err(|why| why.to_string())?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// The node's newest event of a kind that is as it is waited for.
async fn announced(town: &Town, kind: u16, is_it: impl Fn(&Event) -> bool) -> Event {
    let mut listener = Listener::at(town.url()).await;
    let filter = json!({ "kinds": [kind], "authors": [town.key()] });
    let waited = timeout(PATIENCE, listener.hears_event(&filter, is_it)).await;
    waited.expect("the node says it")
}

fn tag<'a>(event: &'a Event, name: &str) -> &'a str {
    let mut tags = event.tags.iter().map(Tag::as_slice);
    &tags.find(|tag| tag[0] == name).unwrap()[1]
}

fn rests(event: &Event) -> bool {
    tag(event, "maintenance_mode") == "true"
}

/// A buyer whose payment hangs is owed his sats, and the box is not to be stopped.
#[tokio::test]
async fn x11_drained_means_nothing_in_escrow_and_nobody_unpaid() {
    let mut town = Town::new().await;
    let rest = |town: &Town| {
        let view = town.node().escrow().unwrap().views().view().unwrap();
        let rest = Rest::of_ledger(&view).unwrap();
        let open = [
            rest.escrowed_orders,
            rest.inflight_payouts,
            rest.pending_orders,
        ];
        (open, rest.is_drained())
    };
    let (mut alice, mut bob) = town.pair(Transport::GiftWrap, Transport::Direct).await;
    let mut carol = town.person("carol", Transport::Direct).await;
    carol.offers(OrderKind::Buy, 10_000).await;
    assert_eq!(rest(&town), ([0, 0, 1], true), "an offer does not count");
    a_trade_before_its_release(&mut alice, &mut bob).await;
    assert_eq!(rest(&town), ([1, 0, 1], false));
    let hangs = Fault::on(Op::StartPayment, FaultAction::Hang);
    town.sandbox().add_fault(hangs);
    alice
        .says(Action::Release, "hold-invoice-payment-settled E")
        .await;
    bob.hears("released").await;
    assert_eq!(rest(&town), ([0, 1, 1], false));
    town.restarts(&mut [&mut alice, &mut bob, &mut carol]).await;
    let found = bob.finds_in_the_mail(2).await;
    assert_eq!(found, ["purchase-completed", "rate"]);
    assert_eq!(rest(&town), ([0, 0, 1], true));
}

/// Said by somebody who never finds what he has said, so that each look is a word.
#[tokio::test]
async fn the_terms_and_the_profile_are_said_again_as_often_as_the_operator_wants() {
    let often = Duration::from_secs(1);
    let mut settings = Settings::default();
    settings.node.name = Some("Casa".into());
    settings.mostro.publish_relays_interval = often;
    let town = Town::with(|settings| settings.mostro.publish_mostro_info_interval = often).await;
    let folder = tempfile::tempdir().unwrap();
    let small = EventStoreOptions {
        map_size_bytes: 1 << 26,
        ..EventStoreOptions::default()
    };
    let forgetful = EventStore::open(folder.path(), small).await;
    let announcer = Announcer::new(
        settings,
        town.key(),
        town.node().escrow().unwrap().clone(),
        Arc::new(forgetful.unwrap()),
        watch::channel(None).1,
    );
    let stop = CancellationToken::new();
    let twice = async {
        for kind in [38_385, 0] {
            let first = announced(&town, kind, |_| true).await;
            announced(&town, kind, |event| event.created_at > first.created_at).await;
        }
        stop.cancel();
    };
    tokio::join!(announcer.run(stop.clone()), twice);
}

#[tokio::test]
async fn x10_a_maintenance_is_announced_at_once_and_ends_with_the_operators_word() {
    let mut town = town_with_admin(None).await;
    // Upstream's library of this version cannot read the reason of the refusal.
    let mut alice = town.person_of_the_house("alice", Transport::Direct).await;
    alice.trader.watch_book().await.unwrap();
    let mut admin = admin(&town).await;
    announced(&town, 38_385, |event| !rests(event)).await;
    let begin = maintenance(true, Some("new channels"));
    let answer = admin.set_maintenance_mode(begin).await.unwrap();
    assert!(answer.into_inner().success);
    announced(&town, 38_385, rests).await;
    let ill = announced(&town, 38_389, rests).await;
    assert_eq!(tag(&ill, "status"), "degraded");
    alice
        .offers_so(
            offer(OrderKind::Sell, 10_000),
            "cant-do{maintenance_mode} E",
        )
        .await;

    town.restarts(&mut [&mut alice]).await;
    let mut admin = self::admin(&town).await;
    let told = status(&mut admin).await;
    assert_eq!(told.reason.as_deref(), Some("new channels"));
    assert!(told.enabled && told.drained && told.since.is_some());
    let end = maintenance(false, None);
    assert!(
        admin
            .set_maintenance_mode(end)
            .await
            .unwrap()
            .into_inner()
            .success
    );
    announced(&town, 38_385, |event| !rests(event)).await;
    alice.offers(OrderKind::Sell, 10_000).await;
    alice.sees(BookStatus::Pending).await;
}

#[tokio::test]
async fn x9_the_node_rests_while_lightning_is_away_and_says_so() {
    let watchdog = Keys::generate();
    let reader = watchdog.public_key();
    let mut town = Town::with(move |settings| {
        let second = Duration::from_secs(1);
        settings.health.lnd_unsynced_fail_after = second;
        settings.health.lnd_resynced_clear_after = second;
        settings.health.watchdog_pubkey = Some(reader);
    })
    .await;
    let well = announced(&town, 38_389, |event| !rests(event)).await;
    assert_eq!(tag(&well, "status"), "ok");
    let names: Vec<_> = well
        .tags
        .iter()
        .map(|tag| tag.as_slice()[0].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "d",
            "y",
            "z",
            "status",
            "check",
            "check",
            "check",
            "check",
            "escrow_mode",
            "lnd_block_height",
            "lnd_synced_to_chain",
            "lnd_network",
            "maintenance_mode",
            "mostro_version",
            "interval",
            "seq",
            "p",
            "expiration",
        ]
    );
    let details = nip44::decrypt(watchdog.secret_key(), &town.key(), &well.content).unwrap();
    let details: serde_json::Value = serde_json::from_str(&details).unwrap();
    assert_eq!(details["lnd"]["reachable"], true);

    let mut maintenance = town.node().escrow().unwrap().maintenance();
    town.sandbox().go_down(Duration::from_secs(3_600)).await;
    let is_own = |present: &Option<_>| {
        let by = |present: &escrow_core::maintenance::Maintenance| present.by;
        present.as_ref().map(by) == Some(BegunBy::Node)
    };
    let begun = timeout(PATIENCE, maintenance.wait_for(is_own)).await;
    drop(begun.unwrap().unwrap());
    announced(&town, 38_385, rests).await;
    let ill = announced(&town, 38_389, rests).await;
    assert_eq!(tag(&ill, "status"), "down");
    town.sandbox().come_back();
    let ended = timeout(PATIENCE, maintenance.wait_for(Option::is_none)).await;
    drop(ended.unwrap().unwrap());
    let well_again = announced(&town, 38_389, |event| {
        !rests(event) && event.created_at > ill.created_at
    })
    .await;
    let seq = |event: &Event| tag(event, "seq").parse::<u64>().unwrap();
    assert!(seq(&well) < seq(&ill) && seq(&ill) < seq(&well_again));

    town.restarts(&mut []).await;
    let later = announced(&town, 38_389, |event| {
        event.created_at > well_again.created_at
    })
    .await;
    assert!(seq(&later) > seq(&well_again), "numbers survive restarts");
}
