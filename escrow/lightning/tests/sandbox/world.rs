//! What the world does beyond the suite for every backend.

use escrow_core::{Msat, Sats};
use escrow_lightning::Preimage;
use escrow_lightning::backend::{FailReason, HoldState, PaymentState, StartPayment};
use escrow_lightning::sandbox::{
    CreateHold, DEFAULT_WALLET, Fund, Mine, PayRefusal, StartPaying, Tick, WalletPayment,
    WalletPays, World,
};

use crate::{START, hold_request, invoice, pay_request, setup};

fn pay(world: &mut World, bolt11: String, msat: u64, fee_limit: u64) -> PaymentState {
    let mut request = pay_request(bolt11, msat);
    request.fee_limit = Msat(fee_limit);
    assert_eq!(
        world.apply(START, StartPaying::from(&request)).reply,
        StartPayment::Started
    );
    world.apply(START, Tick);
    world.payments_since(0, u32::MAX).pop().unwrap().state
}

#[test]
fn a_fee_above_its_limit_finds_no_route() {
    let mut world = World::new(&setup(), START);
    let bolt11 = world
        .apply(START, invoice(DEFAULT_WALLET, 1_000_000))
        .reply
        .unwrap();
    let no_route = PaymentState::Failed {
        reason: FailReason::NoRoute,
    };
    assert_eq!(pay(&mut world, bolt11.clone(), 1_000_000, 1_099), no_route);
    let paid = pay(&mut world, bolt11, 1_000_000, 1_100);
    assert!(
        matches!(
            paid,
            PaymentState::Succeeded {
                fee: Msat(1_100),
                ..
            }
        ),
        "{paid:?}"
    );
}

#[test]
fn a_node_without_liquidity_says_so() {
    let mut poor = setup();
    (poor.outbound, poor.inbound) = (Sats(1_000), Sats(1_000));
    let mut world = World::new(&poor, START);
    let bolt11 = world
        .apply(START, invoice(DEFAULT_WALLET, 1_000_000))
        .reply
        .unwrap();
    let insufficient = PaymentState::Failed {
        reason: FailReason::InsufficientBalance,
    };
    assert_eq!(pay(&mut world, bolt11, 1_000_000, 10_000), insufficient);

    let act = CreateHold::from(&hold_request(&Preimage::new([1; 32])));
    let hold = world.apply(START, act).reply.unwrap();
    let pays = WalletPays::exactly(DEFAULT_WALLET, &hold.bolt11);
    assert_eq!(world.apply(START, pays).reply, Err(PayRefusal::NoRoute));
}

#[test]
fn wallets_pay_each_other_once() {
    let mut world = World::new(&setup(), START);
    world
        .apply(
            START,
            Fund {
                wallet: "bob".into(),
                amount: Sats(0),
            },
        )
        .reply
        .unwrap();
    let bolt11 = world.apply(START, invoice("bob", 7_000)).reply.unwrap();
    let text = format!(" lightning:{} ", bolt11.to_ascii_uppercase());
    let pays = |name: &str, text: &str| WalletPays::exactly(name, text);
    let table = [
        (
            "with nothing",
            pays("bob", &bolt11),
            Err(PayRefusal::SelfPayment),
        ),
        (
            "from nowhere",
            pays("eve", &bolt11),
            Err(PayRefusal::NoSuchWallet),
        ),
        (
            "for nothing",
            pays(DEFAULT_WALLET, "lnbcrt1"),
            Err(PayRefusal::UnknownInvoice),
        ),
        (
            "pasted as a link",
            pays(DEFAULT_WALLET, &text),
            Ok(WalletPayment::Paid),
        ),
        (
            "again",
            pays(DEFAULT_WALLET, &bolt11),
            Err(PayRefusal::WrongDetails),
        ),
    ];
    for (case, act, want) in table {
        assert_eq!(world.apply(START, act).reply, want, "{case}");
    }
    assert_eq!(world.balance("bob"), Msat(7_000));
}

#[test]
fn each_part_waits_two_minutes_for_the_rest() {
    let mut world = World::new(&setup(), START);
    let preimage = Preimage::new([1; 32]);
    let act = CreateHold::from(&hold_request(&preimage));
    let hold = world.apply(START, act).reply.unwrap();
    let part = WalletPays {
        part: Some(Msat(2_000_000)),
        total: Some(Msat(10_000_000)),
        ..WalletPays::exactly(DEFAULT_WALLET, &hold.bolt11)
    };
    for secs in [0, 60] {
        let sent = world.apply(START.plus(secs), part.clone()).reply;
        assert_eq!(sent, Ok(WalletPayment::PartHeld));
    }
    for (secs, partial) in [
        (119, 4_000_000),
        (120, 2_000_000),
        (179, 2_000_000),
        (180, 0),
    ] {
        world.apply(START.plus(secs), Tick);
        let state = world.hold(preimage.hash()).unwrap().state;
        assert_eq!(
            state,
            HoldState::Open {
                partial: Msat(partial)
            },
            "after {secs} seconds"
        );
    }
    let other_total = WalletPays {
        total: Some(Msat(11_000_000)),
        ..part.clone()
    };
    world.apply(START.plus(200), part).reply.unwrap();
    let sent = world.apply(START.plus(200), other_total).reply;
    assert_eq!(
        sent,
        Err(PayRefusal::WrongDetails),
        "the parts disagree on the whole"
    );
}

#[test]
fn a_payee_who_was_paid_already_refuses() {
    let mut world = World::new(&setup(), START);
    world
        .apply(
            START,
            Fund {
                wallet: "bob".into(),
                amount: Sats(0),
            },
        )
        .reply
        .unwrap();
    let bolt11 = world.apply(START, invoice("bob", 7_000)).reply.unwrap();
    let gift = WalletPays::exactly(DEFAULT_WALLET, &bolt11);
    world.apply(START, gift).reply.unwrap();
    let before = world.liquidity();
    let refused = PaymentState::Failed {
        reason: FailReason::WrongDetails,
    };
    assert_eq!(pay(&mut world, bolt11, 7_000, 10_000), refused);
    assert_eq!(world.liquidity(), before);
}

#[test]
fn a_block_is_found_every_ten_minutes() {
    let mut world = World::new(&setup(), START);
    let height = world.height();
    for (secs, blocks) in [(599, 0), (600, 1), (601, 1), (1_200, 2), (0, 2)] {
        world.apply(START.plus(secs), Tick);
        assert_eq!(world.height() - height, blocks, "after {secs} seconds");
    }
    assert_eq!(world.apply(START, Mine { blocks: 5 }).reply, height + 7);
}

#[test]
fn an_invoice_of_the_sandbox_says_so() {
    let mut world = World::new(&setup(), START);
    let mut request = hold_request(&Preimage::new([1; 32]));
    request.memo = "é".repeat(319);
    let hold = world
        .apply(START, CreateHold::from(&request))
        .reply
        .unwrap();
    let invoice: lightning_invoice::Bolt11Invoice = hold.bolt11.parse().unwrap();
    assert!(hold.bolt11.starts_with("lnbcrt"), "{}", hold.bolt11);
    assert!(
        invoice.description().to_string().starts_with("SANDBOX é"),
        "{invoice}"
    );
}
