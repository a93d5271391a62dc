//! Each source against the shapes that were recorded, and against bad ones.

use std::time::{Duration, Instant};

use escrow_core::UnixTime;
use mostro_relay::prices::sources::{
    Blockchain, Coingecko, CurrencyApi, Eltoque, FixedTable, Web, Yadio,
};
use mostro_relay::prices::{Answer, PriceSource, SourceError, SourceId};

use crate::shop::{GOOD, Manner, Shop};

const NOW: UnixTime = UnixTime(1_795_199_371);
/// Long enough for a shop on this machine, whatever else runs on it.
const LONG: Duration = Duration::from_secs(20);
/// For shops that would never answer.
const SHORT: Duration = Duration::from_millis(200);

fn at(shop: &Shop) -> Web {
    Web::new(&shop.url, &[], LONG)
}

/// Whether a failure is the right one.
type Is = fn(&SourceError) -> bool;

/// What a source answers: prices per bitcoin, then those per other money.
async fn told(source: &dyn PriceSource) -> Result<String, SourceError> {
    let Answer::Observed(quotes) = source.ask(NOW).await? else {
        panic!("no source on the web passes on what others say");
    };
    let direct = quotes.per_bitcoin.iter();
    let direct = direct.map(|(code, units)| format!("{code} {units}"));
    let others = quotes.per_base.iter();
    let others = others.map(|((base, code), units)| format!("{code} {units} per {base}"));
    Ok(direct.chain(others).collect::<Vec<_>>().join(", "))
}

