//! Reads what the machine counts: CPU time and memory of processes, and who runs at an instant.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Ticks a second in /proc/PID/stat, on every Linux we know.
const TICKS: u64 = 100;

/// The figures of one process.
#[derive(Debug, Clone)]
struct Stat {
    parent: u32,
    state: String,
    /// User and system, in ticks.
    own: u64,
    /// Of children that ended and were waited for.
    ended: u64,
}

fn stat(path: &Path) -> Option<Stat> {
    let text = fs::read_to_string(path).ok()?;
    // The name stands in brackets and may hold anything.
    let rest: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let number = |at: usize| rest.get(at).and_then(|word| word.parse::<u64>().ok());
    Some(Stat {
        state: rest.first()?.to_string(),
        parent: u32::try_from(number(1)?).ok()?,
        own: number(11)? + number(12)?,
        ended: number(13)? + number(14)?,
    })
}

fn processes() -> Vec<(u32, Stat)> {
    let Ok(list) = fs::read_dir("/proc") else { return Vec::new() };
    list.flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(&entry.path().join("stat"))?))
        })
        .collect()
}

/// Milliseconds of CPU of one process so far.
pub fn cpu(pid: u32) -> u64 {
    stat(Path::new(&format!("/proc/{pid}/stat"))).map_or(0, |stat| stat.own * 1_000 / TICKS)
}

/// Microseconds of CPU of the calling thread so far: what others do on the machine does not count.
pub fn thread_cpu() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1_000.0
}

/// Milliseconds of CPU of a Postgres so far: the server, its workers, and connections that have ended.
pub fn postgres_cpu(postmaster: u32) -> u64 {
    let all = processes();
    let ticks: u64 = all
        .iter()
        .map(|(pid, stat)| match (*pid == postmaster, stat.parent == postmaster) {
            (true, _) => stat.own + stat.ended,
            (false, true) => stat.own,
            _ => 0,
        })
        .sum();
    ticks * 1_000 / TICKS
}

/// Memory of a process that is in RAM, in MB.
pub fn memory_mb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0_u64) / 1_024
}

/// Looks every few milliseconds who is on a CPU: we, Postgres, or neither, which is waiting for the node.
#[derive(Debug)]
pub struct Watcher {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Shares>,
}

/// In how many of the looks who ran.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shares {
    pub looks: u32,
    pub ours: u32,
    /// Postgres, and not we.
    pub postgres: u32,
}

impl Shares {
    /// Of a hundred looks: our code, Postgres alone, the node alone.
    pub fn text(self) -> String {
        let percent = |part: u32| f64::from(part) * 100.0 / f64::from(self.looks.max(1));
        let node = self.looks.saturating_sub(self.ours).saturating_sub(self.postgres);
        format!(
            "our code {:.0} %, Postgres {:.0} %, the node {:.0} %",
            percent(self.ours),
            percent(self.postgres),
            percent(node)
        )
    }
}

impl Watcher {
    pub fn start(postmaster: u32) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ends = over.clone();
        let thread = std::thread::spawn(move || {
            let own = fs::read_link("/proc/thread-self").ok().and_then(|path| {
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok())
            });
            let mut shares = Shares::default();
            let mut backends: BTreeSet<u32> = BTreeSet::new();
            while !ends.load(Ordering::Relaxed) {
                if shares.looks % 100 == 0 {
                    let all = processes();
                    backends = all.iter().filter(|(_, stat)| stat.parent == postmaster).map(|(pid, _)| *pid).collect();
                }
                shares.looks += 1;
                let runs = |path: String| stat(Path::new(&path)).is_some_and(|stat| stat.state == "R");
                let ours = fs::read_dir("/proc/self/task").into_iter().flatten().flatten().any(|task| {
                    let id = task.file_name().to_str().and_then(|id| id.parse::<u32>().ok());
                    id != own && id.is_some_and(|id| runs(format!("/proc/self/task/{id}/stat")))
                });
                if ours {
                    shares.ours += 1;
                } else if backends.iter().any(|pid| runs(format!("/proc/{pid}/stat"))) {
                    shares.postgres += 1;
                }
                std::thread::sleep(Duration::from_millis(3));
            }
            shares
        });
        Self { over, thread }
    }

    pub fn end(self) -> Shares {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// The value below which so many of a hundred lie; the list is sorted here.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(place).copied().unwrap_or(f64::NAN)
}
