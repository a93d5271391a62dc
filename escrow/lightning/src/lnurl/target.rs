//! From what a trader writes to the URL it stands for.

use bitcoin::bech32::Bech32;
use bitcoin::bech32::primitives::decode::CheckedHrpstring;
use reqwest::Url;

use super::{LnurlError, Reach};
use crate::invoice_rules::MAX_INVOICE_BYTES;

/// Longest name before the `@`; what mail allows.
const LONGEST_NAME: usize = 64;

/// Whether a text is meant as a Lightning address or an LNURL, right or wrong.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let text = bare(text).to_ascii_lowercase();
    text.contains('@') || text.starts_with("lnurl")
}

/// Whether a text is a Lightning address or an LNURL that leads to where a node
/// on the public web asks.
#[must_use]
pub fn can_be_asked(text: &str) -> bool {
    read(text, Reach::Internet).is_ok()
}

/// The URL that an address stands for.
///
/// # Errors
/// For a text that is no address, or leads out of `reach`.
pub(super) fn read(text: &str, reach: Reach) -> Result<Url, LnurlError> {
    if text.len() > MAX_INVOICE_BYTES {
        return Err(LnurlError::NotAnAddress);
    }
    let text = bare(text);
    let lower = text.to_ascii_lowercase();
    let url = if let Some(rest) = lower.strip_prefix("lnurlp://") {
        // What follows is as it was written: paths know capitals.
        let rest = text.get(text.len() - rest.len()..).unwrap_or_default();
        parse(&format!("{}://{rest}", reach.scheme()))?
    } else if lower.starts_with("lnurl1") {
        decoded(text)?
    } else {
        well_known(&lower, reach)?
    };
    ensure_allowed(&url, reach)?;
    Ok(url)
}

/// Whether the node asks there: a host by its name, at the usual port, in the
/// one scheme allowed, and without anything to sign in with.
///
/// # Errors
/// [`LnurlError::Forbidden`] if not.
pub(super) fn ensure_allowed(url: &Url, reach: Reach) -> Result<(), LnurlError> {
    let is_plain = url.username().is_empty() && url.password().is_none();
    let usual_port = url.port().is_none();
    let named = url.domain().is_some_and(|host| !is_hidden(host));
    if url.scheme() == reach.scheme() && is_plain && usual_port && named {
        Ok(())
    } else {
        Err(LnurlError::Forbidden)
    }
}

fn is_hidden(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    last.is_some_and(|label| label.eq_ignore_ascii_case("onion"))
}

fn bare(text: &str) -> &str {
    const SCHEME: &str = "lightning:";
    let text = text.trim();
    match text.get(..SCHEME.len()) {
        Some(start) if start.eq_ignore_ascii_case(SCHEME) => {
            text.get(SCHEME.len()..).unwrap_or_default()
        }
        Some(_) | None => text,
    }
}

fn decoded(text: &str) -> Result<Url, LnurlError> {
    let coded = CheckedHrpstring::new::<Bech32>(text).map_err(|_| LnurlError::NotAnAddress)?;
    if !coded.hrp().as_str().eq_ignore_ascii_case("lnurl") {
        return Err(LnurlError::NotAnAddress);
    }
    let url = String::from_utf8(coded.byte_iter().collect());
    parse(&url.map_err(|_| LnurlError::NotAnAddress)?)
}

fn well_known(address: &str, reach: Reach) -> Result<Url, LnurlError> {
    let (name, domain) = address.split_once('@').ok_or(LnurlError::NotAnAddress)?;
    let of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.+".contains(c);
    let of_a_domain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let fits = (1..=LONGEST_NAME).contains(&name.len())
        && name.chars().all(of_a_name)
        // A path knows these as steps, not as names.
        && name.chars().any(|c| c != '.')
        && !domain.is_empty()
        && domain.chars().all(of_a_domain);
    if !fits {
        return Err(LnurlError::NotAnAddress);
    }
    let scheme = reach.scheme();
    parse(&format!("{scheme}://{domain}/.well-known/lnurlp/{name}"))
}

fn parse(url: &str) -> Result<Url, LnurlError> {
    Url::parse(url).map_err(|_| LnurlError::NotAnAddress)
}

#[cfg(test)]
mod tests {
    use bitcoin::bech32::{self, Hrp};

    use super::*;

    fn lnurl(url: &str) -> String {
        bech32::encode::<Bech32>(Hrp::parse_unchecked("lnurl"), url.as_bytes()).unwrap()
    }

    #[test]
    fn v2_an_address_is_read_in_every_spelling() {
        let table = [
            (
                "alice@wallet.example".to_owned(),
                "https://wallet.example/.well-known/lnurlp/alice",
            ),
            (
                " Lightning:Alice.B+tag_1-2@Wallet.Example ".to_owned(),
                "https://wallet.example/.well-known/lnurlp/alice.b+tag_1-2",
            ),
            (
                lnurl("https://wallet.example/pay?id=A1"),
                "https://wallet.example/pay?id=A1",
            ),
            (
                lnurl("https://wallet.example/pay?id=A1").to_ascii_uppercase(),
                "https://wallet.example/pay?id=A1",
            ),
            (
                "lnurlp://wallet.example/Pay/me".to_owned(),
                "https://wallet.example/Pay/me",
            ),
        ];
        for (text, url) in table {
            let read = read(&text, Reach::Internet).map(String::from);
            assert_eq!(read.as_deref(), Ok(url), "{text}");
            assert!(is_address(&text), "{text}");
        }
    }

    #[test]
    fn v2_what_is_no_address_is_refused() {
        let mut misspelt = lnurl("https://wallet.example/pay");
        misspelt.replace_range(12..13, if misspelt.contains("qq") { "b" } else { "!" });
        let table = [
            String::new(),
            "alice".into(),
            "@wallet.example".into(),
            "alice@".into(),
            "..@wallet.example".into(),
            "alice@bob@wallet.example".into(),
            "al ice@wallet.example".into(),
            "al/ice@wallet.example".into(),
            "álice@wallet.example".into(),
            "alice@wallet.example/admin".into(),
            "alice@wallet.example:22".into(),
            "alice@[::1]".into(),
            format!("{}@wallet.example", "a".repeat(65)),
            "lnurl1qqqq".into(),
            misspelt,
            lnurl("not a url"),
            format!("a@{}.example", "w".repeat(2_048)),
            "lnurlw://wallet.example/take".into(),
            "https://wallet.example/pay".into(),
        ];
        for text in table {
            let refused = read(&text, Reach::Internet);
            assert_eq!(refused, Err(LnurlError::NotAnAddress), "{text}");
        }
    }

    #[test]
    fn v5_up_a19_an_address_never_leads_out_of_the_public_web() {
        let table = [
            "alice@127.0.0.1".to_owned(),
            "alice@2130706433".into(),
            "alice@0x7f.1".into(),
            "alice@hidden.onion".into(),
            "alice@hidden.onion.".into(),
            lnurl("http://wallet.example/pay"),
            lnurl("ftp://wallet.example/pay"),
            lnurl("file:///etc/passwd"),
            lnurl("https://169.254.169.254/latest/meta-data"),
            lnurl("https://[::1]/pay"),
            lnurl("https://user@wallet.example/pay"),
            lnurl("https://:secret@wallet.example/pay"),
            lnurl("https://wallet.example:8080/pay"),
            "lnurlp://127.1/pay".into(),
            "lnurlp://user:secret@wallet.example/pay".into(),
        ];
        for text in table {
            let refused = read(&text, Reach::Internet);
            assert_eq!(refused, Err(LnurlError::Forbidden), "{text}");
        }
    }
}
