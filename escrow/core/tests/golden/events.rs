//! Tags of public events, byte for byte.

use escrow_core::wire::{
    BookFiat, DevFeeEvent, DisputeEvent, DisputeStatus, InfoEvent, Initiator, LightningInfo,
    MakerRating, OrderEvent, OrderKind, Profile, RatingEvent, Shown, relay_list_tags,
};
use escrow_core::{Fiat, PaymentHash, Sats, UnixTime};
use nostr::event::Tag;
use nostr::key::PublicKey;

use super::filled;

const NODE: &str = "724497f34e6c4f55f9aa90f5e9dcc326c76a9f2ed817b0f0eb940ee7218ac8d5";

fn assert_tags(tags: &[Tag], recorded: &str) {
    assert_eq!(
        serde_json::to_string(tags).unwrap(),
        filled(recorded).trim_end()
    );
}

fn node() -> PublicKey {
    PublicKey::from_hex(NODE).unwrap()
}

fn pending(relays: &[String], maker: MakerRating) -> OrderEvent<'_> {
    OrderEvent {
        id: "0f07eec7-8834-4349-8f6d-3e2a9a9437f2".parse().unwrap(),
        kind: OrderKind::Sell,
        fiat_code: "USD",
        shown: Shown::Pending {
            maker,
            relays,
            node: node(),
        },
        amount: Sats(10_000),
        fiat: BookFiat::Fixed(Fiat(10)),
        payment_method: "cash,bank",
        premium: 0,
        network: "regtest",
        created_at: UnixTime(1_795_199_464),
        expires_at: UnixTime(1_795_285_864),
        instance: None,
    }
}

#[test]
fn a_pending_order_shows_rating_and_source() {
    let relays = ["wss://relay.example".to_owned()];
    let maker = MakerRating {
        days: 12,
        since: Some(1_795_132_800),
        total_rating: 4.5,
        total_reviews: 3,
    };
    assert_tags(
        &pending(&relays, maker).tags(),
        include_str!("pending_order.json"),
    );
}

#[test]
fn a_pending_range_order_of_a_stranger_shows_zeros_and_both_ends() {
    let relays = [
        "wss://one.example".to_owned(),
        "wss://two.example".to_owned(),
    ];
    let mut order = pending(&relays, MakerRating::default());
    order.fiat = BookFiat::Range(Fiat(10), Fiat(50));
    order.amount = Sats(0);
    order.premium = -2;
    order.payment_method = "cash, bank,,";
    order.instance = Some(" Sol ");
    let tags = order.tags();
    let tag = |name: &str| {
        tags.iter()
            .find(|tag| tag.kind() == name)
            .unwrap()
            .as_slice()
            .to_vec()
    };
    assert_eq!(tag("fa"), ["fa", "10", "50"]);
    assert_eq!(tag("amt"), ["amt", "0"]);
    assert_eq!(tag("pm"), ["pm", "cash", " bank"]);
    assert_eq!(tag("premium"), ["premium", "-2"]);
    assert_eq!(tag("y"), ["y", "mostro", "Sol"]);
    assert_eq!(
        tag("rating")[1],
        r#"["rating",{"days":0,"total_rating":0.0,"total_reviews":0}]"#
    );
    let source = format!(
        "mostro:{}?relays=wss://one.example,wss://two.example&mostro={NODE}",
        order.id
    );
    assert_eq!(tag("source")[1], source);
}

#[test]
fn a_finished_order_equals_the_recorded_ones() {
    let done = OrderEvent {
        id: "3c4187f3-9696-46e1-98d9-8d49446e04ae".parse().unwrap(),
        kind: OrderKind::Buy,
        shown: Shown::Success(UnixTime(1_797_791_468)),
        payment_method: "cash",
        ..pending(&[], MakerRating::default())
    };
    assert_tags(&done.tags(), include_str!("taken_order.json"));

    let canceled = OrderEvent {
        id: "d1a6a248-37ef-42b2-ab81-96217202e810".parse().unwrap(),
        shown: Shown::Canceled(UnixTime(1_797_791_427)),
        amount: Sats(5_000),
        fiat: BookFiat::Fixed(Fiat(5)),
        created_at: UnixTime(1_795_199_423),
        expires_at: UnixTime(1_795_285_823),
        ..pending(&[], MakerRating::default())
    };
    assert_tags(&canceled.tags(), include_str!("canceled_order.json"));
}

