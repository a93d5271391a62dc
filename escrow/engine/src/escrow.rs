//! The escrow as a running thing: opens, serves, ends.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::UnixTime;
use escrow_core::decision::Effect;
use escrow_core::hold::HoldState;
use escrow_lightning::LightningBackend;
use nostr::event::Event;
use storage::ledger::{Ledger, NodeIdentity, StorageError, Views};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::desk::Desk;
use crate::intake::Intake;
use crate::known_keys::KnownKeys;
use crate::mailbox::{Lane, Mailbox, MailboxLimits, Waiting};
use crate::preimages::Preimages;
use crate::submission::{Announcement, Receipt, Refusal, Submission};
use crate::workers::courier::{Courier, CourierError, Delivered, Publisher};
use crate::workers::dispatch::{self, Task};
use crate::workers::health::{self, LightningHealth};
use crate::workers::switchboard::Switchboard;
use crate::writer::{BATCH, Engine, Outcome, StepError};
