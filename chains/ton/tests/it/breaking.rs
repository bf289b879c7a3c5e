//! How bags are broken, and how it is measured what reading them costs.

use std::time::Duration;

/// Memory that reading may take for each byte: an empty cell is three bytes with the reference to it, and 80 in memory.
pub const MEMORY_PER_BYTE: usize = 30;

/// What the smallest bag needs whatever its size.
pub const LEAST_MEMORY: usize = 8 << 10;

/// Time that reading may take for each byte, without optimisation and on a machine that is slow: cells that share their
/// parts must not be read as often as they are referred to.
const TIME_PER_BYTE: Duration = Duration::from_micros(1);

/// What the smallest bag may take: the clock of a thread need not move in smaller steps than this.
const LEAST_TIME: Duration = Duration::from_millis(50);

/// What a piece of work cost: the most memory it held at once, and the time its thread was on a CPU. By a clock that
/// others on the machine do not move.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub memory: usize,
    pub time: Duration,
}

impl Cost {
    /// The greater of each.
    pub fn max(self, other: Self) -> Self {
        Self { memory: self.memory.max(other.memory), time: self.time.max(other.time) }
    }
}

/// What a piece of work answers, and what it cost.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let mut answer = None;
    let began = thread_time();
    let counted = allocation_counter::measure(|| answer = Some(work()));
    let time = thread_time().saturating_sub(began);
    (answer.unwrap(), Cost { memory: usize::try_from(counted.bytes_max).unwrap(), time })
}

fn thread_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap()
}

/// What a piece of work answers, and the most memory it held at once.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (answer, cost) = measured(work);
    (answer, cost.memory)
}

/// Whether so many bytes may cost that.
pub fn affordable(cost: Cost, bytes: usize) -> bool {
    let times = u32::try_from(bytes).unwrap();
    cost.memory <= MEMORY_PER_BYTE * bytes + LEAST_MEMORY && cost.time <= TIME_PER_BYTE * times + LEAST_TIME
}

/// A small deterministic generator, so that a failure is found again.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below.max(1)
    }
}

/// The dice of one round, by the seed that `AMN_SEED` says.
pub fn dice(round: u64) -> Dice {
    let seed: u64 = std::env::var("AMN_SEED").map_or(0, |text| text.parse().unwrap());
    Dice(round ^ (seed << 32))
}

/// One to three small changes. A checksum is taken off first, or hardly any would be read beyond it.
pub fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    if out[4] & 0x40 != 0 && dice.roll(10) > 0 {
        out[4] &= !0x40;
        out.truncate(out.len() - 4);
    }
    for _ in 0..=dice.roll(2) {
        // The head of a bag is a few bytes among many and says the most.
        let at = if dice.roll(5) == 0 { dice.roll(out.len().min(24)) } else { dice.roll(out.len()) };
        match dice.roll(12) {
            0 => out.truncate(at),
            1 => drop(out.splice(at..(at + 1 + dice.roll(8)).min(out.len()), [])),
            2 => {
                let doubled = out[at..(at + 1 + dice.roll(40)).min(out.len())].to_vec();
                drop(out.splice(at..at, doubled));
            }
            3 => out[at] = 0xff,
            _ if at < out.len() => out[at] ^= 1 << dice.roll(8),
            _ => {}
        }
        if out.len() < 5 {
            break;
        }
    }
    out
}
