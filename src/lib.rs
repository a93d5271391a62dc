//! mostro-relay: a Nostr relay with a Mostro escrow inside, in one process.
//!
//! This crate is the top floor: it opens the other rooms and wires them, and
//! knows no rule of trade. [`node::Node`] is all of it together; [`relay`]
//! serves websockets behind [`front_door`], the one port; [`announce`] tells
//! the world the node's terms; [`mirror`] carries them to other relays;
//! [`operator_door`] lets the operator look at a running box, [`payouts`] for
//! one; [`settings`] and [`identity`] say what it is; [`cli`] is for people. [`trader`] stands on the other side: the traders of
//! the demonstration and of [`mod@bench`].
//!
//! A node is started with settings and stopped by whoever started it:
//!
//! ```
//! use mostro_relay::node::Node;
//! use mostro_relay::settings::Settings;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let mut settings = Settings::default();
//! settings.node.data_dir = folder.path().join("data");
//! // Port 0: any that is free.
//! settings.relay.listen.set_port(0);
//! settings.sandbox.listen.set_port(0);
//!
//! let node = Node::start(settings).await?;
//! assert_eq!(node.url(), format!("ws://{}", node.relay_address()));
//! assert!(node.sandbox().is_some(), "Lightning is simulated by default");
//! node.stop().await?;
//! # Ok(())
//! # }
//! ```

pub mod admin;
pub mod announce;
pub mod audit;
pub mod bench;
pub mod books;
pub mod cli;
pub mod front_door;
pub mod health;
mod http_exchange;
mod https;
pub mod identity;
pub mod mirror;
pub mod node;
pub mod operator;
pub mod operator_door;
pub mod overview;
pub mod payouts;
pub mod prices;
pub mod relay;
pub mod sandbox_door;
pub mod settings;
pub mod trader;
