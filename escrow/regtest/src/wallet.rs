//! What people do with a node: invoices, holds, payments, balances.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::error::{RegtestError, Result};
use crate::lnd::Lnd;
use crate::patience::{Seen, until};

/// Payments that are looked through for one of them.
const RECENT: &str = "--max_payments=1000";

/// An invoice that a node has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// What the payer is given.
    pub bolt11: String,
    /// The payment hash, 64 hex digits.
    pub hash: String,
}

/// Where a payment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// Nothing is known of it.
    Unknown,
    /// Not decided.
    OnItsWay {
        /// Parts that are out.
        parts: usize,
    },
    /// Paid.
    Succeeded {
        /// The receipt, 64 hex digits.
        preimage: String,
        /// What routing cost, in millisats.
        fee_msat: u64,
    },
    /// Not paid, and nothing is out.
    Failed {
        /// In LND's words.
        reason: String,
    },
}

/// What lies in the channels of a node, in millisats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// The node's own.
    pub local_msat: u64,
    /// Its peers' own.
    pub remote_msat: u64,
    /// Locked by others towards the node: holds.
    pub held_in_msat: u64,
    /// Locked by the node towards others: payments on their way.
    pub held_out_msat: u64,
}

impl Lnd {
    /// Writes an invoice.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn invoice(&self, sats: u64) -> Result<Invoice> {
        let amount = format!("--amt={sats}");
        let answer = self.ask(&["addinvoice", &amount]).await?;
        Ok(Invoice {
            bolt11: answer.text("/payment_request")?.to_owned(),
            hash: answer.text("/r_hash")?.to_owned(),
        })
    }

    /// Writes an invoice whose payment is neither taken nor refused before
    /// [`Lnd::settles`] or [`Lnd::cancels`].
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn hold_invoice(&self, hash: &str, sats: u64) -> Result<Invoice> {
        let sats = sats.to_string();
        let answer = self.ask(&["addholdinvoice", hash, &sats]).await?;
        Ok(Invoice {
            bolt11: answer.text("/payment_request")?.to_owned(),
            hash: hash.to_owned(),
        })
    }

    /// Takes the money of a held invoice.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn settles(&self, preimage: &str) -> Result<()> {
        self.ask(&["settleinvoice", preimage]).await.map(drop)
    }

    /// Gives the money of a held invoice back, or closes an unpaid one.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn cancels(&self, hash: &str) -> Result<()> {
        self.ask(&["cancelinvoice", hash]).await.map(drop)
    }

    /// `OPEN`, `ACCEPTED`, `SETTLED` or `CANCELED`.
    ///
    /// # Errors
    /// When the node does not know the invoice.
    pub async fn invoice_state(&self, hash: &str) -> Result<String> {
        let answer = self.ask(&["lookupinvoice", hash]).await?;
        answer.text("/state").map(str::to_owned)
    }

    /// Waits until an invoice of the node stands so.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn invoice_is(&self, hash: &str, wanted: &str) -> Result<()> {
        let what = format!("the invoice {hash} at {} is {wanted}", self.name());
        until(&what, &[self.process()], async || {
            let state = self.invoice_state(hash).await?;
            Ok(Seen::when(state == wanted, || state.clone()))
        })
        .await
    }

    /// Starts to pay an invoice and returns its hash at once; the node goes on
    /// by itself.
    ///
    /// # Errors
    /// When the node cannot read the invoice.
    pub async fn starts_to_pay(&self, bolt11: &str) -> Result<String> {
        let answer = self.ask(&["decodepayreq", bolt11]).await?;
        let hash = answer.text("/payment_hash")?.to_owned();
        let mut client = self.client();
        client
            .args(["payinvoice", "--force", "--json", "--timeout=60s", bolt11])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = client.spawn();
        // It waits for the end of the payment, which it cannot change.
        drop(started.map_err(RegtestError::system("start lncli"))?);
        Ok(hash)
    }

    /// Pays an invoice, and returns when the payment is held, paid or failed.
    ///
    /// # Errors
    /// When nothing of that happens in time.
    pub async fn pays(&self, bolt11: &str) -> Result<Payment> {
        let hash = self.starts_to_pay(bolt11).await?;
        let what = format!("{} pays {hash}", self.name());
        until(&what, &[self.process()], async || {
            let payment = self.payment(&hash).await?;
            Ok(match payment {
                Payment::Unknown | Payment::OnItsWay { parts: 0 } => {
                    Seen::NotYet(format!("{payment:?}"))
                }
                Payment::OnItsWay { .. } | Payment::Succeeded { .. } | Payment::Failed { .. } => {
                    Seen::There(payment)
                }
            })
        })
        .await
    }

    /// Waits for the end of a payment.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn payment_ends(&self, hash: &str) -> Result<Payment> {
        let what = format!("the end of payment {hash} of {}", self.name());
        until(&what, &[self.process()], async || {
            let payment = self.payment(hash).await?;
            Ok(match payment {
                Payment::Unknown | Payment::OnItsWay { .. } => Seen::NotYet(format!("{payment:?}")),
                Payment::Succeeded { .. } | Payment::Failed { .. } => Seen::There(payment),
            })
        })
        .await
    }

    /// Where the payment of a hash stands.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn payment(&self, hash: &str) -> Result<Payment> {
        let asked = ["listpayments", "--include_incomplete", RECENT];
        let answer = self.ask(&asked).await?;
        let payments = answer.list("/payments");
        let found = payments
            .iter()
            .position(|payment| payment.get("payment_hash").and_then(Value::as_str) == Some(hash));
        let Some(place) = found else {
            return Ok(Payment::Unknown);
        };
        let at = |field: &str| format!("/payments/{place}/{field}");
        Ok(match answer.text(&at("status"))? {
            "SUCCEEDED" => Payment::Succeeded {
                preimage: answer.text(&at("payment_preimage"))?.to_owned(),
                fee_msat: answer.number(&at("fee_msat"))?,
            },
            "FAILED" => Payment::Failed {
                reason: answer.text(&at("failure_reason"))?.to_owned(),
            },
            _ => Payment::OnItsWay {
                parts: parts_out(answer.list(&at("htlcs"))),
            },
        })
    }

    /// What lies in its channels.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn balance(&self) -> Result<Balance> {
        let answer = self.ask(&["channelbalance"]).await?;
        Ok(Balance {
            local_msat: answer.number("/local_balance/msat")?,
            remote_msat: answer.number("/remote_balance/msat")?,
            held_in_msat: answer.number("/unsettled_local_balance/msat")?,
            held_out_msat: answer.number("/unsettled_remote_balance/msat")?,
        })
    }

    /// Writes a macaroon with these rights, such as
    /// `uri:/lnrpc.Lightning/GetInfo`, to a file.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn bakes_macaroon(&self, file: &Path, rights: &[&str]) -> Result<()> {
        let file = file.to_string_lossy();
        let mut asked = vec!["bakemacaroon", "--save_to", &file];
        asked.extend(rights);
        self.ask(&asked).await.map(drop)
    }
}

fn parts_out(parts: &[Value]) -> usize {
    let is_out = |part: &&Value| part.get("status").and_then(Value::as_str) == Some("IN_FLIGHT");
    parts.iter().filter(is_out).count()
}
