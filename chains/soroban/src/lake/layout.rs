//! How a lake is laid out: what its manifest says, and what its files are called (SEP-54).

use std::num::NonZeroU32;

use serde::Deserialize;

/// Where a lake says what it holds, below its own address.
pub(crate) const MANIFEST: &str = ".config.json";

/// The first ledger that a network closes: the one before is not closed by anybody.
pub(super) const FIRST_LEDGER: u32 = 2;

/// Ledgers in one file. Public lakes keep 1, others 64; more than this would not pass the bound of an unpacked file.
pub(super) const PER_BATCH_MAX: u32 = 1_024;

/// What a lake says of itself. What else it says has no bearing on us.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    network_passphrase: String,
    /// The older writers do not say; there has never been another.
    compression: Option<String>,
    #[serde(alias = "ledgersPerFile")]
    ledgers_per_batch: u32,
    #[serde(alias = "filesPerPartition")]
    batches_per_partition: u32,
}

/// Why a manifest leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("{MANIFEST} is of the network {found:?}, not of {expected:?}")]
    OtherNetwork { found: String, expected: String },
    #[error("{MANIFEST}: compression: must be \"zstd\"; found {0:?}")]
    Compression(String),
    #[error("{MANIFEST}: ledgersPerBatch: must be 1 to {PER_BATCH_MAX}; found {0}")]
    PerBatch(u32),
    #[error("{MANIFEST}: batchesPerPartition: must be at least 1 and not above all ledgers; found {0}")]
    PerPartition(u32),
}

/// How many ledgers each file and each folder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    per_batch: NonZeroU32,
    /// Ledgers of a folder; `None`: there are no folders.
    per_partition: Option<NonZeroU32>,
}

/// The ledgers of one file by its place: from the first to the last, both included. A lake's oldest file may begin
/// with the first ledger of all and still be named by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

/// How the names of files end: those of today, and those of lakes that were written before the standard was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Zst,
    Zstd,
}

impl Manifest {
    pub(super) fn layout(&self, passphrase: &str) -> Result<Layout, ManifestError> {
        let short = |text: &str| text.chars().take(80).collect::<String>();
        if self.network_passphrase != passphrase {
            let (found, expected) = (short(&self.network_passphrase), short(passphrase));
            return Err(ManifestError::OtherNetwork { found, expected });
        }
        if let Some(other) = self.compression.as_deref().filter(|word| *word != "zstd") {
            return Err(ManifestError::Compression(short(other)));
        }
        Layout::new(self.ledgers_per_batch, self.batches_per_partition)
    }
}

impl Layout {
    pub(crate) fn new(per_batch: u32, batches_per_partition: u32) -> Result<Self, ManifestError> {
        let ledgers = NonZeroU32::new(per_batch).filter(|ledgers| ledgers.get() <= PER_BATCH_MAX);
        let per_batch = ledgers.ok_or(ManifestError::PerBatch(per_batch))?;
        let wrong = || ManifestError::PerPartition(batches_per_partition);
        let batches = NonZeroU32::new(batches_per_partition).ok_or_else(wrong)?;
        let whole = batches.checked_mul(per_batch).ok_or_else(wrong)?;
        Ok(Self { per_batch, per_partition: (batches.get() > 1).then_some(whole) })
    }

    pub(super) const fn per_batch(self) -> NonZeroU32 {
        self.per_batch
    }

    /// The file in which this ledger is.
    pub(crate) fn span(self, sequence: u32) -> Span {
        span(sequence, self.per_batch)
    }

    /// The files that hold the ledgers from `from` to `up_to`, oldest first.
    pub(super) fn spans(self, from: u32, up_to: u32) -> impl Iterator<Item = Span> + use<> {
        let first = (from <= up_to).then(|| self.span(from));
        std::iter::successors(first, move |span| {
            span.last.checked_add(1).filter(|next| *next <= up_to).map(|next| self.span(next))
        })
    }

