//! What a caller of the admin service has to bring.

use std::fmt;

use sha2::{Digest, Sha256};

/// A secret between the operator and his box. Only its digest is kept, and `Debug`
/// does not show even that.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// Fewer could be guessed.
    pub const LEAST_CHARACTERS: usize = 16;

    /// Keeps a token; none if it is too short, or cannot stand in a header.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Option<Token> {
        let text = text.as_ref();
        let fits = text.len() >= Token::LEAST_CHARACTERS;
        let fits = fits && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Token(digest(text)))
    }

    /// Whether `text` is it. The time this takes tells nothing about the token:
    /// digests are compared, and all of their bytes.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let bytes = self.0.iter().zip(digest(text));
        let differing = bytes.fold(0, |differing, (own, given)| differing | (own ^ given));
        differing == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token_and_nobody_sees_it() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef"));
        for other in [
            "",
            "0123456789abcde",
            "0123456789abcdef0",
            "0123456789abcdeF",
        ] {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token");
        assert_eq!(Token::new("0123456789abcde"), None);
        assert_eq!(Token::new("0123456789 abcdef"), None);
    }
}
