//! The port, spoken to in plain HTTP.

use mostro_relay::front_door::Readiness;
use mostro_relay::relay::RelayLimits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harbour::{Harbour, limits, soon};

/// Sends one request and returns status line with headers, and body.
pub(crate) async fn request(harbour: &Harbour, head: &str) -> (String, String) {
    let mut stream = TcpStream::connect(harbour.address).await.unwrap();
    let request = format!("{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn nip_11_tells_the_limits_that_are_enforced() {
    let limits = RelayLimits {
        max_limit: 77,
        subscriptions: 7,
        ..limits()
    };
    let harbour = Harbour::with(limits).await;
    let asking = "GET / HTTP/1.1\r\nAccept: application/nostr+json";
    let (head, body) = request(&harbour, asking).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(
        head.contains("content-type: application/nostr+json"),
        "{head}"
    );
    for header in ["origin", "headers", "methods"] {
        assert!(
            head.contains(&format!("access-control-allow-{header}: ")),
            "{head}"
        );
    }
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        document["pubkey"],
        json!(harbour.node.public_key().to_hex())
    );
    assert_eq!(document["self"], document["pubkey"]);
    assert_eq!(document["name"], json!(harbour.profile.name));
    assert_eq!(
        document["supported_nips"],
        json!([1, 9, 11, 13, 40, 42, 45, 70])
    );
    let limitation = &document["limitation"];
    assert_eq!(limitation["max_message_length"], json!(limits.frame_bytes));
    assert_eq!(limitation["max_subscriptions"], json!(7));
    assert_eq!(limitation["max_filters"], json!(limits.filters_per_req));
    assert_eq!(limitation["max_limit"], json!(77));
    assert_eq!(
        limitation["created_at_upper_limit"],
        json!(limits.future_secs)
    );
    let everything = document.as_object().unwrap();
    assert!(
        everything.values().all(|value| !value.is_null()),
        "absent, not null"
    );
    let (head, _) = request(&harbour, "OPTIONS / HTTP/1.1").await;
    assert!(
        head.starts_with("http/1.1 204") && head.contains("allow-origin: *"),
        "{head}"
    );
    harbour.stop().await;
}

#[tokio::test]
async fn health_is_told_apart_from_readiness() {
    let harbour = Harbour::open().await;
    let (head, _) = request(&harbour, "GET /livez HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (head, body) = request(&harbour, "GET /readyz HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, "{\"ready\":true}\n");
    harbour
        .readiness
        .send(Readiness::NotReady {
            why: "no Lightning".to_owned(),
        })
        .unwrap();
    let (head, body) = request(&harbour, "GET /readyz HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(body, "{\"ready\":false,\"why\":\"no Lightning\"}\n");
    let (head, _) = request(&harbour, "GET /livez HTTP/1.1").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    harbour.stop().await;
}

#[tokio::test]
async fn a_browser_is_greeted_and_strange_requests_are_refused() {
    let harbour = Harbour::open().await;
    let (head, body) = request(&harbour, "GET / HTTP/1.1").await;
    assert!(
        head.starts_with("http/1.1 200") && body.contains("Nostr relay"),
        "{head}\n{body}"
    );
    let table = [
        ("GET /nowhere HTTP/1.1", "404"),
        ("POST / HTTP/1.1\r\nContent-Length: 0", "405"),
        ("GET / HTTP/1.1\r\nUpgrade: websocket", "400"),
        (
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7",
            "400",
        ),
    ];
    for (head, status) in table {
        let (answer, _) = request(&harbour, head).await;
        assert!(
            answer.starts_with(&format!("http/1.1 {status}")),
            "{head}: {answer}"
        );
    }
    harbour.stop().await;
}

#[tokio::test]
async fn a_full_relay_says_so() {
    let harbour = Harbour::with(RelayLimits {
        connections: 2,
        ..limits()
    })
    .await;
    let (first, _second) = (harbour.client().await, harbour.client().await);
    let (head, body) = request(&harbour, "GET /livez HTTP/1.1").await;
    assert!(
        head.starts_with("http/1.1 503") && body.contains("full"),
        "{head}\n{body}"
    );
    drop(first);
    let freed = async {
        while !request(&harbour, "GET /livez HTTP/1.1")
            .await
            .0
            .starts_with("http/1.1 200")
        {}
    };
    soon(freed).await;
    harbour.stop().await;
}
