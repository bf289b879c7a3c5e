//! What of other people's words and of our URLs may be shown.

use std::borrow::Cow;

use url::Url;

use crate::secret::Secret;

/// Longest text of a node that we repeat: enough for every message in the table, too little to flood a log.
const TEXT_MAX: usize = 240;
/// Shorter parts of a URL are ordinary words (`v3`, `rpc`, `mainnet`), not keys.
const KEY_MIN: usize = 12;

/// One bounded line without control characters.
pub(crate) fn shorten(text: &str) -> String {
    let mut line: String =
        text.chars().take(TEXT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().into();
    if text.chars().nth(TEXT_MAX).is_some() {
        line.push('…');
    }
    line
}

/// `https://host`, without user, port, path or query; of a folder only that it is one.
pub(crate) fn shown_url(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}

/// The parts of our configuration that a node may repeat in its messages and that nobody else should read.
#[derive(Default)]
pub(crate) struct Redactor {
    keys: Vec<String>,
}

impl Redactor {
    pub(crate) fn learn_url(&mut self, url: &Url) {
        let path = url.path_segments().into_iter().flatten().map(str::to_owned);
        let query = url.query_pairs().map(|(_, value)| value.into_owned());
        self.keys.extend(path.chain(query).filter(|part| part.len() >= KEY_MIN));
        self.keys.extend(url.password().map(str::to_owned));
        // A user name is a key where it has the length of one.
        self.keys.extend(Some(url.username().to_owned()).filter(|name| name.len() >= KEY_MIN));
    }

    pub(crate) fn learn(&mut self, secret: &Secret) {
        // `Bearer <key>`: the key alone may come back.
        let words = secret.expose().split_whitespace().filter(|word| word.len() >= KEY_MIN);
        self.keys.extend(words.map(str::to_owned));
    }

    /// The bytes with our keys replaced, and nothing else changed.
    pub(crate) fn scrub<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let mut clean = Cow::Borrowed(bytes);
        for key in self.keys.iter().filter(|key| !key.is_empty()) {
            let mut without = Vec::new();
            let mut rest = 0;
            for at in memchr::memmem::find_iter(&clean, key.as_bytes()) {
                without.extend_from_slice(&clean[rest..at]);
                without.extend_from_slice(b"***");
                rest = at + key.len();
            }
            if rest > 0 {
                without.extend_from_slice(&clean[rest..]);
                clean = Cow::Owned(without);
            }
        }
        clean
    }

    /// The text as one bounded line, our keys replaced.
    pub(crate) fn clean(&self, text: &str) -> String {
        let redacted = self.keys.iter().filter(|key| !key.is_empty()).fold(text.to_owned(), |text, key| {
            if text.contains(key.as_str()) { text.replace(key.as_str(), "***") } else { text }
        });
        shorten(&redacted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_redacted_wherever_in_the_url_it_stood() {
        let mut redactor = Redactor::default();
        redactor.learn_url(
            &Url::parse("https://me:pa55@node.example/v3/0123456789abcdef?apikey=fedcba9876543210").unwrap(),
        );
        redactor.learn(&Secret::new("Bearer abcdefabcdefabcdef"));
        let cleaned = redactor.clean("0123456789abcdef fedcba9876543210 abcdefabcdefabcdef pa55 in /v3/");
        assert_eq!(cleaned, "*** *** *** *** in /v3/");
    }

    #[test]
    fn a_body_that_repeats_our_key_is_kept_without_it() {
        let mut redactor = Redactor::default();
        redactor.learn(&Secret::new("Bearer abcdefabcdefabcdef"));
        let body = b"{\"error\":\"abcdefabcdefabcdef is no key, abcdefabcdefabcdef!\",\"line\":\"a\nb\"}\xff";
        assert_eq!(&*redactor.scrub(body), b"{\"error\":\"*** is no key, ***!\",\"line\":\"a\nb\"}\xff");
        assert!(matches!(redactor.scrub(b"nothing of ours"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        assert_eq!(shorten("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(shorten(&"é".repeat(1000)).chars().count(), TEXT_MAX + 1);
    }

    #[test]
    fn a_url_shows_scheme_and_host_only() {
        let url = Url::parse("https://user:secret@node.example:8545/v2/key?x=y").unwrap();
        assert_eq!(shown_url(&url), "https://node.example");
    }
}
