//! A web server on this machine that sells prices, well or badly.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How a shop treats whoever asks.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Answers with this.
    Says(String),
    /// Answers with this status, and with prices all the same.
    Status(u16),
    /// Sends whoever asks elsewhere.
    SendsTo(String),
    /// Never says a word.
    Hangs,
    /// Begins to answer and never ends.
    Dawdles,
    /// Announces a body that is too large.
    IsHuge,
    /// Sends a body without announcing its length, and does not stop.
    IsEndless,
    /// Hangs up in the middle of its answer.
    HangsUp,
}

/// A shop that is open.
pub(crate) struct Shop {
    pub(crate) url: String,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

pub(crate) const GOOD: &str = r#"{"BTC":{"USD":50000.0,"EUR":45000,"XYZ":null},"timestamp":1}"#;

impl Shop {
    pub(crate) async fn opens(manner: Manner) -> Shop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (manner, asked) = (Arc::new(Mutex::new(manner)), Arc::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&manner), Arc::clone(&asked)));
        Shop {
            url,
            manner,
            asked,
            _serving: serving,
        }
    }

    pub(crate) async fn says(text: &str) -> Shop {
        Shop::opens(Manner::Says(text.to_owned())).await
    }

    pub(crate) fn turns(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// The heads of all questions so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, manner: Arc<Mutex<Manner>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut visits = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (manner, asked) = (Arc::clone(&manner), Arc::clone(&asked));
        visits.spawn(async move {
            // Whoever hangs up early has heard enough.
            let _ended = visit(stream, &manner, &asked).await;
        });
    }
}

async fn visit(
    mut stream: TcpStream,
    manner: &Mutex<Manner>,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    asked.lock().unwrap().push(String::from_utf8(head).unwrap());
    let manner = manner.lock().unwrap().clone();
    let answer = |status: u16, more: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} x\r\n{more}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let close = "HTTP/1.1 200 x\r\nconnection: close\r\n";
    match manner {
        Manner::Says(text) => stream.write_all(answer(200, "", &text).as_bytes()).await,
        Manner::Status(status) => stream.write_all(answer(status, "", GOOD).as_bytes()).await,
        Manner::SendsTo(url) => {
            let location = format!("location: {url}/exrates/BTC\r\n");
            stream
                .write_all(answer(302, &location, GOOD).as_bytes())
                .await
        }
        Manner::Hangs => std::future::pending().await,
        Manner::Dawdles => {
            let begun = format!("{close}content-length: 1000\r\n\r\n{{\"BTC\":");
            stream.write_all(begun.as_bytes()).await?;
            std::future::pending().await
        }
        Manner::IsHuge => {
            let body = format!("{GOOD}{}", " ".repeat(3 << 20));
            stream.write_all(answer(200, "", &body).as_bytes()).await
        }
        Manner::IsEndless => {
            stream
                .write_all(format!("{close}\r\n{GOOD}").as_bytes())
                .await?;
            loop {
                stream.write_all(&[b' '; 8_192]).await?;
            }
        }
        Manner::HangsUp => {
            let begun = format!("{close}content-length: 1000\r\n\r\n{GOOD}");
            stream.write_all(begun.as_bytes()).await
        }
    }
}