    /// The first file of the folder after the one that this ledger is in.
    pub(super) fn next_folder(self, sequence: u32) -> Option<Span> {
        let folder = span(sequence, self.per_partition?);
        folder.last.checked_add(1).map(|next| self.span(next))
    }

    /// What a file is called, folder first: the likeliest name first.
    pub(crate) fn names(self, file: Span, ending: Ending) -> Vec<Vec<String>> {
        let folder = self.per_partition.map(|ledgers| {
            let Span { first, last } = span(file.first, ledgers);
            format!("{:08X}--{first}-{last}", u32::MAX - first)
        });
        // The oldest file is called by its place, or by the first ledger that there is.
        let oldest = (file.first < FIRST_LEDGER && file.last >= FIRST_LEDGER).then_some(FIRST_LEDGER);
        let starts = std::iter::once(file.first).chain(oldest);
        let names = starts.flat_map(|first| ending.then_other().map(move |ending| (first, ending)));
        names
            .map(|(first, ending)| {
                let ledgers = if first == file.last { format!("{first}") } else { format!("{first}-{}", file.last) };
                let name = format!("{:08X}--{ledgers}.xdr.{}", u32::MAX - first, ending.word());
                folder.iter().cloned().chain([name]).collect()
            })
            .collect()
    }
}

impl Span {
    /// Whether a file of this place may hold these ledgers.
    pub(crate) fn holds(self, first: u32, last: u32) -> bool {
        last == self.last && (first == self.first || (self.first < FIRST_LEDGER && first == FIRST_LEDGER))
    }
}

impl Ending {
    const fn word(self) -> &'static str {
        match self {
            Self::Zst => "zst",
            Self::Zstd => "zstd",
        }
    }

    const fn then_other(self) -> [Self; 2] {
        match self {
            Self::Zst => [Self::Zst, Self::Zstd],
            Self::Zstd => [Self::Zstd, Self::Zst],
        }
    }

    /// How a name ends.
    pub(super) fn of(name: &str) -> Self {
        if name.rsplit('.').next() == Some("zstd") { Self::Zstd } else { Self::Zst }
    }
}

