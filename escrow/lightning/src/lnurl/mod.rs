//! Lightning addresses and LNURLs: what an address takes, and an invoice from it.
//!
//! Whoever names an address makes the node call a server of his choice, and
//! what that server says decides where money goes. So the node is kept from
//! calling anything but the public web, every answer is bounded in size
//! and time, and an invoice counts only if it asks for exactly what is owed.
//! Nothing that a server wrote is passed on to anybody.

mod answer;
mod fetch;
mod pace;
mod reach;
mod target;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use escrow_core::lightning::Sendable;
use escrow_core::{Msat, PayoutInvoice, UnixTime};
use reqwest::Url;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::target::{can_be_asked, is_address};

use self::answer::PayRequest;
use self::fetch::Web;
use self::reach::Reach;
use crate::invoice_rules::{InvoiceRefusal, InvoiceRules, read_payout_invoice};

/// Time for a look-up or for getting an invoice, everything included.
pub const ANSWER_TIME: Duration = Duration::from_secs(4);

/// Look-ups at a time, and apart from them payouts being resolved: strangers
/// who name slow servers do not keep a buyer from his sats.
const AT_A_TIME: usize = 16;

/// Seconds an invoice must have to live when it is handed out.
const LEAST_LIFE_SECS: u64 = 60;

/// Asks the servers behind addresses.
#[derive(Debug)]
pub struct Lnurl {
    web: Web,
    rules: InvoiceRules,
    lookups: Semaphore,
    payouts: Semaphore,
}

/// An invoice that an address is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What it has to ask for, exactly.
    pub amount: Msat,
    /// What its payee is to read, if his server takes one that long.
    pub comment: Option<&'a str>,
    /// The moment it is asked for.
    pub now: UnixTime,
}

/// Why an address gives no answer to go by. No words of its server are in it,
/// nor the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LnurlError {
    /// Neither a Lightning address nor an LNURL.
    #[error("neither a Lightning address nor an LNURL")]
    NotAnAddress,
    /// It leads to where the node does not go.
    #[error("the address leads to where this node does not go")]
    Forbidden,
    /// There is no server, or none that can be spoken to safely.
    #[error("the address's server cannot be reached")]
    Unreachable,
    /// The server took longer than [`ANSWER_TIME`].
    #[error("the address's server takes too long")]
    Silent,
    /// The server says no.
    #[error("the address's server declines")]
    Declined,
    /// The server's answer is not what the protocol wants.
    #[error("the address's server answers nonsense: {0}")]
    Nonsense(&'static str),
    /// The amount is too small or too big for it.
    #[error("the address takes {} to {} msat", .0.least.0, .0.most.0)]
    OutOfBounds(Sendable),
    /// Its invoice is none that the node pays.
    #[error(transparent)]
    Invoice(#[from] InvoiceRefusal),
    /// Its invoice asks for another amount than it was asked for.
    #[error("the address's invoice is for another amount")]
    WrongAmount,
    /// Its invoice is about to expire.
    #[error("the address's invoice expires within {LEAST_LIFE_SECS} s")]
    ShortLived,
    /// The node asks too much already, in all or of this server.
    #[error("too many addresses are being asked")]
    Busy,
}

impl LnurlError {
    /// Whether nobody but the node itself is to blame.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        *self == LnurlError::Busy
    }
}

impl Lnurl {
    /// One that asks servers anywhere on the public web, trusts `tls`, and
    /// takes invoices that keep to `rules`.
    #[must_use]
    pub fn on_the_web(tls: ClientConfig, rules: InvoiceRules) -> Lnurl {
        Lnurl::new(tls, Reach::Internet, rules)
    }

    /// One that asks only the server at `server`, over plain HTTP, whatever
    /// host an address names: the sandbox's own door, or a server of tests.
    ///
    /// # Panics
    /// Never: the cipher suites are built in.
    #[must_use]
    pub fn only_at(server: SocketAddr, rules: InvoiceRules) -> Lnurl {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trusts_nobody = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions of TLS")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Lnurl::new(trusts_nobody, Reach::Only(server), rules)
    }

    fn new(tls: ClientConfig, reach: Reach, rules: InvoiceRules) -> Lnurl {
        Lnurl {
            web: Web::new(tls, reach),
            rules,
            lookups: Semaphore::new(AT_A_TIME),
            payouts: Semaphore::new(AT_A_TIME),
        }
    }

    /// What an address takes at once (rule V5). Ends within [`ANSWER_TIME`]
    /// and may be dropped at any moment.
    ///
    /// # Errors
    /// Says what is wrong with it; [`LnurlError::Busy`] alone says nothing
    /// about the address.
    pub async fn sendable(&self, address: &str) -> Result<Sendable, LnurlError> {
        let url = target::read(address, self.web.reach())?;
        let asking = async { self.pay_request(url).await.map(|it| it.sendable) };
        in_time(&self.lookups, asking).await
    }

    /// An invoice for exactly the amount wanted (rule P2). Ends within
    /// [`ANSWER_TIME`] and may be dropped at any moment.
    ///
    /// # Errors
    /// As [`Lnurl::sendable`], and when the invoice breaks a rule.
    pub async fn invoice(
        &self,
        address: &str,
        wanted: Wanted<'_>,
    ) -> Result<PayoutInvoice, LnurlError> {
        let url = target::read(address, self.web.reach())?;
        let asking = async {
            let pay_request = self.pay_request(url).await?;
            self.invoice_of(&pay_request, wanted).await
        };
        in_time(&self.payouts, asking).await
    }

    async fn pay_request(&self, url: Url) -> Result<PayRequest, LnurlError> {
        let body = self.web.get(url).await?;
        let pay_request = answer::pay_request(&body)?;
        target::ensure_allowed(&pay_request.callback, self.web.reach())?;
        Ok(pay_request)
    }

    async fn invoice_of(
        &self,
        offer: &PayRequest,
        wanted: Wanted<'_>,
    ) -> Result<PayoutInvoice, LnurlError> {
        if !offer.sendable.includes(wanted.amount) {
            return Err(LnurlError::OutOfBounds(offer.sendable));
        }
        let body = self.web.get(offer.call(wanted)).await?;
        let invoice = read_payout_invoice(&answer::invoice(&body)?, &self.rules)?;
        if invoice.amount != Some(wanted.amount) {
            return Err(LnurlError::WrongAmount);
        }
        if invoice.expires_at < wanted.now.plus(LEAST_LIFE_SECS) {
            return Err(LnurlError::ShortLived);
        }
        Ok(invoice)
    }
}

async fn in_time<T>(
    places: &Semaphore,
    asking: impl Future<Output = Result<T, LnurlError>>,
) -> Result<T, LnurlError> {
    let mut began = false;
    let asked = timeout(ANSWER_TIME, async {
        let _place = places.acquire().await.map_err(|_| LnurlError::Busy)?;
        began = true;
        asking.await
    });
    match asked.await {
        Ok(answer) => answer,
        Err(_) if began => Err(LnurlError::Silent),
        Err(_) => Err(LnurlError::Busy),
    }
}

#[cfg(test)]
mod tests;
