//! Values that must not be seen: a type whose `Debug` and `Display` never show them, and the test
//! whether one is strong enough to guard money.

use std::fmt;
use std::sync::Arc;

use url::Url;

/// A secret text. Only [`Secret::reveal`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The secret itself, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A URL that may carry a key in its path, query or user part: shown as scheme and host only.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Url);

impl SecretUrl {
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// The whole URL, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or("?"))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 32 characters of hexadecimal are 128 bits: the least that nobody can try out.
pub const SECRET_CHARACTERS_MIN: usize = 32;
/// 32 random hexadecimal digits show fewer than 8 of their 16 symbols once in a million keys.
const DIFFERENT_CHARACTERS_MIN: usize = 8;
/// Words that people leave in place of a secret.
const PLACEHOLDERS: [&str; 12] = [
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "password",
    "passw0rd",
    "example",
    "insert-",
    "replace",
    "secret-key",
    "your-",
    "your_",
];

/// Whether the text holds a word that people leave in place of a secret.
pub(super) fn is_placeholder(text: &str) -> bool {
    let lower = text.to_lowercase();
    PLACEHOLDERS.iter().any(|word| lower.contains(word)) || (lower.starts_with('<') && lower.ends_with('>'))
}

/// Why a secret is too weak to guard anything; `None` where it will do. Never repeats the secret.
pub(super) fn weakness(text: &str) -> Option<String> {
    let characters: Vec<char> = text.chars().collect();
    if is_placeholder(text) {
        return Some("a placeholder".to_owned());
    }
    if characters.len() < SECRET_CHARACTERS_MIN {
        return Some(format!("{} characters", characters.len()));
    }
    let mut different = characters.clone();
    different.sort_unstable();
    different.dedup();
    if different.len() < DIFFERENT_CHARACTERS_MIN {
        return Some(format!("only {} different characters", different.len()));
    }
    if (1..=characters.len() / 2).any(|period| characters.iter().zip(&characters[period..]).all(|(a, b)| a == b)) {
        return Some("a text that repeats itself".to_owned());
    }
    let steps = characters.windows(2).filter(|pair| u32::from(pair[0]).abs_diff(u32::from(pair[1])) <= 1).count();
    if steps * 2 > characters.len() {
        return Some("a row of neighbouring characters".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_seen_in_any_print() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        let url = SecretUrl::new("https://me:pw@node.example.com:8443/v3/KEY?token=T".parse().unwrap());
        assert_eq!(format!("{url} {url:?}"), "https://node.example.com https://node.example.com");
    }

    #[test]
    fn random_keys_are_strong() {
        for key in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "Zm9yIHRoZSByZWNvcmQ6IHRoaXMgaXMgbm90IGE=",
        ] {
            assert_eq!(weakness(key), None, "{key}");
        }
    }

    #[test]
    fn weak_keys_are_named_by_what_is_wrong_and_never_repeated() {
        for (key, why) in [
            ("", "0 characters"),
            ("9f86d081884c7d65", "16 characters"),
            ("CHANGEME-CHANGEME-CHANGEME-CHANGEME", "a placeholder"),
            ("<the operator key of this machine>", "a placeholder"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "only 1 different characters"),
            ("12ab34cd12ab34cd12ab34cd12ab34cd12", "a text that repeats itself"),
            ("abcdefghijklmnopqrstuvwxyz0123456789", "a row of neighbouring characters"),
        ] {
            assert_eq!(weakness(key).as_deref(), Some(why));
        }
    }
}
