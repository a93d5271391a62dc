//! The network: seller, operator and buyer in a line, above one chain.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::balances::Balances;
use crate::binaries::Binaries;
use crate::chain::Chain;
use crate::error::{RegtestError, Result};
use crate::lnd::{Lnd, Place, Wallet};
use crate::patience::{Seen, until};
use crate::ports::Ports;
use crate::process::PID;

/// In the folder of a network: what is needed to find it again.
const DEED: &str = "network.json";

const TEST_FOLDERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/regtest-tests");

/// Reads until the other end of its pipe is closed, which the system does for a
/// process of any end; then kills what still runs with the folder `$0` among
/// its arguments, and no stranger who got its number.
const GUARD: &str = r#"
    cat >/dev/null
    for file in "$0"/*/"$1"; do
        pid=$(cat "$file") || continue
        { cat "/proc/$pid/cmdline" || ps -ww -o command= -p "$pid"; } | grep -aqF "$0" &&
            kill -KILL "$pid"
    done
"#;

/// The name of each node that has channels.
const NODES: [&str; 3] = ["seller", "operator", "buyer"];
/// How many channels each of them has.
const CHANNELS: [u64; 3] = [1, 2, 1];
/// Where the number of a further node begins.
const FURTHER: u16 = 3;

/// btcd insists on an address to mine for before any wallet is there to give
/// one: the example of BIP 173. Nothing is mined for it.
const NOBODY: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// Enough for the rewards of the first blocks to be spendable, and for segwit.
const FIRST_BLOCKS: u32 = 440;
const CONFIRMATIONS: u32 = 6;
const FUNDS_SATS: u64 = 100_000_000;

/// How far the gossip of a node must be to pay over two hops.
const CHANNELS_IN_ALL: usize = 2;

/// btcd and three LND nodes, listening on this machine only.
///
/// ```text
/// seller ──10M sat──▶ operator ──10M sat──▶ buyer
/// ```
///
/// `operator` is the node that the escrow drives; `seller` pays holds, `buyer`
/// receives payouts. Of each channel its opener has pushed 4 million sats to
/// the other side.
#[derive(Debug)]
pub struct Network {
    folder: PathBuf,
    binaries: Binaries,
    ports: Ports,
    chain: Chain,
    nodes: [Lnd; 3],
    /// Ends the programs when this process is gone, however it went.
    guard: Option<Child>,
}

impl Network {
    /// Builds a network in a folder, which takes 20 to 40 s. Its programs run
    /// until [`Network::down`], also beyond the end of this process.
    ///
    /// What an earlier network has left in the folder is deleted, since btcd
    /// forgets its chain when it ends.
    ///
    /// # Errors
    /// [`RegtestError::AlreadyUp`] if one runs there; whatever its programs
    /// fail with.
    pub async fn up(
        binaries: &Binaries,
        folder: &Path,
        ports: Ports,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Network> {
        let folder = clear(folder).await?;
        let network = Network::at(binaries, &folder, ports);
        network.write_deed()?;
        match network.comes_up(say).await {
            Ok(()) => Ok(network),
            Err(why) => {
                // The reason is what people need; the rest of the network is of no use.
                let _ = network.end_all().await;
                Err(why)
            }
        }
    }

    /// A network for the tests of this name, which ends with this process and
    /// whatever way it goes. Its logs stay in `target/regtest-tests`.
    ///
    /// # Errors
    /// As [`Binaries::ready`] and [`Network::up`].
    pub async fn for_tests(name: &str) -> Result<Network> {
        let folder = Path::new(TEST_FOLDERS).join(name);
        // Of an earlier run that the system has not cleaned up yet.
        Network::down(&folder).await?;
        let binaries = Binaries::ready(&no_words).await?;
        let network = Network::up(&binaries, &folder, Ports::free()?, &no_words).await?;
        network.ends_with_this_process()
    }

    /// The network that runs in a folder.
    ///
    /// # Errors
    /// [`RegtestError::NotUp`] if none does.
    pub fn find(folder: &Path) -> Result<Network> {
        let network = Network::of_deed(folder)?;
        if network.chain.process().is_running() {
            return Ok(network);
        }
        Err(RegtestError::NotUp(folder.to_owned()))
    }

    /// Ends what runs in a folder of a network; nothing running is no error.
    ///
    /// # Errors
    /// When a program does not end.
    pub async fn down(folder: &Path) -> Result<()> {
        match Network::of_deed(folder) {
            Ok(network) => network.end_all().await,
            Err(RegtestError::NotUp(_)) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// Lets the network end together with this process, even if that is
    /// killed. For tests, which nobody cleans up behind.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn ends_with_this_process(mut self) -> Result<Network> {
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .args([self.folder.as_os_str(), PID.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.guard = Some(guard.map_err(RegtestError::system("start a guard"))?);
        Ok(self)
    }

    /// The node that pays holds.
    #[must_use]
    pub fn seller(&self) -> &Lnd {
        let [seller, _, _] = &self.nodes;
        seller
    }

    /// The node that the escrow drives.
    #[must_use]
    pub fn operator(&self) -> &Lnd {
        let [_, operator, _] = &self.nodes;
        operator
    }

    /// The node that receives payouts.
    #[must_use]
    pub fn buyer(&self) -> &Lnd {
        let [_, _, buyer] = &self.nodes;
        buyer
    }

    /// The chain below.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The node of this name, if there is one.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Lnd> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// Starts a node without channels whose wallet waits to be created.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn locked_node(&self) -> Result<Lnd> {
        let node = Lnd::at(&self.place(), "locked", FURTHER, Wallet::Locked);
        node.start()?;
        Ok(node)
    }

    /// Mines, and returns when each running node knows the last block.
    ///
    /// # Errors
    /// When a node does not follow.
    pub async fn mine(&self, blocks: u32) -> Result<u64> {
        self.chain.generate(blocks).await?;
        let height = self.chain.height().await?;
        for node in self.nodes.iter().filter(|node| node.is_running()) {
            node.is_at(height).await?;
        }
        Ok(height)
    }

    /// Waits until each node is fully up and its channels can carry payments.
    ///
    /// # Errors
    /// When a node has died or takes too long.
    pub async fn is_ready(&self) -> Result<()> {
        for (node, channels) in self.nodes.iter().zip(CHANNELS) {
            node.is_ready(channels).await?;
        }
        Ok(())
    }

    /// The balances of all nodes.
    ///
    /// # Errors
    /// When a node does not answer.
    pub async fn balances(&self) -> Result<Balances> {
        let mut nodes = Vec::new();
        for node in &self.nodes {
            nodes.push((node.name().to_owned(), node.balance().await?));
        }
        Ok(Balances { nodes })
    }

    /// The balances once nothing is on its way and the nodes own this much
    /// together: a balance lags its payment by a moment.
    ///
    /// # Errors
    /// When that takes too long, with the balances as they are.
    pub async fn comes_to_rest(&self, owned_msat: u64) -> Result<Balances> {
        let what = format!("the nodes own {owned_msat} msat and nothing is on its way");
        until(&what, &[], async || {
            let balances = self.balances().await?;
            let rest = balances.are_at_rest() && balances.owned_msat() == owned_msat;
            Ok(if rest {
                Seen::There(balances)
            } else {
                Seen::NotYet(format!("\n{balances}"))
            })
        })
        .await
    }

    fn at(binaries: &Binaries, folder: &Path, ports: Ports) -> Network {
        let chain = Chain::at(folder, binaries, ports);
        let place = Place {
            network: folder,
            binaries,
            ports,
            chain: &chain,
        };
        let [seller, operator, buyer] = NODES;
        let nodes = [
            Lnd::at(&place, seller, 0, Wallet::Open),
            Lnd::at(&place, operator, 1, Wallet::Open),
            Lnd::at(&place, buyer, 2, Wallet::Open),
        ];
        Network {
            folder: folder.to_owned(),
            binaries: binaries.clone(),
            ports,
            chain,
            nodes,
            guard: None,
        }
    }

    fn place(&self) -> Place<'_> {
        Place {
            network: &self.folder,
            binaries: &self.binaries,
            ports: self.ports,
            chain: &self.chain,
        }
    }

    async fn comes_up(&self, say: &(dyn Fn(&str) + Sync)) -> Result<()> {
        say("starting btcd and the miner's wallet");
        self.chain.start(NOBODY).await?;
        self.seller().start()?;
        let address = self.new_address(self.seller()).await?;
        self.seller().stop().await?;
        self.chain.process().stop().await?;
        self.chain.start(&address).await?;
        self.chain.generate(FIRST_BLOCKS).await?;

        say("starting three LND nodes");
        for node in &self.nodes {
            node.start()?;
        }
        for node in &self.nodes {
            node.is_ready(0).await?;
        }
        self.mine(1).await?;

        say("funding their wallets");
        self.fund().await?;

        say("opening channels");
        self.open_channel(self.seller(), self.operator()).await?;
        self.open_channel(self.operator(), self.buyer()).await?;
        self.mine(CONFIRMATIONS).await?;
        self.is_ready().await?;
        for node in &self.nodes {
            self.knows_the_ways(node).await?;
        }
        Ok(())
    }

    /// An address of a node, which gives one before it is fully up.
    async fn new_address(&self, node: &Lnd) -> Result<String> {
        let what = format!("{} gives an address", node.name());
        until(&what, &[node.process()], async || {
            let answer = node.ask(&["newaddress", "p2wkh"]).await?;
            Ok(Seen::There(answer.text("/address")?.to_owned()))
        })
        .await
    }

    async fn fund(&self) -> Result<()> {
        let mut outputs = serde_json::Map::new();
        for node in [self.operator(), self.buyer()] {
            outputs.insert(self.new_address(node).await?, FUNDS_SATS.into());
        }
        let outputs = Value::Object(outputs).to_string();
        self.seller().ask(&["sendmany", &outputs]).await?;
        self.mine(CONFIRMATIONS).await?;
        for node in &self.nodes {
            let what = format!("{} has funds", node.name());
            until(&what, &[node.process()], async || {
                let answer = node.ask(&["walletbalance"]).await?;
                let funds = answer.number("/confirmed_balance")?;
                Ok(Seen::when(funds > 0, || "none".to_owned()))
            })
            .await?;
        }
        Ok(())
    }

    async fn open_channel(&self, from: &Lnd, to: &Lnd) -> Result<()> {
        let pubkey = to.pubkey().await?;
        let peer = format!("{pubkey}@{}", to.peer_address());
        let what = format!("{} opens a channel to {}", from.name(), to.name());
        until(&what, &[from.process(), to.process()], async || {
            let connected = from.ask(&["connect", &peer]).await;
            if let Err(why) = connected
                && !why.to_string().contains("already connected")
            {
                return Err(why);
            }
            let node = format!("--node_key={pubkey}");
            let terms = [
                "--local_amt=10000000",
                "--push_amt=4000000",
                "--sat_per_vbyte=2",
            ];
            let [local, push, fee] = terms;
            from.ask(&["openchannel", &node, local, push, fee]).await?;
            Ok(Seen::There(()))
        })
        .await
    }

    /// Waits until a node has heard of both channels from both of their ends.
    async fn knows_the_ways(&self, node: &Lnd) -> Result<()> {
        let what = format!("{} knows both channels", node.name());
        until(&what, &[node.process()], async || {
            let graph = node.ask(&["describegraph"]).await?;
            let known = graph.list("/edges").iter().filter(|edge| {
                let told = |end| edge.get(end).is_some_and(Value::is_object);
                told("node1_policy") && told("node2_policy")
            });
            let known = known.count();
            Ok(Seen::when(known == CHANNELS_IN_ALL, || {
                format!("{known} of them")
            }))
        })
        .await
    }

    async fn end_all(&self) -> Result<()> {
        let further = Lnd::at(&self.place(), "locked", FURTHER, Wallet::Locked);
        let nodes = self.nodes.iter().chain([&further]);
        let mut processes: Vec<_> = nodes.map(Lnd::process).collect();
        processes.push(self.chain.process());
        let mut end = Ok(());
        for process in processes {
            end = end.and(process.stop().await);
        }
        end
    }

    fn write_deed(&self) -> Result<()> {
        let deed = json!({
            "first_port": self.ports.first(),
            "binaries": self.binaries.folder(),
        });
        fs::write(self.folder.join(DEED), deed.to_string())
            .map_err(RegtestError::system("write down the network"))
    }

    fn of_deed(folder: &Path) -> Result<Network> {
        let folder =
            fs::canonicalize(folder).map_err(|_| RegtestError::NotUp(folder.to_owned()))?;
        let not_up = || RegtestError::NotUp(folder.clone());
        let deed = fs::read_to_string(folder.join(DEED)).map_err(|_| not_up())?;
        let deed: Value = serde_json::from_str(&deed).map_err(|_| not_up())?;
        let ports = deed.get("first_port").and_then(Value::as_u64);
        let ports = ports.and_then(|first| u16::try_from(first).ok());
        let binaries = deed.get("binaries").and_then(Value::as_str);
        let (ports, binaries) = ports.zip(binaries).ok_or_else(not_up)?;
        let binaries = Binaries::in_folder(binaries);
        Ok(Network::at(&binaries, &folder, Ports::from(ports)))
    }
}

/// Tests are silent as long as all is well.
fn no_words(_: &str) {}

/// Makes a folder empty, if a dead network lies in it, and returns its full path.
async fn clear(folder: &Path) -> Result<PathBuf> {
    match Network::find(folder) {
        Ok(_) => return Err(RegtestError::AlreadyUp(folder.to_owned())),
        Err(RegtestError::NotUp(_)) => Network::down(folder).await?,
        Err(why) => return Err(why),
    }
    let failed = RegtestError::system(format!("use the folder {}", folder.display()));
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(why) if why.kind() == ErrorKind::NotFound => true,
        Err(why) => return Err(failed(why)),
    };
    if !is_empty {
        if !folder.join(DEED).is_file() {
            return Err(RegtestError::ForeignFolder(folder.to_owned()));
        }
        fs::remove_dir_all(folder).map_err(&failed)?;
    }
    let made = fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder));
    made.map_err(&failed)
}
