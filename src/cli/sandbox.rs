//! `mostro-relay sandbox`: drives the simulated wallets of a running box.
//!
//! A pure client of the [sandbox door](crate::sandbox_door): it opens no
//! file, so it can stand beside a box that is at work.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use escrow_core::{Msat, Sats};
use escrow_lightning::sandbox::{
    CreateInvoice, DEFAULT_WALLET, FailPayments, Fund, Mine, WalletPayment, WalletPays, WorldState,
};
use http::{Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http_exchange::exchange;
use crate::sandbox_door::Refusal;

/// Time for a whole request.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest invoice that is read from the standard input.
const MAX_INVOICE_BYTES: u64 = 8 * 1_024;
/// What `invoice` asks payers for: a day, and no longer lock than usual.
const INVOICE_LIFE_SECS: u64 = 86_400;
const INVOICE_CLTV_DELTA: u32 = 80;

/// Drive the simulated wallets of a running box.
#[derive(Clone, Debug, Args)]
pub struct SandboxArgs {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// List the wallets and what they hold.
    Wallets,
    /// Give simulated sats to a wallet; it is made if it is new.
    Fund {
        /// 1 to 32 of a-z, 0-9, - and _.
        name: String,
        /// How many sats.
        sats: u64,
    },
    /// Write an invoice and print it, and nothing else.
    Invoice {
        /// What it asks for, in sats.
        sats: u64,
        /// Who is to be paid.
        #[arg(long, default_value = DEFAULT_WALLET)]
        wallet: String,
    },
    /// Pay an invoice; returns when it is held or paid.
    Pay {
        /// The invoice; without it, it is read from the standard input.
        bolt11: Option<String>,
        /// Who pays.
        #[arg(long, default_value = DEFAULT_WALLET)]
        wallet: String,
    },
    /// Find blocks at once.
    Mine {
        /// How many.
        blocks: u32,
    },
    /// Let the node's next payments fail.
    FailPayments {
        /// How many; 0 lets them pass again.
        count: u32,
    },
    /// Show the whole sandbox.
    State,
}

/// Why a command had no success.
#[derive(Debug, thiserror::Error)]
pub enum SandboxCallError {
    /// Nobody listens there.
    #[error(
        "no box with a sandbox is running at {0}: start one with `mostro-relay`, \
         with `backend = \"sandbox\"` under [lightning]"
    )]
    NobodyThere(SocketAddr),
    /// The sandbox says no.
    #[error("{0}")]
    Refused(String),
    /// It did not answer in time.
    #[error("the box did not answer within {} seconds", PATIENCE.as_secs())]
    Silence,
    /// What came back is no answer of a sandbox.
    #[error("this is not the answer of a sandbox: {0}")]
    Gibberish(String),
    /// No invoice to pay, or nowhere to print.
    #[error("cannot read or print: {0}")]
    Io(#[from] io::Error),
}

/// Runs one subcommand against the box at `address` and prints its answer.
///
/// # Errors
/// Says in one line why it had no success; the caller prints that and exits
/// with a status that is not zero.
pub async fn run(args: SandboxArgs, address: SocketAddr) -> Result<(), SandboxCallError> {
    let answer = answer(args, address, io::stdin()).await?;
    io::stdout().write_all(answer.as_bytes())?;
    Ok(())
}

/// Runs one subcommand and returns what is to be printed. An invoice that is
/// not among the arguments is read from `input`.
///
/// # Errors
/// As [`run`].
pub async fn answer(
    args: SandboxArgs,
    address: SocketAddr,
    input: impl Read,
) -> Result<String, SandboxCallError> {
    let door = Door { address };
    match args.action {
        Action::Wallets => {
            let wallets: BTreeMap<String, Msat> = door.get("/wallets").await?;
            Ok(shown(args.json, &wallets, wallet_lines))
        }
        Action::Fund { name, sats } => {
            let fund = Fund {
                wallet: name,
                amount: Sats(sats),
            };
            let balance: Msat = door.post("/fund", &fund).await?;
            Ok(shown(args.json, &balance, |balance| {
                format!("{}\n", in_sats(*balance))
            }))
        }
        Action::Invoice { sats, wallet } => {
            let bolt11: String = door.post("/invoice", &invoice(wallet, sats)?).await?;
            Ok(shown(args.json, &bolt11, |bolt11| format!("{bolt11}\n")))
        }
        Action::Pay { bolt11, wallet } => {
            let bolt11 = bolt11.map_or_else(|| read_invoice(input), Ok)?;
            let pays = WalletPays::exactly(&wallet, bolt11.trim());
            let payment: WalletPayment = door.post("/pay", &pays).await?;
            Ok(shown(args.json, &payment, |payment| payment_line(*payment)))
        }
        Action::Mine { blocks } => {
            let height: u32 = door.post("/mine", &Mine { blocks }).await?;
            Ok(shown(args.json, &height, |height| {
                format!("height {height}\n")
            }))
        }
        Action::FailPayments { count } => {
            let () = door.post("/fail-payments", &FailPayments { count }).await?;
            Ok(shown(args.json, &count, |count| {
                format!("the next {count} payments fail\n")
            }))
        }
        Action::State => {
            let state: WorldState = door.get("/state").await?;
            Ok(shown(args.json, &state, state_lines))
        }
    }
}

