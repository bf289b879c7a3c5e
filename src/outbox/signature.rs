//! Signs the stored bytes, in the two ways receivers already have libraries for. Pure.
//!
//! One secret string serves both: `X-Signature` keys with the UTF-8 bytes of the whole string, Standard
//! Webhooks with the decoded bytes after `whsec_`. During a rotation both secrets sign, newest first.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use amn_core::timestamp::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How far a receiver lets our clock and its own drift apart, on both sides.
pub const TOLERANCE_SECONDS: u64 = 300;

/// Bytes of chance in a secret of ours: as long as the hash, so that guessing is no shorter way.
pub const SECRET_BYTES: usize = 32;

const PREFIX: &str = "whsec_";

/// What an endpoint's deliveries are signed with: `whsec_` and base64.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    key: Vec<u8>,
}

/// Why a text is no secret. The text itself is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret reads whsec_ and base64 of 24 to 64 bytes")]
pub struct NotASecret;

impl Secret {
    /// A new secret out of chance.
    #[must_use]
    pub fn from_chance(chance: &[u8; SECRET_BYTES]) -> Self {
        Self { text: format!("{PREFIX}{}", STANDARD.encode(chance)), key: chance.to_vec() }
    }

    /// The whole string, for the one answer that shows it and for its row.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let key = text.strip_prefix(PREFIX).and_then(|rest| STANDARD.decode(rest).ok()).ok_or(NotASecret)?;
        // The bounds of the Standard Webhooks specification.
        if (24..=64).contains(&key.len()) { Ok(Self { text: text.to_owned(), key }) } else { Err(NotASecret) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The values of the headers of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `X-Signature`
    pub x_signature: String,
    /// `webhook-timestamp`
    pub timestamp: String,
    /// `webhook-signature`
    pub standard: String,
}

/// Signs `body`, said to be event `id`, at `now`, with every live secret, newest first.
#[must_use]
pub fn sign(secrets: &[Secret], id: &str, now: Timestamp, body: &[u8]) -> Signed {
    let timestamp = now.seconds().to_string();
    let mut x_signature = format!("t={timestamp}");
    let mut standard = String::new();
    for secret in secrets {
        let _ = write!(x_signature, ",v1={}", x_signature_hex(secret.text.as_bytes(), &timestamp, body));
        let mac = hmac(&secret.key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
        let gap = if standard.is_empty() { "" } else { " " };
        let _ = write!(standard, "{gap}v1,{}", STANDARD.encode(mac));
    }
    Signed { x_signature, timestamp, standard }
}

fn x_signature_hex(key: &[u8], timestamp: &str, body: &[u8]) -> String {
    hex::encode(hmac(key, &[timestamp.as_bytes(), b".", body]))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        unreachable!("HMAC takes a key of any length");
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    #[error("the X-Signature header does not read t=<seconds>,v1=<hex>")]
    Malformed,
    #[error("signed more than {TOLERANCE_SECONDS} s away from now")]
    OutOfTime,
    #[error("no signature matches")]
    NoMatch,
}

/// Verifies an `X-Signature` header as a receiver should: in constant time, and within the tolerance on
/// both sides of `now`.
pub fn verify(secret: &str, header: &str, body: &[u8], now: Timestamp) -> Result<(), Unverified> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.split_once('=').ok_or(Unverified::Malformed)? {
            ("t", text) if time.is_none() => time = Some(text),
            ("t", _) => return Err(Unverified::Malformed),
            ("v1", hex) => signatures.push(hex),
            _ => {} // Schemes to come.
        }
    }
    let time = time.filter(|text| text.bytes().all(|b| b.is_ascii_digit())).ok_or(Unverified::Malformed)?;
    let seconds: i64 = time.parse().map_err(|_| Unverified::Malformed)?;
    if now.seconds().abs_diff(seconds) > TOLERANCE_SECONDS {
        return Err(Unverified::OutOfTime);
    }
    let expected = x_signature_hex(secret.as_bytes(), time, body);
    // Every signature is compared whole, so that time tells nothing.
    let matching = signatures.iter().fold(0, |sum, hex| sum | hex.as_bytes().ct_eq(expected.as_bytes()).unwrap_u8());
    if matching == 1 { Ok(()) } else { Err(Unverified::NoMatch) }
}

#[cfg(test)]
mod tests {
    use crate::clock::{Clock as _, SystemClock};

    use super::*;

    const BODY: &[u8] = br#"{"amount":"1","event":"payin.confirmed","id":"evt_1"}"#;

    fn secret(fill: u8) -> Secret {
        Secret::from_chance(&[fill; SECRET_BYTES])
    }

