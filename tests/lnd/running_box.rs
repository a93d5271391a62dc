//! The real binary at work.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Longer than anything here may take on a busy machine, and than the minute after
/// which a box looks at everything again.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The log of the box, in the output of a test that fails.
fn shows(line: &str) {
    eprintln!("    box: {line}");
}

pub(crate) struct RunningBox {
    process: Child,
    /// `127.0.0.1:port`.
    address: String,
    /// What it has said since its port is open.
    log: watch::Receiver<String>,
    /// Reads the log, so that the binary never waits for a reader.
    _reader: JoinSet<()>,
}

impl RunningBox {
    /// Starts it and waits until its port is open.
    pub(crate) async fn starts(folder: &Path, settings: &[(String, String)]) -> RunningBox {
        let mut process = command(folder, settings).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let reading = async {
            while let Some(line) = log.next_line().await.unwrap() {
                shows(&line);
                if let Some((_, address)) = line.split_once("the port is open address=") {
                    return address.trim().to_owned();
                }
            }
            panic!("the box ended before it opened its port");
        };
        let address = timeout(PATIENCE, reading).await.unwrap();
        let mut reader = JoinSet::new();
        let (tells, told) = watch::channel(String::new());
        reader.spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                shows(&line);
                tells.send_modify(|log| log.push_str(&line));
            }
        });
        RunningBox {
            process,
            address,
            log: told,
            _reader: reader,
        }
    }

    /// Starts it where it must refuse, and returns what it says about that.
    pub(crate) async fn refuses(folder: &Path, settings: &[(String, String)]) -> String {
        let ran = timeout(PATIENCE, command(folder, settings).output()).await;
        let ran = ran.expect("it ends by itself").unwrap();
        assert!(!ran.status.success());
        String::from_utf8_lossy(&ran.stderr).into_owned()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Waits until it takes new trades.
    pub(crate) async fn is_ready(&self) {
        self.answers(r#"{"ready":true}"#).await;
    }

    /// Waits until it takes no new trades, and says that this is why.
    pub(crate) async fn is_ready_but(&self, why: &str) {
        self.answers(why).await;
    }

    async fn answers(&self, words: &str) {
        let mut last = String::new();
        let looking = async {
            while !last.contains(words) {
                sleep(LOOK_EVERY).await;
                last = self.asked("/readyz").await.unwrap_or_default();
            }
        };
        let answered = timeout(PATIENCE, looking).await;
        answered.unwrap_or_else(|_| panic!("the box does not answer {words} but {last}"));
    }

    /// Waits until it has said so in its log.
    pub(crate) async fn says(&self, words: &str) {
        let mut log = self.log.clone();
        let said = log.wait_for(|log| log.contains(words));
        let said = timeout(PATIENCE, said).await;
        drop(said.unwrap_or_else(|_| panic!("the box does not say: {words}")));
    }

    /// Ends it as a power cut does: nothing of it runs when this returns.
    pub(crate) async fn is_killed(&mut self) {
        self.process.kill().await.unwrap();
    }

    async fn asked(&self, path: &str) -> std::io::Result<String> {
        let mut call = TcpStream::connect(&self.address).await?;
        let question = format!("GET {path} HTTP/1.1\r\nhost: box\r\nconnection: close\r\n\r\n");
        call.write_all(question.as_bytes()).await?;
        let mut answer = String::new();
        call.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

fn command(folder: &Path, settings: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mostro-relay"));
    command
        .current_dir(folder)
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (key, value) in settings {
        command.env(format!("MOSTRO_RELAY__{key}"), value);
    }
    command
}
