//! Clients who abuse the port before there is a websocket, or without wanting one.

use std::time::Duration;

use mostro_relay::relay::RelayLimits;
use tokio::io::AsyncReadExt;

use crate::harbour::{Harbour, limits, soon};
use crate::raw::Raw;

/// Sends these bytes and reads until the server hangs up.
async fn answer_to(harbour: &Harbour, bytes: &[u8]) -> String {
    let mut raw = Raw::connects(harbour).await;
    raw.sends(bytes).await;
    raw.answer().await
}

#[tokio::test]
async fn the_head_of_a_request_must_come_in_time() {
    let harbour = Harbour::with(RelayLimits {
        head_time: Duration::from_millis(200),
        ..limits()
    })
    .await;
    let told = "the head of a request took too long";
    let mut slow = Raw::connects(&harbour).await;
    slow.sends(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        .await;
    let answer = slow.dribbles(vec![b"x".to_vec()], Raw::answer).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.ends_with(&format!("{told}\n")), "{answer}");
    let silent = answer_to(&harbour, b"").await;
    assert!(silent.starts_with("HTTP/1.1 408 "), "{silent}");
    let lingering = answer_to(&harbour, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(lingering.starts_with("HTTP/1.1 200 "), "{lingering}");
    harbour.stop().await;
}

#[tokio::test]
async fn a_head_has_bounds() {
    let harbour = Harbour::open().await;
    let many = "X: y\r\n".repeat(200);
    let large = "y".repeat(100_000);
    let table = [
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {large}"), "431"),
        (format!("GET /{large} HTTP/1.1\r\nHost: a\r\n\r\n"), "4"),
    ];
    for (request, status) in table {
        let answer = answer_to(&harbour, request.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{request:.40}: {answer}");
    }
    harbour.stop().await;
}

#[tokio::test]
async fn what_is_not_asked_for_is_refused_with_its_status() {
    const END: &str = "Host: a\r\nConnection: close\r\n";
    let harbour = Harbour::open().await;
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let table = [
        (
            "a body on GET",
            format!("GET /livez HTTP/1.1\r\n{END}Content-Length: 5\r\n\r\nhello"),
            "200",
        ),
        ("HEAD", format!("HEAD / HTTP/1.1\r\n{END}\r\n"), "200"),
        (
            "POST",
            format!("POST / HTTP/1.1\r\n{END}Content-Length: 5\r\n\r\nhello"),
            "405",
        ),
        (
            "a body without end",
            format!("POST / HTTP/1.1\r\n{END}Content-Length: 1000000000\r\n\r\nhello"),
            "405",
        ),
        (
            "two lengths",
            format!("POST / HTTP/1.1\r\n{END}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
            "400",
        ),
        (
            "a length and chunks",
            format!(
                "POST / HTTP/1.1\r\n{END}Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello"
            ),
            "400",
        ),
        (
            "a proxy's verb",
            format!("CONNECT example.org:443 HTTP/1.1\r\n{END}\r\n"),
            "4",
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned(), "400"),
        (
            "TLS",
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "no key",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}{version}\r\n"),
            "400",
        ),
        (
            "no version",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}{key}\r\n"),
            "400",
        ),
        (
            "no Connection",
            format!("GET / HTTP/1.1\r\n{END}Upgrade: websocket\r\n{version}{key}\r\n"),
            "400",
        ),
        (
            "HTTP/1.0",
            format!("GET / HTTP/1.0\r\n{upgrade}{version}{key}\r\n"),
            "400",
        ),
        (
            "POST upgrade",
            format!("POST / HTTP/1.1\r\n{END}{upgrade}{version}{key}\r\n"),
            "405",
        ),
    ];
    for (case, request, status) in table {
        let mut raw = Raw::connects(&harbour).await;
        raw.sends(request.as_bytes()).await;
        let mut answer = [0; 12];
        soon(raw.stream.read_exact(&mut answer))
            .await
            .unwrap_or_else(|_| panic!("{case}"));
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.get(9..).unwrap().starts_with(status),
            "{case}: {answer}"
        );
    }
    harbour.stop().await;
}

#[tokio::test]
async fn garbage_after_a_good_request_ends_the_connection() {
    let harbour = Harbour::open().await;
    let answer = answer_to(
        &harbour,
        b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n\0\0\0\0\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("HTTP/1.1 400 "), "{answer}");
    harbour.stop().await;
}

/// He asks on and on and takes no answer, so the server cannot go on either.
#[tokio::test]
async fn who_takes_no_answers_gives_his_seat_back() {
    let harbour = Harbour::with(RelayLimits {
        connections: 1,
        visit_time: Duration::from_millis(300),
        ..limits()
    })
    .await;
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nAccept: application/nostr+json\r\n\r\n";
    let mut greedy = Raw::connects(&harbour).await;
    let flood = request.repeat(1_000);
    let asks = async {
        while tokio::io::AsyncWriteExt::write_all(&mut greedy.stream, &flood)
            .await
            .is_ok()
        {}
    };
    soon(asks).await;
    let seated = async {
        while !answer_to(
            &harbour,
            b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await
        .starts_with("HTTP/1.1 200 ")
        {}
    };
    soon(seated).await;
    harbour.stop().await;
}

/// A stop does not wait for a client who takes no answer.
#[tokio::test]
async fn a_stop_waits_for_nobody_without_end() {
    let harbour = Harbour::open().await;
    let mut half = Raw::connects(&harbour).await;
    half.sends(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    let websocket = Raw::websocket(&harbour).await;
    harbour.stop().await;
    drop((half, websocket));
}