#[tokio::test]
async fn q1_every_source_reads_what_was_recorded() {
    let yadio = Shop::says(GOOD).await;
    let gecko = Shop::says(r#"{"bitcoin":{"usd":50000,"eur":45000.5,"xyz":1}}"#).await;
    let files = r#"{"date":"2026-11-20","btc":{"usd":50000,"ars":5e7,"eth":30,"xau":20,"btc":1}}"#;
    let files = Shop::says(files).await;
    let ticker = r#"{"USD":{"15m":1,"last":50000.0,"buy":2,"sell":3,"symbol":"USD"}}"#;
    let ticker = Shop::says(ticker).await;
    let street = Shop::says(r#"{"tasas":{"USD":490,"MLC":200,"ECU":540,"BTC":1},"hour":1}"#).await;

    let sources: [(Box<dyn PriceSource>, &str); 6] = [
        (Box::new(Yadio(at(&yadio))), "EUR 45000, USD 50000"),
        (
            Box::new(Coingecko::new(at(&gecko), None)),
            "EUR 45000.5, USD 50000",
        ),
        (Box::new(CurrencyApi(at(&files))), "ARS 50000000, USD 50000"),
        (Box::new(Blockchain(at(&ticker))), "USD 50000"),
        (
            Box::new(Eltoque::new(at(&street), "t".into())),
            "CUP 490 per USD, MLC 2.45 per USD",
        ),
        (Box::new(FixedTable::new(&[("USD".into(), 5.0)])), "USD 5"),
    ];
    for (source, prices) in &sources {
        let told = told(source.as_ref()).await;
        assert_eq!(told.as_deref(), Ok(*prices), "{}", source.id().name());
    }
}

#[tokio::test]
async fn q1_every_source_asks_as_it_is_asked_there() {
    let shop = Shop::says("{}").await;
    let sources: [Box<dyn PriceSource>; 6] = [
        Box::new(Yadio(Web::new(&format!("{}/", shop.url), &[], LONG))),
        Box::new(Coingecko::new(at(&shop), None)),
        Box::new(Coingecko::new(at(&shop), Some("CG-key".into()))),
        Box::new(CurrencyApi(at(&shop))),
        Box::new(Blockchain(at(&shop))),
        Box::new(Eltoque::new(at(&shop), "a-token".into())),
    ];
    for source in &sources {
        let told = told(source.as_ref()).await;
        assert!(
            matches!(told, Err(SourceError::Unreadable(_) | SourceError::Nothing)),
            "{told:?}"
        );
    }
    let asked = shop.asked();
    let paths: Vec<_> = asked
        .iter()
        .map(|head| head.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(paths[0], "/exrates/BTC");
    assert!(paths[1].starts_with("/simple/price?ids=bitcoin&vs_currencies=usd,eur,gbp,"));
    assert_eq!(paths[3], "/currencies/btc.min.json");
    assert_eq!(paths[4], "/ticker");
    let span = "date_from=2026-11-19%2019:29:31&date_to=2026-11-20%2018:29:31";
    assert_eq!(paths[5], format!("/v1/trmi?{span}"));
    assert!(!asked[1].contains("x-cg-"));
    assert!(asked[2].contains("x-cg-demo-api-key: CG-key\r\n"));
    assert!(asked[5].contains("authorization: Bearer a-token\r\n"));
    assert!(
        asked
            .iter()
            .all(|head| head.contains("user-agent: mostro-relay/"))
    );
}

#[tokio::test]
async fn q1_a_bad_answer_is_a_failure_and_never_half_a_result() {
    let elsewhere = Shop::says(GOOD).await;
    let says = |text: &str| Manner::Says(text.to_owned());
    let half = &GOOD[..GOOD.len() / 2];
    let unreadable: Is = |why| matches!(why, SourceError::Unreadable(_));
    let late: Is = |why| *why == SourceError::Late;
    let table: [(Manner, Duration, Is); 14] = [
        (Manner::Status(500), LONG, |why| {
            *why == SourceError::Status(500)
        }),
        (Manner::Status(404), LONG, |why| {
            *why == SourceError::Status(404)
        }),
        (Manner::Status(429), LONG, |why| {
            *why == SourceError::Status(429)
        }),
        (Manner::SendsTo(elsewhere.url.clone()), LONG, |why| {
            *why == SourceError::Status(302)
        }),
        (Manner::Hangs, SHORT, late),
        (Manner::Dawdles, SHORT, late),
        (Manner::IsHuge, LONG, |why| {
            *why == SourceError::TooLarge(2 << 20)
        }),
        (Manner::IsEndless, LONG, |why| {
            *why == SourceError::TooLarge(2 << 20)
        }),
        (Manner::HangsUp, LONG, |why| {
            matches!(why, SourceError::Unreachable(_))
        }),
        (says("<html>busy</html>"), LONG, unreadable),
        (says(half), LONG, unreadable),
        (says(r#"{"BTC":[50000]}"#), LONG, unreadable),
        (says(r#"{"BTC":{"USD":1e999}}"#), LONG, unreadable),
        (
            says(r#"{"BTC":{"USD":null,"EUR":-5,"ETH":30}}"#),
            LONG,
            |why| *why == SourceError::Nothing,
        ),
    ];
    for (manner, time, is_right) in table {
        let shop = Shop::opens(manner.clone()).await;
        let told = told(&Yadio(Web::new(&shop.url, &[], time))).await;
        let why = told.expect_err("a bad answer is none");
        assert!(is_right(&why), "{manner:?}: {why:?}");
    }
    assert_eq!(elsewhere.asked().len(), 0, "nobody goes where he is sent");
}

#[tokio::test]
async fn q1_mirrors_are_asked_in_their_order_until_one_answers() {
    let bad = Shop::opens(Manner::Status(503)).await;
    let hung = Shop::opens(Manner::Hangs).await;
    let good = Shop::says(r#"{"btc":{"usd":50000}}"#).await;
    let unasked = Shop::says(r#"{"btc":{"usd":1}}"#).await;
    let mirrors = [&hung, &good, &unasked].map(|shop| shop.url.clone());
    let began = Instant::now();
    let source = CurrencyApi(Web::new(&bad.url, &mirrors, SHORT));
    assert_eq!(told(&source).await.as_deref(), Ok("USD 50000"));
    assert!(began.elapsed() >= SHORT, "the hung one had its time");
    let asked = [&bad, &hung, &good, &unasked].map(|shop| shop.asked().len());
    assert_eq!(asked, [1, 1, 1, 0]);
    assert_eq!(source.patience(), 4 * SHORT + Duration::from_secs(1));
}

#[tokio::test]
async fn q1_nobody_is_there() {
    let gone = Shop::says(GOOD).await.url;
    let told = told(&Yadio(Web::new(&gone, &[], LONG))).await;
    assert!(matches!(told, Err(SourceError::Unreachable(_))), "{told:?}");
}

#[tokio::test]
async fn el_toque_says_nothing_without_the_dollar() {
    for text in [
        r#"{"tasas":{"MLC":200}}"#,
        r#"{"tasas":{"USD":null,"MLC":200}}"#,
    ] {
        let shop = Shop::says(text).await;
        let told = told(&Eltoque::new(at(&shop), "t".into())).await;
        assert_eq!(told, Err(SourceError::Nothing));
    }
    for text in [
        r#"{"tasas":{"USD":490}}"#,
        r#"{"tasas":{"USD":490,"MLC":0}}"#,
    ] {
        let shop = Shop::says(text).await;
        let told = told(&Eltoque::new(at(&shop), "t".into())).await;
        assert_eq!(told.as_deref(), Ok("CUP 490 per USD"));
    }
}

#[tokio::test]
async fn a_refusal_shows_no_key() {
    let shop = Shop::opens(Manner::Status(401)).await;
    let secret = "very-secret";
    let refused = told(&Eltoque::new(at(&shop), secret.into()))
        .await
        .unwrap_err();
    let url = format!("{}/?key={secret}", Shop::says("").await.url);
    let lost = told(&Yadio(Web::new(&url, &[], LONG))).await.unwrap_err();
    for why in [refused, lost] {
        assert!(!format!("{why} {why:?}").contains(secret), "{why:?}");
    }
    assert_eq!(SourceId::Eltoque.name(), "eltoque");
}
