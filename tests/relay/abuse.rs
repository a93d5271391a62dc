//! Clients who abuse the websocket itself: each meets a limit and reads a reason.

use std::time::Duration;

use mostro_relay::relay::RelayLimits;
use relay_policy::Rate;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::harbour::{Harbour, limits, soon};
use crate::raw::{CLOSE, LAST, MORE, PING, PONG, Raw, TEXT, frame, head};

const NORMAL: u16 = 1_000;
const PROTOCOL: u16 = 1_002;
const INVALID: u16 = 1_007;
const POLICY: u16 = 1_008;
const SIZE: u16 = 1_009;

const REQ: &[u8] = br#"["REQ","a",{"kinds":[1],"limit":0}]"#;

/// Asserts that these bytes end a fresh connection with this code and this reason, told
/// by the close frame and, for clients that do not show it, by a notice.
async fn ends_with(harbour: &Harbour, case: &str, bytes: &[u8], code: u16, why: &str) {
    let mut raw = Raw::websocket(harbour).await;
    raw.sends(bytes).await;
    let farewell = raw.farewell().await;
    assert_eq!(farewell.code, code, "{case}: {farewell:?}");
    assert!(farewell.reason.contains(why), "{case}: {farewell:?}");
    let told = farewell.notices.last().expect("there is a notice");
    assert!(told.contains(why), "{case}: {farewell:?}");
}

#[tokio::test]
async fn what_is_no_websocket_is_named_and_ends_the_connection() {
    let harbour = Harbour::open().await;
    let unmasked = [&[LAST | TEXT, 35], REQ].concat();
    let twice = [frame(TEXT, "["), frame(LAST | TEXT, "[")].concat();
    let table: [(&str, Vec<u8>, u16, &str); 12] = [
        (
            "compressed",
            frame(LAST | 0x40 | TEXT, REQ),
            PROTOCOL,
            "Reserved bits",
        ),
        (
            "a reserved bit",
            frame(LAST | 0x10 | TEXT, REQ),
            PROTOCOL,
            "Reserved bits",
        ),
        ("unmasked", unmasked, PROTOCOL, "unmasked"),
        (
            "an unknown kind",
            frame(LAST | 0x3, "x"),
            PROTOCOL,
            "opcode",
        ),
        (
            "an unknown control",
            frame(LAST | 0xB, "x"),
            PROTOCOL,
            "opcode",
        ),
        (
            "a long ping",
            frame(LAST | PING, [7; 126]),
            PROTOCOL,
            "ontrol frame",
        ),
        (
            "a ping in parts",
            frame(PING, "x"),
            PROTOCOL,
            "ragmented control frame",
        ),
        (
            "the end of nothing",
            frame(LAST | MORE, "x"),
            PROTOCOL,
            "ontinu",
        ),
        ("a message in a message", twice, PROTOCOL, "ragment"),
        (
            "no UTF-8",
            frame(LAST | TEXT, [b'"', 0xFF]),
            INVALID,
            "UTF-8",
        ),
        (
            "half a character",
            frame(LAST | TEXT, [b'"', 0xC3]),
            INVALID,
            "UTF-8",
        ),
        (
            "a close of one byte",
            frame(LAST | CLOSE, "x"),
            PROTOCOL,
            "lose",
        ),
    ];
    for (case, bytes, code, why) in table {
        ends_with(&harbour, case, &bytes, code, why).await;
    }
    harbour.stop().await;
}

#[tokio::test]
async fn what_is_too_large_ends_before_it_is_read() {
    let harbour = Harbour::with(RelayLimits {
        frame_bytes: 10_000,
        ..limits()
    })
    .await;
    let over = "is over 20000 bytes";
    let huge = head(LAST | TEXT, 1 << 62);
    ends_with(&harbour, "a huge frame", &huge, SIZE, over).await;
    let large_ping = head(LAST | PING, 1 << 20);
    ends_with(&harbour, "a huge ping", &large_ping, SIZE, over).await;
    let part = frame(MORE, [b' '; 8_000]);
    let parts = [frame(TEXT, [b' '; 8_000]), part.repeat(2)].concat();
    ends_with(&harbour, "large in total", &parts, SIZE, over).await;
    harbour.stop().await;
}

