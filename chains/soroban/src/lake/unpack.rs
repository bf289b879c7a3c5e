//! Undoes the compression of a file, within bounds: a few bytes can claim to be gigabytes.

use std::io::Read as _;

use ruzstd::decoding::StreamingDecoder;

/// Memory that a frame may ask us to look back into: the most that the writer of the lakes asks for at any of its
/// levels. It asks for 8 MiB at its usual one.
const WINDOW_MAX: u64 = 32 << 20;

/// Bytes of one file, unpacked: 64 ledgers of 3 MiB, and as much again for a third.
pub(super) const UNPACKED_MAX: usize = 256 << 20;

/// Why a file is not what its name promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("it is no zstd file, or a damaged one: {0}")]
    Zstd(String),
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(usize),
    #[error("it unpacks to {found} bytes and says that it has {said}")]
    OtherLength { said: u64, found: usize },
    #[error("its bytes are not those it was made of: their sum is {found:08x}, not {said:08x}")]
    OtherSum { said: u32, found: u32 },
    #[error("{0} bytes follow its end")]
    Trailing(usize),
}

/// The one frame that a file is made of, unpacked to at most so many bytes.
pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, Damage> {
    let damaged = |error: &dyn std::error::Error| Damage::Zstd(error.to_string());
    let mut stream = StreamingDecoder::new_with_max_window_size(packed, WINDOW_MAX).map_err(|error| damaged(&error))?;
    // 0 where the frame does not say.
    let said = stream.decoder.content_size();
    if usize::try_from(said).map_or(true, |said| said > most) {
        return Err(Damage::TooLarge(most));
    }
    let mut unpacked = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    stream.by_ref().take(limit).read_to_end(&mut unpacked).map_err(|error| damaged(&error))?;
    let found = unpacked.len();
    if found > most {
        return Err(Damage::TooLarge(most));
    }
    if said != 0 && u64::try_from(found) != Ok(said) {
        return Err(Damage::OtherLength { said, found });
    }
    let sums = stream.decoder.get_checksum_from_data().zip(stream.decoder.get_calculated_checksum());
    if let Some((said, found)) = sums.filter(|(said, found)| said != found) {
        return Err(Damage::OtherSum { said, found });
    }
    let left = stream.into_inner().len();
    if left > 0 { Err(Damage::Trailing(left)) } else { Ok(unpacked) }
}