    #[test]
    fn the_contracts_test_vector_comes_out() {
        let hex = x_signature_hex(b"whsec_test_secret", "1700000000", BODY);
        assert_eq!(hex, "0d331110ab97e91377a85d41403149b1b9560279a3fc2819d57d9e59b4671751");
        let header = format!("t=1700000000,v1={hex}");
        assert_eq!(verify("whsec_test_secret", &header, BODY, Timestamp::from_seconds(1_700_000_000)), Ok(()));
    }

    #[test]
    fn the_vectors_of_standard_webhooks_and_svix_come_out() {
        let vectors = [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ];
        for (secret, id, at, body, expected) in vectors {
            let signed = sign(&[secret.parse().unwrap()], id, Timestamp::from_seconds(at), body.as_bytes());
            assert_eq!(signed.standard, expected);
            assert_eq!(signed.timestamp, at.to_string());
        }
    }

    #[test]
    fn the_crate_of_standard_webhooks_verifies_us_with_either_secret_of_a_rotation() {
        // The library under test reads the machine's clock.
        let now = SystemClock.now();
        let signed = sign(&[secret(1), secret(2)], "evt_1", now, BODY);
        let mut headers = http_headers(&signed);
        for fill in [1, 2] {
            let webhook = standardwebhooks::Webhook::new(secret(fill).reveal()).unwrap();
            webhook.verify(BODY, &headers).unwrap();
            assert!(webhook.verify(b"{}", &headers).is_err());
        }
        assert!(standardwebhooks::Webhook::new(secret(3).reveal()).unwrap().verify(BODY, &headers).is_err());
        // A time in milliseconds would pass the check of other libraries; this one refuses it.
        let wrong = sign(&[secret(1)], "evt_1", Timestamp::from_seconds(now.millis()), BODY);
        headers = http_headers(&wrong);
        assert!(standardwebhooks::Webhook::new(secret(1).reveal()).unwrap().verify(BODY, &headers).is_err());
    }

    fn http_headers(signed: &Signed) -> axum::http::HeaderMap {
        let pairs = [
            ("webhook-id", "evt_1"),
            ("webhook-timestamp", &signed.timestamp),
            ("webhook-signature", &signed.standard),
        ];
        pairs.into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn both_secrets_of_a_rotation_verify_and_a_third_does_not() {
        let now = Timestamp::from_seconds(1_700_000_000);
        let signed = sign(&[secret(1), secret(2)], "evt_1", now, BODY);
        assert!(!signed.x_signature.contains(' '), "a space makes Stripe's verifiers refuse: {}", signed.x_signature);
        for fill in [1, 2] {
            assert_eq!(verify(secret(fill).reveal(), &signed.x_signature, BODY, now), Ok(()));
        }
        assert_eq!(verify(secret(3).reveal(), &signed.x_signature, BODY, now), Err(Unverified::NoMatch));
        assert_eq!(verify(secret(1).reveal(), &signed.x_signature, b"{}", now), Err(Unverified::NoMatch));
    }

    #[test]
    fn a_signature_is_believed_for_five_minutes_on_both_sides() {
        let at = 1_700_000_000;
        let header = sign(&[secret(1)], "evt_1", Timestamp::from_seconds(at), BODY).x_signature;
        let verdict = |now| verify(secret(1).reveal(), &header, BODY, Timestamp::from_seconds(now));
        assert_eq!([verdict(at - 300), verdict(at + 300)], [Ok(()), Ok(())]);
        assert_eq!([verdict(at - 301), verdict(at + 301)], [Err(Unverified::OutOfTime); 2]);
    }

    #[test]
    fn headers_that_are_not_ours_are_malformed() {
        let now = Timestamp::from_seconds(1_700_000_000);
        for header in
            ["", "v1=00", "t=1700000000,t=1700000000", "t=-1,v1=00", "t=Infinity,v1=00", "nonsense", "t=,v1=00"]
        {
            assert_eq!(verify("whsec_", header, BODY, now), Err(Unverified::Malformed), "{header:?}");
        }
        assert_eq!(verify("whsec_", "t=1700000000", BODY, now), Err(Unverified::NoMatch));
    }

    #[test]
    fn a_secret_reads_back_and_is_never_shown() {
        let secret = secret(7);
        assert_eq!(secret.reveal().parse::<Secret>().unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "***");
        for wrong in ["", "whsec_", "whsec_AAAA", "whsec_!!!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
            assert!(wrong.parse::<Secret>().is_err(), "{wrong}");
        }
    }
}