#[tokio::test]
async fn a_message_in_fragments_is_heard_and_pings_in_it_are_answered() {
    let harbour = Harbour::open().await;
    let mut raw = Raw::websocket(&harbour).await;
    let (begin, end) = REQ.split_at(10);
    let bytes = [
        frame(TEXT, begin),
        frame(LAST | PING, "in between"),
        frame(MORE, ""),
        frame(LAST | PONG, ""),
        frame(LAST | MORE, end),
    ];
    raw.sends(&bytes.concat()).await;
    let (first, pong) = soon(raw.frame()).await.unwrap();
    assert_eq!((first, &pong[..]), (LAST | PONG, &b"in between"[..]));
    let (_, heard) = soon(raw.frame()).await.unwrap();
    assert_eq!(heard, json!(["EOSE", "a"]).to_string().as_bytes());
    raw.sends(&frame(LAST | CLOSE, NORMAL.to_be_bytes())).await;
    assert_eq!(raw.farewell().await.code, NORMAL);
    harbour.stop().await;
}

#[tokio::test]
async fn a_dribbled_message_ends_although_bytes_keep_coming() {
    let harbour = Harbour::with(RelayLimits {
        message_time: Duration::from_millis(200),
        frames: None,
        ..limits()
    })
    .await;
    let ping = frame(LAST | PING, "");
    let table = [
        (
            "a frame byte by byte",
            head(LAST | TEXT, 100_000),
            b" ".to_vec(),
        ),
        ("a message without end", frame(TEXT, "["), frame(MORE, " ")),
        ("pings in a message", frame(TEXT, "["), ping),
    ];
    for (case, begin, drop) in table {
        let mut raw = Raw::websocket(&harbour).await;
        raw.sends(&begin).await;
        let farewell = raw.dribbles(vec![drop], Raw::farewell).await;
        assert_eq!(farewell.code, POLICY, "{case}: {farewell:?}");
        assert!(farewell.reason.contains("too slow"), "{case}: {farewell:?}");
    }
    harbour.stop().await;
}

#[tokio::test]
async fn frames_that_are_no_message_have_an_allowance() {
    let harbour = Harbour::with(RelayLimits {
        frames: Some(Rate {
            per_second: 1,
            burst: 50,
        }),
        ..limits()
    })
    .await;
    let fragments = [frame(TEXT, ""), frame(MORE, "").repeat(99)].concat();
    let table = [
        ("pings", frame(LAST | PING, "x").repeat(100)),
        ("pongs", frame(LAST | PONG, "x").repeat(100)),
        ("fragments", fragments),
    ];
    for (case, flood) in table {
        ends_with(&harbour, case, &flood, POLICY, "too many frames").await;
    }
    harbour.stop().await;
}

/// A peer whose machine has vanished sends no FIN, and takes nothing any more.
#[tokio::test]
async fn a_half_open_connection_gives_its_seat_back() {
    let harbour = Harbour::with(RelayLimits {
        connections: 1,
        idle_after: Duration::from_millis(200),
        ping_every: Duration::from_millis(50),
        ..limits()
    })
    .await;
    let vanished = Raw::websocket(&harbour).await;
    let seated = async {
        loop {
            let (mut next, head) = Raw::upgrades(&harbour, "").await;
            if head.starts_with("http/1.1 101") {
                break;
            }
            let _refused = next.stream.read_to_end(&mut Vec::new()).await;
        }
    };
    soon(seated).await;
    let farewell = vanished.farewell().await;
    assert!(farewell.reason.contains("idle"), "{farewell:?}");
    harbour.stop().await;
}

#[tokio::test]
async fn compression_is_not_agreed_to() {
    let harbour = Harbour::open().await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let (mut raw, head) = Raw::upgrades(&harbour, offer).await;
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(!head.contains("extensions"), "{head}");
    raw.sends(&frame(LAST | 0x40 | TEXT, REQ)).await;
    assert_eq!(raw.farewell().await.code, PROTOCOL);
    harbour.stop().await;
}
