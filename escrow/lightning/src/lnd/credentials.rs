//! What opens LND's door: where it is, its certificate, and the macaroon.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use http::Uri;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};

/// How the operator's LND is reached.
#[derive(Clone, Debug)]
pub struct LndAccess {
    /// `https://host:port` of its gRPC interface.
    pub address: String,
    /// Its certificate, `tls.cert`; read again for each new connection.
    pub certificate: PathBuf,
    /// What it allows us.
    pub macaroon: Macaroon,
}

/// The bearer token that LND asks for; `Debug` never shows it.
#[derive(Clone)]
pub enum Macaroon {
    /// A file as LND writes it; read again for each new connection.
    File(PathBuf),
    /// The same bytes as hexadecimal digits.
    Hex(SecretString),
}

impl fmt::Debug for Macaroon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Macaroon::File(path) => f.debug_tuple("File").field(path).finish(),
            Macaroon::Hex(_) => f.write_str("Hex([REDACTED])"),
        }
    }
}

impl PartialEq for Macaroon {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Macaroon::File(one), Macaroon::File(other)) => one == other,
            (Macaroon::Hex(one), Macaroon::Hex(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            (Macaroon::File(_), Macaroon::Hex(_)) | (Macaroon::Hex(_), Macaroon::File(_)) => false,
        }
    }
}

impl Eq for Macaroon {}

/// What the files hold at one moment.
pub(super) struct Credentials {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) stamp: MetadataValue<Ascii>,
    pub(super) can_do_too_much: bool,
}

impl LndAccess {
    /// Everything that is wrong with the address and the files, each with what to do.
    pub(super) fn problems(&self) -> Vec<String> {
        let address = self.host_and_port().err();
        let certificate = read_certificates(&self.certificate).err();
        let macaroon = self.macaroon.read().err();
        [address, certificate, macaroon]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Reads certificate and macaroon as they are at this moment.
    pub(super) fn read(&self) -> Result<Credentials, String> {
        let certificates = read_certificates(&self.certificate)?;
        let macaroon = self.macaroon.read()?;
        let mut stamp: MetadataValue<Ascii> = faster_hex::hex_string(&macaroon)
            .parse()
            .map_err(|_| "the macaroon cannot be sent".to_owned())?;
        stamp.set_sensitive(true);
        Ok(Credentials {
            certificates,
            stamp,
            can_do_too_much: can_do_too_much(&macaroon),
        })
    }

    pub(super) fn host_and_port(&self) -> Result<(String, u16), String> {
        let address = &self.address;
        let wrong = || {
            format!(
                "the address {address:?} must look like https://127.0.0.1:10009, with the port \
                 of LND's gRPC interface (rpclisten)"
            )
        };
        let uri: Uri = address.parse().map_err(|_| wrong())?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri
            .host()
            .map(|host| host.trim_matches(['[', ']']).to_owned());
        match (uri.scheme_str(), host, uri.port_u16()) {
            (Some("https"), Some(host), Some(port)) if is_bare && !has_user(&uri) => {
                Ok((host, port))
            }
            _ => Err(wrong()),
        }
    }
}

impl Macaroon {
    /// Reads hexadecimal digits.
    ///
    /// # Errors
    /// If they are none; the reason does not repeat them.
    pub fn from_hex(digits: &str) -> Result<Macaroon, String> {
        let macaroon = Macaroon::Hex(digits.into());
        macaroon.read().map(|_| macaroon)
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Macaroon::File(path) => match std::fs::read(path) {
                Ok(bytes) if bytes.is_empty() => {
                    Err(format!("the macaroon {} is empty", path.display()))
                }
                Ok(bytes) => Ok(bytes),
                Err(why) => Err(unreadable("macaroon", path, &why)),
            },
            Macaroon::Hex(digits) => {
                let digits = digits.expose_secret().trim().as_bytes();
                let mut bytes = vec![0; digits.len() / 2];
                match faster_hex::hex_decode(digits, &mut bytes) {
                    Ok(()) if !bytes.is_empty() => Ok(bytes),
                    _ => Err("the macaroon is not a row of hexadecimal digits".to_owned()),
                }
            }
        }
    }
}

fn has_user(uri: &Uri) -> bool {
    uri.authority()
        .is_some_and(|all| all.as_str().contains('@'))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = std::fs::read(path).map_err(|why| unreadable("certificate", path, &why))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!(
            "{} holds no certificate in PEM form: give the path of LND's tls.cert",
            path.display()
        )),
    }
}

fn unreadable(what: &str, path: &Path, why: &io::Error) -> String {
    format!(
        "the {what} {} cannot be read ({why}): give the path of a file that this process may read",
        path.display()
    )
}

/// The kinds of rights are written in a macaroon in plain letters. The small one of our
/// manual holds names of calls only.
fn can_do_too_much(macaroon: &[u8]) -> bool {
    let holds = |word: &[u8]| macaroon.windows(word.len()).any(|part| part == word);
    holds(b"onchain") || holds(b"macaroon")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> LndAccess {
        LndAccess {
            address: address.into(),
            certificate: "/nowhere/tls.cert".into(),
            macaroon: Macaroon::Hex("0201".into()),
        }
    }

    #[test]
    fn an_address_is_https_with_a_host_and_a_port_and_nothing_else() {
        let good = [
            ("https://127.0.0.1:10009", "127.0.0.1"),
            ("https://lnd.example:443/", "lnd.example"),
            ("https://[::1]:10009", "::1"),
        ];
        for (address, host) in good {
            assert_eq!(at(address).host_and_port().unwrap().0, host);
        }
        let bad = [
            "",
            "127.0.0.1:10009",
            "http://127.0.0.1:10009",
            "https://127.0.0.1",
            "https://me@127.0.0.1:10009",
            "https://127.0.0.1:10009/v1",
        ];
        for address in bad {
            assert!(at(address).host_and_port().is_err(), "{address}");
        }
    }

    #[test]
    fn all_problems_are_told_together_and_none_repeats_the_macaroon() {
        let mut access = at("nonsense");
        access.macaroon = Macaroon::Hex("secret-but-not-hex".into());
        let problems = access.problems();
        assert_eq!(problems.len(), 3, "{problems:?}");
        let shown = format!("{problems:?} {access:?}");
        assert!(!shown.contains("secret-but"), "{shown}");
        assert!(shown.contains("/nowhere/tls.cert"), "{shown}");
    }

    #[test]
    fn a_macaroon_with_rights_over_coins_or_macaroons_can_do_too_much() {
        assert!(can_do_too_much(b"..onchain.read."));
        assert!(can_do_too_much(b"..macaroon.generate."));
        assert!(!can_do_too_much(b"..uri./lnrpc.Lightning/GetInfo."));
    }
}
