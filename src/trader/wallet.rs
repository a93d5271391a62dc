//! What a trader pays with and is paid at.

use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use escrow_core::amount::{Msat, Sats};
use escrow_lightning::backend::{PayRequest, StartPayment};
use escrow_lightning::invoice_rules::amount_asked;
use escrow_lightning::sandbox::{CreateInvoice, Fund, WalletPays};
use escrow_lightning::{LightningBackend, LnResult, Sandbox};

use super::TraderError;

/// What an invoice of the wallet asks of its payer: a day of time, and no
/// longer lock than usual.
const INVOICE_LIFE_SECS: u64 = 86_400;
const INVOICE_CLTV_DELTA: u32 = 80;

/// What the wallet of a real node allows a payment.
const FEE_LIMIT: Msat = Msat(100_000);
const CLTV_LIMIT: u32 = 1_008;
const MAX_PARTS: u32 = 16;
const ROUTE_TIME: Duration = Duration::from_secs(30);

/// A wallet.
#[derive(Clone)]
pub struct Wallet {
    name: String,
    purse: Purse,
}

#[derive(Clone)]
enum Purse {
    /// In the simulated Lightning.
    Sandbox(Sandbox),
    /// At a node of its owner's.
    Node(Arc<NodePurse>),
}

struct NodePurse {
    node: Arc<dyn LightningBackend>,
    /// Written before, since the backend writes none that are paid at once.
    invoices: Mutex<VecDeque<String>>,
}

impl Wallet {
    /// Opens a wallet with this much in it; one of that name gets as much more.
    pub async fn funded(sandbox: &Sandbox, name: &str, sats: Sats) -> Result<Self, TraderError> {
        let wallet = Wallet {
            name: name.to_owned(),
            purse: Purse::Sandbox(sandbox.clone()),
        };
        let fund = Fund {
            wallet: name.to_owned(),
            amount: sats,
        };
        wallet.does("open", sandbox.apply(fund).await)?;
        Ok(wallet)
    }

    /// A wallet that pays from a real node and is paid at these invoices, one
    /// after the other, whatever they ask for.
    pub fn of_node(name: &str, node: Arc<dyn LightningBackend>, invoices: Vec<String>) -> Self {
        let invoices = Mutex::new(invoices.into());
        Wallet {
            name: name.to_owned(),
            purse: Purse::Node(Arc::new(NodePurse { node, invoices })),
        }
    }

    /// Writes an invoice.
    pub async fn invoice(&self, sats: Sats) -> Result<String, TraderError> {
        let what = "write an invoice";
        match &self.purse {
            Purse::Sandbox(sandbox) => {
                let invoice = CreateInvoice {
                    wallet: self.name.clone(),
                    amount: sats.to_msat(),
                    memo: String::new(),
                    expiry_secs: INVOICE_LIFE_SECS,
                    cltv_delta: INVOICE_CLTV_DELTA,
                };
                self.does(what, sandbox.apply(invoice).await)
            }
            Purse::Node(purse) => {
                let invoices = purse.invoices.lock();
                let next = invoices.unwrap_or_else(PoisonError::into_inner).pop_front();
                next.ok_or_else(|| self.failed(what, &"it has none left"))
            }
        }
    }

    /// Pays what an invoice asks for; returns when it is held, paid or on its way.
    pub async fn pays(&self, bolt11: &str) -> Result<(), TraderError> {
        match &self.purse {
            Purse::Sandbox(sandbox) => {
                let pays = WalletPays::exactly(&self.name, bolt11);
                self.does("pay", sandbox.apply(pays).await)?;
                Ok(())
            }
            Purse::Node(purse) => {
                let amount = amount_asked(bolt11);
                let request = PayRequest {
                    bolt11: bolt11.to_owned(),
                    amount: amount.ok_or_else(|| self.failed("pay", &"it asks for nothing"))?,
                    fee_limit: FEE_LIMIT,
                    cltv_limit: CLTV_LIMIT,
                    max_parts: MAX_PARTS,
                    timeout: ROUTE_TIME,
                };
                match purse.node.start_payment(&request).await {
                    Ok(StartPayment::Started) => Ok(()),
                    Ok(other) => Err(self.failed("pay", &format!("{other:?}"))),
                    Err(why) => Err(self.failed("pay", &why)),
                }
            }
        }
    }

    /// What is in it; at a node, what its channels can send.
    pub async fn balance(&self) -> Result<Msat, TraderError> {
        let balance = match &self.purse {
            Purse::Sandbox(sandbox) => {
                let name = self.name.clone();
                sandbox.look(move |world| world.balance(&name)).await
            }
            Purse::Node(purse) => purse.node.liquidity().await.map(|held| held.outbound),
        };
        balance.map_err(|why| self.failed("tell its balance", &why))
    }

    fn does<T>(
        &self,
        what: &str,
        done: LnResult<Result<T, impl Display>>,
    ) -> Result<T, TraderError> {
        done.map_err(|why| self.failed(what, &why))?
            .map_err(|why| self.failed(what, &why))
    }

    fn failed(&self, what: &str, why: &dyn Display) -> TraderError {
        TraderError::Wallet {
            who: self.name.clone(),
            wanted: what.to_owned(),
            why: why.to_string(),
        }
    }
}