#[test]
fn a_rating_equals_the_recorded_one() {
    let rated = "0ff79c158daf86f685ecf960b5e58442021ae1df1faf952335f95f187fe8fdec";
    let mut rating = RatingEvent {
        rated: PublicKey::from_hex(rated).unwrap(),
        expiration: UnixTime(1_802_975_460),
        total_reviews: 1,
        total_rating: 2.5,
        last_rating: 5,
        max_rate: 5,
        min_rate: 5,
        since: Some(1_795_132_800),
        days: 0,
    };
    assert_tags(&rating.tags(), include_str!("rating.json"));
    rating.total_rating = 5.0;
    assert_eq!(rating.tags()[3].as_slice(), ["total_rating", "5"]);
}

#[test]
fn the_terms_equal_the_recorded_ones_and_name_the_software_last() {
    let currencies = ["USD", "EUR", "ARS", "CUP"].map(str::to_owned);
    let key = "02abababababababababababababababababababababababababababababababab";
    let info = InfoEvent {
        node: node(),
        commit_hash: "",
        max_order_sats: 1_000_000,
        min_order_sats: 100,
        expiration_hours: 24,
        expiration_seconds: 900,
        fiat_currencies: &currencies,
        max_orders_per_response: 10,
        fee: "0.006",
        pow: 0,
        pow_first_contact: 0,
        hold_invoice_cltv_delta: 144,
        escrow_deadline_margin_blocks: 24,
        lightning: LightningInfo {
            version: "0.18.4-beta fake",
            node_pubkey: key,
            commit_hash: "fake",
            alias: "fakelnd",
            chains: &["bitcoin".to_owned()],
            networks: &["regtest".to_owned()],
            uris: &[format!("{key}@127.0.0.1:9735")],
        },
        invoice_expiration_window: 3_600,
        hold_invoice_expiration_window: 300,
        maintenance: false,
        serbero: None,
        instance: None,
        software_version: "0.1.0",
    };
    let mut tags = info.tags();
    assert_eq!(
        tags.pop().unwrap().as_slice(),
        ["software", "mostro-relay/0.1.0"]
    );
    assert_tags(&tags, include_str!("info.json"));
}

#[test]
fn the_relay_list_keeps_its_order_and_the_profile_leaves_out_what_is_not_set() {
    let urls = ["ws://127.0.0.1:7780".to_owned()];
    assert_tags(&relay_list_tags(&urls), include_str!("relay_list.json"));
    assert_eq!(Profile::default().content(), "{}");
    let profile = Profile {
        name: Some("Sol"),
        website: Some("https://sol.example"),
        ..Profile::default()
    };
    assert_eq!(
        profile.content(),
        r#"{"name":"Sol","website":"https://sol.example"}"#
    );
}

#[test]
fn a_dispute_tells_who_opened_it_and_when_under_both_names() {
    let event = DisputeEvent {
        id: "baf89673-53e4-49d4-b5ec-c3745a7ef6fe".parse().unwrap(),
        status: DisputeStatus::Initiated,
        initiator: Initiator::Buyer,
        opened_at: UnixTime(1_795_199_464),
        expiration: UnixTime(1_802_975_464),
        instance: None,
    };
    assert_tags(
        &event.tags(),
        r#"[["d","<d>"],["expiration","1802975464"],["s","initiated"],["initiator","buyer"],["published_at","1795199464"],["created_at","1795199464"],["y","mostro"],["z","dispute"]]"#,
    );
}

#[test]
fn j5_a_paid_development_fee_tells_what_was_paid_to_whom_for_which_order() {
    let event = DevFeeEvent {
        order: "0f07eec7-8834-4349-8f6d-3e2a9a9437f2".parse().unwrap(),
        amount: Sats(18),
        hash: PaymentHash([0xab; 32]),
        destination: "dev@wallet.example",
        network: "regtest",
        expiration: UnixTime(1_826_735_464),
        instance: Some("Sol"),
    };
    let tags = r#"[["order-id","<o>"],["amount","18"],["hash","<h>"],["destination","dev@wallet.example"],["network","regtest"],["y","mostro","Sol"],["z","dev-fee-payment"],["expiration","1826735464"]]"#;
    assert_tags(&event.tags(), &tags.replace("<h>", &"ab".repeat(32)));
}
