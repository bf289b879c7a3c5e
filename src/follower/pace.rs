//! Says how long to wait before the next look at a network, when nothing asks for one sooner.
//!
//! Correctness never depends on it: every height is read whenever the look comes. Three paces: `usual`, a fraction of
//! the block time; `belled`, where a doorbell has shown that it brings the news first; `quiet`, where nothing is
//! awaited. A bell that misses two blocks is believed no more, until it has rung twice again. See
//! `docs/decisions/0020-three-paces.md`.

use std::time::Duration;

use amn_core::network::Facts;

/// Rings in a row before a bell is believed: the first may be a connection that was made, which rings too.
const RINGS_BELIEVED: u32 = 2;

/// Blocks that we found before the bell rang, after which it is believed no more. One may be a close race.
const MISSED_MAX: u32 = 2;

/// The longest wait under a bell that rings: what a bell that falls silent costs, once.
const BELLED_MAX: Duration = Duration::from_secs(15);
const BELLED_MIN: Duration = Duration::from_secs(1);

/// Where nothing is awaited: ten blocks' time, within these. Below, little is saved; above, late money is told late.
const QUIET_BLOCKS: u64 = 10;
const QUIET_MIN: Duration = Duration::from_secs(5);
const QUIET_MAX: Duration = Duration::from_secs(30);

/// How long a network is left alone at each pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    pub usual: Duration,
    pub belled: Duration,
    /// `None`: it is never quiet.
    pub quiet: Option<Duration>,
}

impl Rhythm {
    /// The same at every pace.
    #[must_use]
    pub const fn steady(every: Duration) -> Self {
        Self { usual: every, belled: every, quiet: None }
    }

    /// What suits a network of this block time that is usually looked at this often.
    #[must_use]
    pub fn suiting(facts: &Facts, usual: Duration) -> Self {
        let blocks = |count: u64| Duration::from_millis(facts.block_time_ms.saturating_mul(count));
        Self {
            usual,
            belled: blocks(2).clamp(BELLED_MIN, BELLED_MAX).max(usual),
            quiet: Some(blocks(QUIET_BLOCKS).clamp(QUIET_MIN, QUIET_MAX).max(usual)),
        }
    }
}

/// How a network is looked at now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Usual,
    Belled,
    Quiet,
    /// Not at all: another daemon follows it, or it is halted.
    Standing,
    /// Its nodes or our database did not answer.
    Retrying,
}

impl Pace {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Belled => "belled",
            Self::Quiet => "quiet",
            Self::Standing => "standing",
            Self::Retrying => "retrying",
        }
    }
}

/// How long to rest, and why so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    pub pace: Pace,
    pub length: Duration,
}

/// What is known of a network's bells. Pure.
#[derive(Debug, Default)]
pub(super) struct Bells {
    rings: u32,
    missed: u32,
}

impl Bells {
    /// A doorbell rang.
    pub(super) fn rang(&mut self) {
        self.rings = self.rings.saturating_add(1);
        self.missed = 0;
    }

    /// A look that no bell had asked for found something new.
    pub(super) fn missed_news(&mut self) {
        self.missed = self.missed.saturating_add(1);
        if self.missed >= MISSED_MAX {
            self.rings = 0;
        }
    }

    fn believed(&self) -> bool {
        self.rings >= RINGS_BELIEVED
    }

    /// The rest after a look that found nothing more to do.
    pub(super) fn rest(&self, rhythm: Rhythm, awaited: bool) -> Rest {
        match rhythm.quiet {
            Some(length) if !awaited => Rest { pace: Pace::Quiet, length },
            _ if self.believed() => Rest { pace: Pace::Belled, length: rhythm.belled },
            _ => Rest { pace: Pace::Usual, length: rhythm.usual },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RHYTHM: Rhythm = Rhythm {
        usual: Duration::from_millis(500),
        belled: Duration::from_secs(4),
        quiet: Some(Duration::from_secs(20)),
    };

    fn pace(bells: &Bells) -> Pace {
        bells.rest(RHYTHM, true).pace
    }

    #[test]
    fn a_bell_is_believed_when_it_rang_twice_and_until_it_misses_two_blocks() {
        let mut bells = Bells::default();
        assert_eq!(pace(&bells), Pace::Usual);
        bells.rang();
        assert_eq!(pace(&bells), Pace::Usual, "one ring may be a connection");
        bells.rang();
        assert_eq!(bells.rest(RHYTHM, true), Rest { pace: Pace::Belled, length: RHYTHM.belled });
        bells.missed_news();
        assert_eq!(pace(&bells), Pace::Belled, "a close race");
        bells.rang();
        bells.missed_news();
        assert_eq!(pace(&bells), Pace::Belled, "it rang in between");
        bells.missed_news();
        assert_eq!(pace(&bells), Pace::Usual, "it is silent");
        bells.rang();
        assert_eq!(pace(&bells), Pace::Usual);
        bells.rang();
        assert_eq!(pace(&bells), Pace::Belled, "it rings again");
    }

    #[test]
    fn a_network_is_quiet_only_where_nothing_is_awaited_whatever_rings() {
        let mut bells = Bells::default();
        assert_eq!(bells.rest(RHYTHM, false), Rest { pace: Pace::Quiet, length: Duration::from_secs(20) });
        bells.rang();
        bells.rang();
        assert_eq!(bells.rest(RHYTHM, false).pace, Pace::Quiet);
        assert_eq!(bells.rest(Rhythm { quiet: None, ..RHYTHM }, false).pace, Pace::Belled, "quiet_poll_ms = 0");
    }

    #[test]
    fn the_rhythm_follows_the_block_time_within_its_bounds() {
        let of = |block_time_ms, usual_ms| {
            let facts = Facts {
                id: amn_core::block::NetworkId::new("n"),
                chain: "fake:1".into(),
                assets: Vec::new(),
                policy: amn_core::confirmation::Policy::default(),
                block_time_ms,
                rewind_operators: 1,
                instant_finality: false,
                vouched_singly: false,
            };
            let rhythm = Rhythm::suiting(&facts, Duration::from_millis(usual_ms));
            (rhythm.belled.as_millis(), rhythm.quiet.unwrap().as_millis())
        };
        assert_eq!(of(250, 62), (1_000, 5_000), "Arbitrum");
        assert_eq!(of(2_000, 500), (4_000, 20_000), "Base");
        assert_eq!(of(12_000, 2_000), (15_000, 30_000), "Ethereum");
        assert_eq!(of(2_000, 60_000), (60_000, 60_000), "never more often than was asked for");
        assert_eq!(of(u64::MAX, 2_000), (15_000, 30_000));
    }
}
