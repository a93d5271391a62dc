//! Wallets that take their time, and a node that loses and forgets.

use escrow_core::PaymentHash;
use escrow_lightning::backend::{FailReason, PaymentState, StartPayment};
use escrow_lightning::sandbox::{
    AnswerHeld, Behave, Behaviour, ChangeChannels, DEFAULT_WALLET, ForgetPayments, LosePayments,
    Mine, PayRefusal, Peers, StartPaying, Tick, World,
};

use crate::{START, invoice, pay_request, setup};

const AMOUNT: u64 = 1_000_000;

/// A world in which the default wallet behaves like this and has one invoice.
fn world(behaviour: Behaviour) -> (World, String) {
    let mut world = World::new(&setup(), START);
    let behave = Behave {
        wallet: DEFAULT_WALLET.into(),
        behaviour,
    };
    world.apply(START, behave).reply.unwrap();
    let bolt11 = world.apply(START, invoice(DEFAULT_WALLET, AMOUNT)).reply;
    (world, bolt11.unwrap())
}

fn start(world: &mut World, bolt11: &str) -> StartPayment {
    let request = pay_request(bolt11.into(), AMOUNT);
    world.apply(START, StartPaying::from(&request)).reply
}

fn last(world: &World) -> (PaymentHash, PaymentState) {
    let payment = world.payments_since(0, u32::MAX).pop().unwrap();
    (payment.hash, payment.state)
}

fn failed(reason: FailReason) -> PaymentState {
    PaymentState::Failed { reason }
}

fn is_paid(state: &PaymentState) -> bool {
    matches!(state, PaymentState::Succeeded { .. })
}

#[test]
fn a_payee_takes_refuses_or_cannot_be_reached() {
    let reason = FailReason::WrongDetails;
    let table = [
        (Behaviour::Fail { reason }, failed(reason)),
        (Behaviour::Offline, failed(FailReason::NoRoute)),
    ];
    for (behaviour, end) in table {
        let (mut world, bolt11) = world(behaviour);
        assert_eq!(start(&mut world, &bolt11), StartPayment::Started);
        world.apply(START, Tick);
        assert_eq!(last(&world).1, end, "{behaviour:?}");
        assert_eq!(world.total_msat(), world.minted_msat());
    }
}

#[test]
fn a_slow_payee_takes_his_time() {
    let (mut world, bolt11) = world(Behaviour::Slow { secs: 60 });
    start(&mut world, &bolt11);
    world.apply(START.plus(59), Tick);
    assert_eq!(last(&world).1, PaymentState::InFlight { parts: 1 });
    world.apply(START.plus(60), Tick);
    assert!(is_paid(&last(&world).1));
}

#[test]
fn a_held_payment_waits_for_its_payee_or_for_the_end_of_its_lock() {
    for (takes, paid) in [(true, true), (false, false)] {
        let (mut world, bolt11) = world(Behaviour::Hold);
        start(&mut world, &bolt11);
        world.apply(START, Tick);
        let (hash, state) = last(&world);
        assert_eq!(state, PaymentState::InFlight { parts: 1 });
        assert_eq!(world.held_payments(), [hash]);
        let again = start(&mut world, &bolt11);
        assert_eq!(again, StartPayment::AlreadyKnown, "nothing is paid twice");
        // It came in time, so the invoice may expire meanwhile.
        world.apply(START.plus(3_600), Tick);
        let answer = AnswerHeld { hash, takes };
        assert_eq!(world.apply(START, answer.clone()).reply, Ok(()));
        assert_eq!(is_paid(&last(&world).1), paid);
        let none = world.apply(START, answer).reply;
        assert_eq!(none, Err(PayRefusal::UnknownInvoice), "it is answered");
        assert_eq!(world.total_msat(), world.minted_msat());
    }
    let (mut world, bolt11) = world(Behaviour::Hold);
    start(&mut world, &bolt11);
    world.apply(START, Tick);
    world.apply(START, Mine { blocks: 82 });
    assert_eq!(last(&world).1, PaymentState::InFlight { parts: 1 });
    world.apply(START, Mine { blocks: 1 });
    assert_eq!(last(&world).1, failed(FailReason::Timeout));
    assert_eq!(world.total_msat(), world.minted_msat());
}

#[test]
fn a_lost_payment_is_in_flight_until_its_channels_are_closed() {
    let (mut world, bolt11) = world(Behaviour::Pay);
    let outbound = world.liquidity().outbound;
    world.apply(START, LosePayments { count: 1 });
    start(&mut world, &bolt11);
    assert_eq!(start(&mut world, &bolt11), StartPayment::AlreadyKnown);
    world.apply(START.plus(10 * 86_400), Tick);
    assert_eq!(last(&world).1, PaymentState::InFlight { parts: 1 });
    assert_eq!(world.liquidity().outbound, outbound, "nothing left");
    assert_eq!(world.apply(START, ChangeChannels).reply, 1);
    assert_eq!(last(&world).1, failed(FailReason::NoRoute));
}

#[test]
fn nothing_leaves_a_node_without_peers() {
    let (mut world, bolt11) = world(Behaviour::Pay);
    world.apply(START, Peers { are_online: false });
    assert_eq!(world.active_channels(), 0);
    start(&mut world, &bolt11);
    world.apply(START, Tick);
    assert_eq!(last(&world).1, failed(FailReason::InsufficientBalance));
    world.apply(START, Peers { are_online: true });
    start(&mut world, &bolt11);
    world.apply(START, Tick);
    assert!(is_paid(&last(&world).1));
}

#[test]
fn pruned_payments_are_not_found_and_their_numbers_not_given_again() {
    let (mut world, bolt11) = world(Behaviour::Offline);
    start(&mut world, &bolt11);
    world.apply(START, Tick);
    let (hash, _) = last(&world);
    let forget = |failed_only| ForgetPayments { failed_only };
    assert_eq!(world.apply(START, forget(true)).reply, 1);
    assert_eq!(world.payment(hash), PaymentState::NotFound);
    let pays = Behave {
        wallet: DEFAULT_WALLET.into(),
        behaviour: Behaviour::Pay,
    };
    world.apply(START, pays).reply.unwrap();
    start(&mut world, &bolt11);
    world.apply(START, Tick);
    let remembered = world.payments_since(0, 9);
    assert_eq!(remembered.len(), 1);
    assert_eq!(remembered.first().unwrap().index, 2);
    assert_eq!(world.apply(START, forget(true)).reply, 0, "it succeeded");
    assert_eq!(world.apply(START, forget(false)).reply, 1);
    // The payee has his money, and does not take it twice.
    start(&mut world, &bolt11);
    world.apply(START, Tick);
    assert_eq!(last(&world).1, failed(FailReason::WrongDetails));
    assert_eq!(world.total_msat(), world.minted_msat());
}
