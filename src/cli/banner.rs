//! What a person sees who starts the box.

use std::path::{self, Path};

use nostr::nips::nip19::ToBech32;

use crate::node::Node;

/// Tells who the node is and what to do next; `myself` is how this program
/// was called, so that what is printed can be copied.
pub(super) fn of(node: &Node, data_dir: &Path, myself: &str) -> String {
    let key = node.public_key();
    let npub = key.to_bech32().unwrap_or_else(|never| match never {});
    let (url, hex) = (node.url(), key.to_hex());
    let data = path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let data = data.display();
    let trading = match node.sandbox_address() {
        Some(address) => format!(
            "\x20 lightning  SIMULATED, no real money moves; wallets at {address}\n\
             \n\
             Connect a client, for instance mostro-cli:\n\
             \x20 export MOSTRO_PUBKEY={npub} RELAYS={url}\n\
             \x20 mostro-cli listorders\n\
             Be its wallet:\n\
             \x20 {myself} sandbox pay INVOICE     what a seller is asked to pay\n\
             \x20 {myself} sandbox invoice SATS    what a buyer is paid with\n"
        ),
        None if node.escrow().is_some() => format!(
            "\x20 lightning  your LND node: this is not a simulation\n\
             \n\
             Connect a client, for instance mostro-cli:\n\
             \x20 export MOSTRO_PUBKEY={npub} RELAYS={url}\n\
             \x20 mostro-cli listorders\n"
        ),
        None => "\x20 escrow     off, this is a plain relay\n".to_owned(),
    };
    format!(
        "\nmostro-relay {version}\n\n\
         \x20 relay      {url}\n\
         \x20 node       {npub}\n\
         \x20 in hex     {hex}\n\
         \x20 data       {data}\n\
         {trading}\
         \nCtrl-C stops it.\n\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}