fn span(sequence: u32, ledgers: NonZeroU32) -> Span {
    let first = sequence - sequence % ledgers;
    Span { first, last: first.saturating_add(ledgers.get() - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: &str = "Public Global Stellar Network ; September 2015";

    fn names(per_batch: u32, per_partition: u32, sequence: u32) -> Vec<String> {
        let layout = Layout::new(per_batch, per_partition).unwrap();
        layout.names(layout.span(sequence), Ending::Zst).into_iter().map(|name| name.join("/")).collect()
    }

    fn manifest(text: &str) -> Result<Layout, String> {
        let manifest: Manifest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        manifest.layout(PUBLIC).map_err(|error| error.to_string())
    }

    #[test]
    fn files_are_called_as_in_the_lakes_that_people_publish() {
        assert_eq!(
            names(1, 64_000, 58_816_920),
            [
                "FC7E89FF--58816000-58879999/FC7E8667--58816920.xdr.zst",
                "FC7E89FF--58816000-58879999/FC7E8667--58816920.xdr.zstd"
            ]
        );
        assert_eq!(names(1, 64_000, 2)[0], "FFFFFFFF--0-63999/FFFFFFFD--2.xdr.zst");
        // The examples of SEP-54.
        for (sequence, name) in [
            (18, "FFFFFFEF--16-31/FFFFFFED--18-19.xdr.zst"),
            (17, "FFFFFFEF--16-31/FFFFFFEF--16-17.xdr.zst"),
            (15, "FFFFFFFF--0-15/FFFFFFF1--14-15.xdr.zst"),
            (8, "FFFFFFFF--0-15/FFFFFFF7--8-9.xdr.zst"),
            (2, "FFFFFFFF--0-15/FFFFFFFD--2-3.xdr.zst"),
        ] {
            assert_eq!(names(2, 8, sequence)[0], name);
        }
        // Without folders, and with many ledgers in a file; an old one of the second kind.
        assert_eq!(names(1, 1, 53_312_000)[1], "FCD285FF--53312000.xdr.zstd");
        assert_eq!(names(64, 1_000, 57_500_000)[0], "FC930BFF--57472000-57535999/FC929EBF--57499968-57500031.xdr.zst");
        assert_eq!(names(1, 64_000, u32::MAX)[0].split_once('/').unwrap().1, "00000000--4294967295.xdr.zst");
    }

    #[test]
    fn the_oldest_file_is_looked_for_by_its_place_and_by_the_first_ledger_there_is() {
        let found = names(64, 1_000, 5);
        assert_eq!(found[0], "FFFFFFFF--0-63999/FFFFFFFF--0-63.xdr.zst");
        assert_eq!(found[2], "FFFFFFFF--0-63999/FFFFFFFD--2-63.xdr.zst");
        let oldest = Layout::new(64, 1_000).unwrap().span(5);
        assert!(oldest.holds(0, 63) && oldest.holds(2, 63) && !oldest.holds(1, 63) && !oldest.holds(2, 62));
        assert!(!Layout::new(64, 1_000).unwrap().span(70).holds(66, 127));
    }

    #[test]
    fn the_files_of_a_range_follow_one_another_and_end_where_it_ends() {
        let layout = Layout::new(4, 2).unwrap();
        let spans: Vec<_> = layout.spans(6, 12).map(|span| (span.first, span.last)).collect();
        assert_eq!(spans, [(4, 7), (8, 11), (12, 15)]);
        assert_eq!(layout.spans(8, 7).count(), 0);
        assert_eq!(layout.spans(u32::MAX - 1, u32::MAX).count(), 1);
        assert_eq!(layout.next_folder(6).map(|span| span.first), Some(8));
        assert_eq!(layout.next_folder(u32::MAX), None);
        assert_eq!(Layout::new(4, 1).unwrap().next_folder(6), None);
    }

    #[test]
    fn a_manifest_is_read_as_the_public_lakes_write_it() {
        let public = format!(
            r#"{{"networkPassphrase":"{PUBLIC}","version":"1.0","compression":"zstd","ledgersPerBatch":1,"batchesPerPartition":64000}}"#
        );
        assert_eq!(manifest(&public), Ok(Layout::new(1, 64_000).unwrap()));
        let old = format!(r#"{{"networkPassphrase":"{PUBLIC}","ledgersPerFile":64,"batchesPerPartition":1000}}"#);
        assert_eq!(manifest(&old), Ok(Layout::new(64, 1_000).unwrap()));
    }

    #[test]
    fn a_manifest_that_leads_nowhere_is_refused_by_name() {
        let with = |passphrase: &str, compression: &str, batch: u32, partition: u32| {
            manifest(&format!(
                r#"{{"networkPassphrase":"{passphrase}","compression":"{compression}","ledgersPerBatch":{batch},"batchesPerPartition":{partition}}}"#
            ))
            .unwrap_err()
        };
        let other = with("Test SDF Network ; September 2015", "zstd", 1, 64_000);
        assert!(other.contains("of the network \"Test SDF Network ; September 2015\", not of \"Public"), "{other}");
        assert!(with(PUBLIC, "gzip", 1, 1).contains("compression: must be \"zstd\"; found \"gzip\""));
        assert!(with(PUBLIC, "zstd", 0, 1).contains("ledgersPerBatch"));
        assert!(with(PUBLIC, "zstd", 1_025, 1).contains("ledgersPerBatch"));
        assert!(with(PUBLIC, "zstd", 1, 0).contains("batchesPerPartition"));
        assert!(with(PUBLIC, "zstd", 1_024, u32::MAX).contains("batchesPerPartition"));
        assert!(manifest(r#"{"networkPassphrase":"x"}"#).unwrap_err().contains("ledgersPerBatch"));
    }
}
