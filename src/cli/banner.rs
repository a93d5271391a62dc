//! What a person sees who starts the box.

use nostr::nips::nip19::ToBech32;

use crate::node::Node;
use crate::settings::Settings;

pub(super) fn of(node: &Node, settings: &Settings) -> String {
    let key = node.public_key();
    let npub = key.to_bech32().unwrap_or_else(|never| match never {});
    let data = settings.node.data_dir.display();
    let (url, hex) = (node.url(), key.to_hex());
    let trading = match node.sandbox_address() {
        Some(address) => format!(
            "  lightning  SIMULATED: no real money moves (wallets at {address})\n\
             \n\
             Trade with mostro-cli:\n\
             \x20 MOSTRO_PUBKEY={npub} RELAYS={url} mostro-cli listorders\n\
             Be its wallets:\n\
             \x20 mostro-relay sandbox pay         (paste the invoice that a seller is shown)\n\
             \x20 mostro-relay sandbox invoice 990 (an invoice for a buyer to be paid by)\n"
        ),
        None => "  escrow     off: this is a plain relay\n".to_owned(),
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
