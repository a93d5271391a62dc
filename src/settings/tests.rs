//! What is read, what is refused, and how it is said.

use std::ffi::OsString;
use std::time::Duration;

use escrow_core::Sats;
use nostr::types::RelayUrl;

use super::*;

/// Reads `text` as the file `settings.toml`.
pub(super) fn read(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    let mut source = Source::default();
    source.read_file(Path::new("settings.toml"), text.as_bytes());
    source.read_environment(
        environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value))),
    );
    Reading::default().finish(source)
}

pub(super) fn settings(text: &str, environment: &[(&str, &str)]) -> Settings {
    read(text, environment).unwrap().settings
}

pub(super) fn refusals(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    read(text, environment)
        .unwrap_err()
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn nothing_written_means_defaults() {
    assert_eq!(settings("", &[]), Settings::default());
}

#[test]
fn the_environment_wins_over_the_file() {
    let settings = settings(
        "[relay]\nlisten = '127.0.0.1:1'\nmax_limit = 7\n[mostro]\nfee = 0",
        &[
            ("MOSTRO_RELAY__RELAY__LISTEN", "127.0.0.1:7777"),
            ("MOSTRO_RELAY__MOSTRO__MAX_ROUTING_FEE", "0.001"),
            ("MOSTRO_RELAY__MOSTRO__FIAT_CURRENCIES_ACCEPTED", "USD, EUR"),
            ("MOSTRO_RELAY__ESCROW__ENABLED", "false"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(settings.relay.url(), "ws://127.0.0.1:7777");
    assert_eq!(settings.relay.max_limit, 7);
    assert_eq!(settings.mostro.fee.to_string(), "0");
    assert_eq!(settings.mostro.max_routing_fee.to_string(), "0.001");
    assert_eq!(settings.mostro.fiat_currencies_accepted, ["USD", "EUR"]);
    assert!(!settings.escrow.enabled);
}

#[test]
fn z1_everything_wrong_is_reported_at_once_with_line_key_and_reason() {
    let text = "\
[relay]
lisen = \"127.0.0.1:7000\"
max_limit = \"many\"

[mostro]
fee = 0.3
min_payment_amount = 5
max_order_amount = 5

[nothing]
";
    let environment = [
        ("MOSTRO_RELAY__MOSTRO__POW", "65"),
        ("MOSTRO_RELAY__MOSTRO__POWW", "1"),
    ];
    assert_eq!(
        refusals(text, &environment),
        [
            "settings.toml:2: relay.lisen: unknown key; did you mean relay.listen?",
            "settings.toml:3: relay.max_limit: must be a whole number, not text",
            "settings.toml:6: mostro.fee: must be from 0 to 0.2, not 0.3",
            "settings.toml:7: mostro.min_payment_amount: mostro.min_payment_amount must be below \
             mostro.max_order_amount",
            "settings.toml:10: nothing: unknown section",
            "MOSTRO_RELAY__MOSTRO__POW: must be from 0 to 64, not 65",
            "MOSTRO_RELAY__MOSTRO__POWW: unknown key; did you mean mostro.pow?",
        ]
    );
}

#[test]
fn a_line_that_is_not_toml_does_not_hide_the_others() {
    let found = refusals("[mostro]\nfee = 0.3\npow = = 1\nfee = 0.1\n", &[]);
    let places: Vec<_> = found
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        ["settings.toml:2", "settings.toml:3", "settings.toml:4"],
        "{found:?}"
    );
}

#[test]
fn keys_belong_into_sections() {
    assert_eq!(
        refusals("listen = 'x'\nrelay = 1\n[[mostro]]\nfee = 1\n", &[]),
        [
            "settings.toml:1: listen: unknown key; did you mean relay.listen?",
            "settings.toml:2: relay: is a section: write [relay] and its keys below it",
            "settings.toml:3: mostro: is a section: write [mostro] and its keys below it",
        ]
    );
}

#[test]
fn f5_j1_the_share_of_the_development_and_where_it_goes_are_bounded() {
    let table = [
        (
            "mostro.dev_fee_percentage = 0.09",
            "must be from 0.1 to 1, not 0.09",
        ),
        (
            "mostro.dev_fee_percentage = 1.1",
            "must be from 0.1 to 1, not 1.1",
        ),
        (
            "mostro.dev_fee_destination = 'dev at wallet.example'",
            "must be a Lightning address, such as name@wallet.example, or an LNURL",
        ),
        (
            "mostro.dev_fee_destination = 'dev@127.0.0.1'",
            "must be a Lightning address, such as name@wallet.example, or an LNURL",
        ),
        (
            "expiration.fee_audit_days = 0",
            "must be from 1 to 3650, not 0",
        ),
    ];
    for (line, reason) in table {
        let key = line.split(" = ").next().unwrap();
        assert_eq!(
            refusals(line, &[]),
            [format!("settings.toml:1: {key}: {reason}")],
            "{line}"
        );
    }
}

#[test]
fn values_are_refused() {
    let table = [
        ("node.data_dir = ''", "must not be empty"),
        (
            "node.key = 'nsec1nonsense'",
            "must be a secret key: nsec1… or 64 hexadecimal digits",
        ),
        (
            "node.website = 'example.org'",
            "must be a web address that begins with https://",
        ),
        (
            "relay.listen = 7000",
            "must be text in quotes, not a whole number",
        ),
        (
            "relay.listen = '7000'",
            "must be an address with a port, such as 127.0.0.1:7000",
        ),
        (
            "relay.public_url = 'https://relay.example'",
            "must be a websocket address, such as wss://relay.example",
        ),
        ("relay.max_limit = 0", "must be from 1 to 100000, not 0"),
        ("relay.max_limit = -1", "must be from 1 to 100000, not -1"),
        (
            "relay.max_limit = 1.5",
            "must be a whole number, not a decimal number",
        ),
        ("escrow.enabled = 'yes'", "must be true or false, not text"),
        ("mostro.fee = nan", "must be from 0 to 0.2, not NaN"),
        ("mostro.fee = 1", "must be from 0 to 0.2, not 1"),
        (
            "mostro.min_payment_amount = 0",
            "must be from 1 to 2100000000000000, not 0",
        ),
        (
            "mostro.expiration_seconds = 119",
            "must be from 120 to 7200, not 119",
        ),
        (
            "mostro.publish_mostro_info_interval = 29",
            "must be from 30 to 86400, not 29",
        ),
        (
            "mostro.publish_relays_interval = 86401",
            "must be from 30 to 86400, not 86401",
        ),
        (
            "mostro.max_expiration_days = 61",
            "must be from 1 to 60, not 61",
        ),
        (
            "mostro.fiat_currencies_accepted = ['USD', 'eur']",
            "\"eur\" is not a currency code of 3 to 10 capitals",
        ),
        ("lightning.backend = 'cln'", "must be sandbox or lnd"),
        (
            "lightning.lnd_macaroon_hex = 'not a macaroon'",
            "the macaroon is not a row of hexadecimal digits",
        ),
        (
            "lightning.hold_invoice_cltv_delta = 289",
            "must be from 67 to 288, not 289",
        ),
        (
            "sandbox.listen = '0.0.0.0:7001'",
            "must be a loopback address: whoever reaches it moves the simulated money",
        ),
        (
            "limits.max_open_holds = 0",
            "must be from 1 to 1000000, not 0",
        ),
        (
            "lightning.max_inflight_payouts = 10001",
            "must be from 0 to 10000, not 10001",
        ),
        (
            "expiration.dispute_days = 0",
            "must be from 1 to 3650, not 0",
        ),
        ("expiration.dm_days = 2", "must be from 3 to 3650, not 2"),
        ("log.format = 'xml'", "must be text or json"),
    ];
    for (line, reason) in table {
        let key = line.split(" = ").next().unwrap();
        assert_eq!(
            refusals(line, &[]),
            [format!("settings.toml:1: {key}: {reason}")],
            "{line}"
        );
    }
}

#[test]
fn keys_that_disagree_are_refused() {
    let table = [
        (
            "relay.max_frame_bytes = 131072",
            "relay.max_message_event_bytes must be below",
        ),
        (
            "relay.max_waiting_bytes_in_all = 65536",
            "relay.max_waiting_bytes_in_all must be at least",
        ),
        (
            "relay.max_connections = 10",
            "relay.max_connections_per_address must be at most",
        ),
        (
            "relay.ping_seconds = 120",
            "relay.ping_seconds must be below relay.idle_seconds",
        ),
        (
            "relay.listen = '0.0.0.0:7001'",
            "sandbox.listen and relay.listen must be different",
        ),
        (
            "rpc.listen_address = '0.0.0.0'\nrpc.enabled = true",
            "rpc.listen_address beyond this machine needs rpc.auth_token",
        ),
        (
            "rpc.listen_address = '192.0.2.1'\nrpc.enabled = true",
            "rpc.listen_address beyond this machine needs rpc.auth_token",
        ),
        (
            "rpc.enabled = true\nescrow.enabled = false",
            "rpc.enabled needs escrow.enabled",
        ),
        (
            "mostro.max_order_amount = 100",
            "mostro.min_payment_amount must be below",
        ),
        (
            "mostro.expiration_hours = 361",
            "mostro.expiration_hours must be at most",
        ),
        (
            "lightning.escrow_deadline_margin_blocks = 35",
            "lightning.escrow_deadline_margin_blocks",
        ),
        (
            "lightning.hold_invoice_cltv_delta = 83",
            "lightning.hold_invoice_cltv_delta must be",
        ),
        (
            "lightning.lnd_hold_expiry_delta = 79",
            "lightning.hold_invoice_cltv_delta must be",
        ),
        (
            "lightning.payment_cltv_limit = 719",
            "lightning.payment_cltv_limit must be 0 or",
        ),
    ];
    for (line, reason) in table {
        let key = line.split(" = ").next().unwrap();
        let found = refusals(line, &[]);
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(
            found[0].starts_with(&format!("settings.toml:1: {key}: {reason}")),
            "{found:?}"
        );
    }
}

#[test]
fn a_refused_value_is_not_blamed_on_its_neighbour() {
    let found = refusals(
        "mostro.min_payment_amount = -1\nmostro.max_order_amount = 50",
        &[],
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn defaults_follow_the_keys_they_depend_on() {
    let settings = settings(
        "mostro.pow = 5\nmostro.expiration_seconds = 600\nlightning.lnd_hold_expiry_delta = 20",
        &[],
    );
    assert_eq!(settings.mostro.pow_first_contact, 5);
    assert_eq!(
        settings.lightning.hold_invoice_expiration_window,
        Duration::from_secs(600)
    );
    assert_eq!(settings.lightning.escrow_deadline_margin_blocks, 38);
}

#[test]
fn mostrods_intervals_of_publication_are_read() {
    let defaults = settings("", &[]).mostro;
    let chosen = settings(
        "[mostro]\npublish_mostro_info_interval = 30\npublish_relays_interval = 3600",
        &[],
    );
    for (mostro, info, relays) in [(defaults, 300, 60), (chosen.mostro, 30, 3_600)] {
        let found = (
            mostro.publish_mostro_info_interval.as_secs(),
            mostro.publish_relays_interval.as_secs(),
        );
        assert_eq!(found, (info, relays));
    }
}

#[test]
fn p11_zero_takes_the_cap_on_payments_in_flight_away() {
    let settings = settings(
        "[lightning]\nmax_inflight_payouts = 0\nmax_inflight_payouts_per_destination = 3",
        &[],
    );
    let caps = (
        settings.lightning.max_inflight_payouts,
        settings.lightning.max_inflight_payouts_per_destination,
    );
    assert_eq!(caps, (0, 3));
}

#[test]
fn y2_the_higher_proof_of_work_is_asked_at_first_contact() {
    let lower = settings("mostro.pow = 8\nmostro.pow_first_contact = 3", &[]);
    let higher = settings("mostro.pow = 8\nmostro.pow_first_contact = 13", &[]);
    assert_eq!(
        (
            lower.mostro.pow_first_contact,
            higher.mostro.pow_first_contact
        ),
        (8, 13)
    );
}

#[test]
fn z2_features_that_are_not_built_cannot_be_enabled() {
    for section in ["anti_abuse_bond", "cashu"] {
        assert!(read(&format!("[{section}]\nenabled = false\nx = 1"), &[]).is_ok());
        let found = refusals(&format!("[{section}]\nenabled = true\nx = 1"), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].ends_with("cannot be enabled: not supported yet"),
            "{found:?}"
        );
    }
}

#[test]
fn z2_mirrors_need_an_address_that_others_can_reach() {
    let mirrors = "[mirror]\nrelays = ['wss://a.example']\n";
    let with = |public_url: &str| format!("{mirrors}[relay]\npublic_url = '{public_url}'\n");
    for text in [
        mirrors,
        &with("ws://127.0.0.1:7000"),
        &with("wss://a.example/"),
        &format!("{}[escrow]\nenabled = false\n", with("wss://b.example")),
    ] {
        let found = refusals(text, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("mirror.relays"), "{found:?}");
    }
    let settings = settings(&with("wss://b.example"), &[]);
    assert_eq!(settings.mirror.relays.len(), 1);
    assert!(settings.mirror.inward);
}

#[test]
fn mirrors_are_few_and_each_is_named_once() {
    let many: Vec<_> = (0..17).map(|n| format!("wss://{n}.example")).collect();
    let table = [
        (many.join(","), "at most 16"),
        ("wss://a.example,wss://a.example/".to_owned(), "twice"),
        ("https://a.example".to_owned(), "websocket address"),
    ];
    for (relays, reason) in table {
        let environment = [
            ("MOSTRO_RELAY__MIRROR__RELAYS", relays.as_str()),
            ("MOSTRO_RELAY__RELAY__PUBLIC_URL", "wss://own.example"),
        ];
        let found = refusals("", &environment);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(reason), "{found:?}");
    }
}

#[test]
fn an_operator_of_mostrod_is_told_where_his_keys_went() {
    let text = "[nostr]\nnsec_privkey = 'nsec1'\nrelays = []\n[mostro]\ntransport = 'dm'\n";
    assert_eq!(
        refusals(text, &[]),
        [
            "settings.toml:2: nostr.nsec_privkey: is called node.key here",
            "settings.toml:3: nostr.relays: is called mirror.relays here",
        ]
    );
    let loaded = read("[mostro]\ntransport = 'dm'\n", &[]).unwrap();
    assert_eq!(
        loaded.notices,
        ["settings.toml:2: mostro.transport has no effect: both transports are always spoken."]
    );
}

#[test]
fn the_secret_key_shows_in_no_refusal_and_no_debug_output() {
    const SECRET: &str = "6b911fd37cdf5c81d4c0adb1ab7fa822ed253ab0ad9aa18d77257c88b29b718e";
    let settings = settings("", &[("MOSTRO_RELAY__NODE__KEY", SECRET)]);
    assert!(settings.node.key.is_some());
    assert!(!format!("{settings:?}").contains(SECRET));
    for line in [
        format!("node.key = '{SECRET}0'"),
        format!("node.key = {SECRET}"),
    ] {
        let found = refusals(&line, &[]);
        assert!(!found.iter().any(|line| line.contains(SECRET)), "{found:?}");
    }
}

#[test]
fn amounts_are_sats() {
    let settings = settings("mostro.max_order_amount = 2_000_000", &[]);
    assert_eq!(settings.mostro.max_order_amount, Sats(2_000_000));
}

#[test]
fn an_address_that_means_every_interface_is_told_as_loopback_with_a_notice() {
    let loaded = read("relay.listen = '0.0.0.0:7000'", &[]).unwrap();
    assert_eq!(loaded.settings.relay.url(), "ws://127.0.0.1:7000");
    assert!(
        loaded.notices[0].starts_with("relay.public_url is not set"),
        "{:?}",
        loaded.notices
    );
}

#[test]
fn a_client_may_have_dialled_the_public_or_the_listening_address() {
    let table = [
        (
            "",
            vec![
                "ws://127.0.0.1:7000",
                "ws://[::1]:7000",
                "ws://localhost:7000",
            ],
        ),
        ("relay.listen = '192.0.2.7:80'", vec!["ws://192.0.2.7"]),
        (
            "relay.listen = '192.0.2.7:80'\nrelay.public_url = 'wss://relay.example/'",
            vec!["wss://relay.example", "ws://192.0.2.7"],
        ),
        (
            "relay.listen = '0.0.0.0:81'\nrelay.public_url = 'wss://relay.example'",
            vec![
                "wss://relay.example",
                "ws://127.0.0.1:81",
                "ws://[::1]:81",
                "ws://localhost:81",
            ],
        ),
    ];
    for (text, expected) in table {
        let urls = settings(text, &[]).relay.urls();
        let urls: Vec<_> = urls
            .iter()
            .map(RelayUrl::as_str_without_trailing_slash)
            .collect();
        assert_eq!(urls, expected, "{text}");
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("settings.toml");
    let refused = load(Some(&missing), []).unwrap_err().to_string();
    assert!(
        refused.starts_with(&format!("{}: cannot be read", missing.display())),
        "{refused}"
    );
}
