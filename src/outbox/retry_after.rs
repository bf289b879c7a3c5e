//! Reads the `Retry-After` header: seconds, or a date.

use amn_core::timestamp::Timestamp;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// When the receiver asks us to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    Seconds(u64),
    At(Timestamp),
}

impl RetryAfter {
    /// `None` where the header says nothing we understand: then the schedule alone decides.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number too long to read is a long time.
            return Some(Self::Seconds(text.parse().unwrap_or(u64::MAX)));
        }
        let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        Some(Self::At(Timestamp::from_seconds(at.unix_timestamp())))
    }

    /// Milliseconds from `now`; a date gone by is no time.
    #[must_use]
    pub fn millis_from(self, now: Timestamp) -> u64 {
        match self {
            Self::Seconds(seconds) => seconds.saturating_mul(1_000),
            Self::At(at) => u64::try_from(at.millis().saturating_sub(now.millis())).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_anything_else_is_not() {
        let date = RetryAfter::parse("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date, Some(RetryAfter::At(Timestamp::from_seconds(784_111_777))));
        assert_eq!(RetryAfter::parse("120"), Some(RetryAfter::Seconds(120)));
        assert_eq!(RetryAfter::parse("99999999999999999999999"), Some(RetryAfter::Seconds(u64::MAX)));
        for wrong in ["", " ", "-1", "1.5", "soon", "1994-11-06"] {
            assert_eq!(RetryAfter::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_date_gone_by_asks_for_no_time() {
        let now = Timestamp::from_seconds(1_000);
        assert_eq!(RetryAfter::At(Timestamp::from_seconds(900)).millis_from(now), 0);
        assert_eq!(RetryAfter::At(Timestamp::from_seconds(1_060)).millis_from(now), 60_000);
    }
}