fn invoice(wallet: String, sats: u64) -> Result<CreateInvoice, SandboxCallError> {
    let too_much = || SandboxCallError::Refused("the amount is too large".into());
    Ok(CreateInvoice {
        wallet,
        amount: Some(Sats(sats).to_msat().ok_or_else(too_much)?),
        memo: String::new(),
        expiry_secs: INVOICE_LIFE_SECS,
        cltv_delta: INVOICE_CLTV_DELTA,
    })
}

fn read_invoice(input: impl Read) -> Result<String, SandboxCallError> {
    let mut text = String::new();
    input.take(MAX_INVOICE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn shown<T: Serialize>(json: bool, answer: &T, plainly: impl FnOnce(&T) -> String) -> String {
    if json {
        let text = serde_json::to_string(answer).expect("it came out of JSON");
        format!("{text}\n")
    } else {
        plainly(answer)
    }
}

fn payment_line(payment: WalletPayment) -> String {
    let words = match payment {
        WalletPayment::HoldAccepted => "held: the node has the money locked",
        WalletPayment::PartHeld => "held in part: the node waits for the rest",
        WalletPayment::Paid => "paid",
    };
    format!("{words}\n")
}

fn wallet_lines(wallets: &BTreeMap<String, Msat>) -> String {
    let mut lines = String::new();
    for (name, balance) in wallets {
        put(&mut lines, name, &in_sats(*balance));
    }
    lines
}

fn state_lines(state: &WorldState) -> String {
    let mut lines = String::new();
    put(&mut lines, "node", &state.node);
    put(&mut lines, "height", &state.height.to_string());
    put(&mut lines, "can send", &in_sats(state.outbound));
    put(&mut lines, "can receive", &in_sats(state.inbound));
    put(&mut lines, "held", &in_sats(state.held_in));
    put(&mut lines, "being paid", &in_sats(state.held_out));
    put(&mut lines, "routing fees", &in_sats(state.routing_fees));
    put(
        &mut lines,
        "failing",
        &format!("the next {} payments", state.failing_payments),
    );
    lines.push_str("\nwallets\n");
    lines.push_str(&wallet_lines(&state.wallets));
    lines.push_str("\nholds that are open or accepted\n");
    for hold in &state.holds {
        put(
            &mut lines,
            &in_sats(hold.value),
            &format!("{} {:?}", hold.hash, hold.state),
        );
    }
    lines
}

fn put(lines: &mut String, name: &str, value: &str) {
    writeln!(lines, "{name:<20} {value}").expect("a String takes everything");
}

fn in_sats(amount: Msat) -> String {
    let rest = amount.0 % 1_000;
    let sats = amount.whole_sats();
    if rest == 0 {
        sats.to_string()
    } else {
        format!("{}.{rest:03} sat", sats.0)
    }
}

/// The door of the box at an address.
struct Door {
    address: SocketAddr,
}

impl Door {
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, SandboxCallError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, SandboxCallError> {
        let body = serde_json::to_vec(body).map_err(gibberish)?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, SandboxCallError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Full::new(body))
            .map_err(gibberish)?;
        let asking = async {
            let stream = TcpStream::connect(self.address).await;
            let stream = stream.map_err(|_| SandboxCallError::NobodyThere(self.address))?;
            let answer = exchange(stream, request).await;
            answer.map_err(SandboxCallError::Gibberish)
        };
        let answer = timeout(PATIENCE, asking).await;
        let (status, body) = answer.map_err(|_| SandboxCallError::Silence)??;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(gibberish);
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => Err(SandboxCallError::Refused(refusal.error)),
            Err(_) => Err(SandboxCallError::Gibberish(
                String::from_utf8_lossy(&body).into(),
            )),
        }
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err asks for"
)]
fn gibberish(error: impl ToString) -> SandboxCallError {
    SandboxCallError::Gibberish(error.to_string())
}
