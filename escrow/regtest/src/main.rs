//! `regtest`: real Lightning nodes at one's fingertips.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks with people"
)]

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use escrow_regtest::{Binaries, Lnd, Network, Payment, Ports, RegtestError, Result};
use tokio::time::timeout;

/// btcd and three LND nodes (seller, operator, buyer) on this machine.
#[derive(Parser)]
#[command(name = "regtest")]
struct Arguments {
    /// Folder of the network; another one is another network.
    #[arg(long, global = true, default_value = "target/regtest")]
    dir: PathBuf,
    #[command(subcommand)]
    command: Wish,
}

#[derive(Subcommand)]
enum Wish {
    /// Builds the nodes if need be and starts a new network, which stays.
    Up {
        /// First of its 30 ports; without it, any that are free.
        #[arg(long)]
        ports: Option<u16>,
    },
    /// Ends the network; it cannot be resumed.
    Down,
    /// Pays an invoice; returns when the payment is held, paid or failed.
    Pay {
        /// What to pay.
        bolt11: String,
        /// Who pays.
        #[arg(long, default_value = "seller")]
        from: String,
    },
    /// Writes an invoice.
    Invoice {
        /// What it asks for.
        sats: u64,
        /// Who writes it.
        #[arg(long, default_value = "buyer")]
        at: String,
    },
    /// Mines, and waits until all nodes know the new blocks.
    Mine {
        /// How many.
        #[arg(default_value_t = 1)]
        blocks: u32,
    },
    /// Shows what lies in the channels.
    Balances,
    /// Shows the settings with which the box uses the operator's node.
    Settings,
    /// Ends a node as a power cut does.
    Kill {
        /// Which.
        node: String,
    },
    /// Ends a node in order.
    Stop {
        /// Which.
        node: String,
    },
    /// Starts a node that has ended, and waits until it is up.
    Start {
        /// Which.
        node: String,
    },
    /// Asks a node by LND's own `lncli`.
    #[command(trailing_var_arg = true)]
    Lncli {
        /// Whom.
        node: String,
        /// Its command and arguments.
        #[arg(allow_hyphen_values = true)]
        asked: Vec<String>,
    },
    /// Builds the nodes and shows the folder they lie in.
    Build,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match fulfil(&arguments.dir, arguments.command).await {
        Ok(code) => code,
        Err(why) => {
            eprintln!("regtest: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn fulfil(folder: &Path, wish: Wish) -> Result<ExitCode> {
    match wish {
        Wish::Up { ports } => up(folder, ports).await?,
        Wish::Down => Network::down(folder).await?,
        Wish::Pay { bolt11, from } => {
            let network = Network::find(folder)?;
            let payment = pay(node(&network, &from)?, &bolt11).await?;
            tell(&payment);
            if let Payment::Failed { .. } = payment {
                return Ok(ExitCode::FAILURE);
            }
        }
        Wish::Invoice { sats, at } => {
            let network = Network::find(folder)?;
            println!("{}", node(&network, &at)?.invoice(sats).await?.bolt11);
        }
        Wish::Mine { blocks } => {
            let height = Network::find(folder)?.mine(blocks).await?;
            println!("height {height}");
        }
        Wish::Balances => println!("{}", Network::find(folder)?.balances().await?),
        Wish::Settings => settings(&Network::find(folder)?),
        Wish::Kill { node: name } => node(&Network::find(folder)?, &name)?.kill().await?,
        Wish::Stop { node: name } => node(&Network::find(folder)?, &name)?.stop().await?,
        Wish::Start { node: name } => {
            let network = Network::find(folder)?;
            node(&network, &name)?.start()?;
            network.is_ready().await?;
        }
        Wish::Lncli { node: name, asked } => {
            return lncli(node(&Network::find(folder)?, &name)?, &asked).await;
        }
        Wish::Build => println!("{}", Binaries::ready(&progress).await?.folder().display()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(folder: &Path, ports: Option<u16>) -> Result<()> {
    let binaries = Binaries::ready(&progress).await?;
    let ports = match ports {
        Some(first) => Ports::from(first),
        None => Ports::free()?,
    };
    let network = Network::up(&binaries, folder, ports, &progress).await?;
    println!("{}\n", network.balances().await?);
    settings(&network);
    Ok(())
}

/// A payment that nobody holds has its end within this time.
const JOURNEY: Duration = Duration::from_secs(2);

async fn pay(node: &Lnd, bolt11: &str) -> Result<Payment> {
    let hash = node.starts_to_pay(bolt11).await?;
    match timeout(JOURNEY, node.payment_ends(&hash)).await {
        Ok(end) => end,
        Err(_) => node.payment(&hash).await,
    }
}

fn settings(network: &Network) {
    let operator = network.operator();
    println!("# The operator's node, for settings.toml:");
    println!("[lightning]");
    println!("backend = \"lnd\"");
    println!("lnd_grpc_host = \"https://{}\"", operator.grpc());
    println!("lnd_cert_file = \"{}\"", operator.certificate().display());
    println!(
        "lnd_macaroon_file = \"{}\"",
        operator.admin_macaroon().display()
    );
}

fn tell(payment: &Payment) {
    match payment {
        Payment::Unknown => println!("the node knows nothing of it"),
        Payment::OnItsWay { parts } => {
            println!("on its way in {parts} part(s), held by its receiver");
        }
        Payment::Succeeded { preimage, fee_msat } => {
            println!("paid; preimage {preimage}, fee {fee_msat} msat");
        }
        Payment::Failed { reason } => println!("failed: {reason}"),
    }
}

/// Hands the terminal to LND's own program.
async fn lncli(node: &Lnd, asked: &[String]) -> Result<ExitCode> {
    let mut client = node.client();
    let ran = client.args(asked).stdin(Stdio::inherit()).status().await;
    let ran = ran.map_err(|source| RegtestError::System {
        what: "run lncli".to_owned(),
        source,
    })?;
    let code = ran.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(u8::MAX)))
}

fn node<'a>(network: &'a Network, name: &str) -> Result<&'a Lnd> {
    network
        .node(name)
        .ok_or_else(|| RegtestError::NoSuchNode(name.to_owned()))
}

fn progress(what: &str) {
    eprintln!("regtest: {what}");
}
