//! A trader's wallet in the simulated Lightning.

use escrow_core::amount::{Msat, Sats};
use escrow_lightning::Sandbox;
use escrow_lightning::sandbox::{CreateInvoice, Fund, WalletPays};

use super::TraderError;

/// What an invoice of the wallet asks of its payer: a day of time, and no
/// longer lock than usual.
const INVOICE_LIFE_SECS: u64 = 86_400;
const INVOICE_CLTV_DELTA: u32 = 80;

/// A wallet of the sandbox.
#[derive(Clone, Debug)]
pub struct Wallet {
    sandbox: Sandbox,
    name: String,
}

impl Wallet {
    /// Opens a wallet with this much in it; one of that name gets as much more.
    pub async fn funded(sandbox: &Sandbox, name: &str, sats: Sats) -> Result<Self, TraderError> {
        let wallet = Wallet {
            sandbox: sandbox.clone(),
            name: name.to_owned(),
        };
        let fund = Fund {
            wallet: name.to_owned(),
            amount: sats,
        };
        wallet.does("open", sandbox.apply(fund).await)?;
        Ok(wallet)
    }

    /// Writes an invoice.
    pub async fn invoice(&self, sats: Sats) -> Result<String, TraderError> {
        let invoice = CreateInvoice {
            wallet: self.name.clone(),
            amount: sats.to_msat(),
            memo: String::new(),
            expiry_secs: INVOICE_LIFE_SECS,
            cltv_delta: INVOICE_CLTV_DELTA,
        };
        self.does("write an invoice", self.sandbox.apply(invoice).await)
    }

    /// Pays what an invoice asks for; returns when it is held or paid.
    pub async fn pays(&self, bolt11: &str) -> Result<(), TraderError> {
        let pays = WalletPays::exactly(&self.name, bolt11);
        self.does("pay", self.sandbox.apply(pays).await)?;
        Ok(())
    }

    /// What is in it.
    pub async fn balance(&self) -> Result<Msat, TraderError> {
        let name = self.name.clone();
        let looked = self.sandbox.look(move |world| world.balance(&name)).await;
        self.does::<_, std::convert::Infallible>("tell its balance", looked.map(Ok))
    }

    fn does<T, R: std::fmt::Display>(
        &self,
        what: &str,
        done: escrow_lightning::LnResult<Result<T, R>>,
    ) -> Result<T, TraderError> {
        let failed = |why: String| TraderError::Wallet {
            who: self.name.clone(),
            wanted: what.to_owned(),
            why,
        };
        done.map_err(|why| failed(why.to_string()))?
            .map_err(|why| failed(why.to_string()))
    }
}
