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
pub(crate) enum Damage {
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

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    const MOST: usize = 1 << 20;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    /// A frame with this descriptor, these bytes of head and these blocks; the last is marked as such.
    fn frame(descriptor: u8, head: &[u8], blocks: &[(u8, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, descriptor];
        bytes.extend(head);
        for (index, (kind, size, body)) in blocks.iter().enumerate() {
            let last = u32::from(index + 1 == blocks.len());
            bytes.extend(&(size << 3 | u32::from(*kind) << 1 | last).to_le_bytes()[..3]);
            bytes.extend(*body);
        }
        bytes
    }

    /// Blocks of 128 KiB of one byte each.
    fn bomb(blocks: usize) -> Vec<u8> {
        frame(0, &[0x38], &vec![(1, 128 << 10, &b"0"[..]); blocks])
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let noise: Vec<u8> =
            (0_u32..200_000).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> (n % 13)).to_le_bytes()).collect();
        for bytes in [&b""[..], b"x", &vec![0; 100_000], &noise] {
            assert_eq!(unpack(&packed(bytes), MOST).as_deref(), Ok(bytes));
        }
        assert_eq!(unpack(&bomb(8), MOST).unwrap().len(), MOST, "as much as there may be");
    }

    #[test]
    fn eight_kilobytes_that_become_a_gigabyte_take_no_more_than_the_bound() {
        let bomb = bomb(8_192);
        assert!(bomb.len() < 33_000);
        let held = allocation_counter::measure(|| assert_eq!(unpack(&bomb, MOST), Err(Damage::TooLarge(MOST))));
        // What is unpacked doubles from one place to another; the window of this frame is 128 KiB.
        assert!(held.bytes_max < 5 << 20, "{} bytes", held.bytes_max);
    }

    #[test]
    fn a_frame_that_promises_too_much_is_refused_before_memory_is_taken_for_it() {
        // A window of 64 MiB; content of 2 MiB said in the head, with and without a window.
        let window = frame(0, &[0x80], &[(0, 1, b"x")]);
        let content = frame(0x80, &[0x38, 0, 0, 32, 0], &[(0, 1, b"x")]);
        let single = frame(0xa0, &[0, 0, 32, 0], &[(0, 1, b"x")]);
        for bytes in [&window, &content, &single] {
            let held = allocation_counter::measure(|| assert!(unpack(bytes, MOST).is_err()));
            assert!(held.bytes_max < 1 << 20, "{} bytes for {bytes:02x?}", held.bytes_max);
        }
        assert!(unpack(&window, MOST).unwrap_err().to_string().contains("indow"));
        assert_eq!(unpack(&content, MOST), Err(Damage::TooLarge(MOST)));
    }

    #[test]
    fn a_file_is_one_frame_and_nothing_more_or_less() {
        let whole = packed(b"ledgers");
        let with = |more: &[u8]| [whole.as_slice(), more].concat();
        assert_eq!(unpack(&with(b"!"), MOST), Err(Damage::Trailing(1)));
        assert_eq!(unpack(&with(&whole), MOST), Err(Damage::Trailing(whole.len())));
        for cut in 0..whole.len() {
            assert!(unpack(&whole[..cut], MOST).is_err(), "cut at {cut}");
        }
        // A frame to be skipped, a dictionary that nobody has, another magic.
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0], whole.as_slice()].concat();
        let dictionary = frame(1, &[0x38, 7], &[(0, 1, b"x")]);
        for bytes in [&skipped, &dictionary, &b"PK\x03\x04 a zip".to_vec()] {
            assert!(matches!(unpack(bytes, MOST), Err(Damage::Zstd(_))), "{bytes:02x?}");
        }
    }

    #[test]
    fn what_a_frame_says_of_its_content_is_held_against_it() {
        // Content of 4 bytes said, 3 given; then a sum, the right one of "abc" and a wrong one.
        assert_eq!(unpack(&frame(0x20, &[4], &[(0, 3, b"abc")]), MOST), Err(Damage::OtherLength { said: 4, found: 3 }));
        let mut summed = frame(0x24, &[3], &[(0, 3, b"abc")]);
        summed.extend(0x7afe_bbaa_u32.to_le_bytes());
        let Err(Damage::OtherSum { said: 0x7afe_bbaa, found }) = unpack(&summed, MOST) else { panic!() };
        let end = summed.len() - 4;
        summed.splice(end.., found.to_le_bytes());
        assert_eq!(unpack(&summed, MOST).as_deref(), Ok(&b"abc"[..]));
    }
}
