//! What a drive says of itself: the data of IDENTIFY DEVICE (ATA/ATAPI-8 ACS, 7.16).

use alloc::string::String;
use core::fmt;

/// What the driver needs to know of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Model, as the maker wrote it.
    pub model: String,
    /// Addressable sectors.
    pub sector_count: u64,
    /// Bytes in a logical sector.
    pub sector_len_bytes: usize,
    /// Whether the drive takes 48-bit addresses.
    pub has_lba48: bool,
    /// The most sectors READ MULTIPLE moves for one DRQ; 0 where there is no such command.
    pub max_multiple: u8,
    /// Whether a DMA mode is set: by the firmware, which also told the controller.
    pub has_dma: bool,
    /// Whether there is a FLUSH CACHE command.
    pub has_flush: bool,
}

/// Why a drive cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentifyError {
    /// Word 0 says that this is not an ATA device.
    NotAta,
    /// Word 49: no logical block addresses (a drive of the early nineties).
    NoLba,
    /// Words 60–61 or 100–103: no sectors, or more than 48 bits can address.
    SectorCount,
    /// Words 117–118: sectors neither of 512 bytes nor of a power of two up to 4096.
    SectorSize,
}

impl fmt::Display for IdentifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAta => "it is no ATA disk",
            Self::NoLba => "it has no logical block addresses",
            Self::SectorCount => "it says that it has no sectors, or too many",
            Self::SectorSize => "the size of its sectors is none that disks have",
        })
    }
}

/// Reads the 256 words of IDENTIFY DEVICE.
pub fn parse(words: &[u16; 256]) -> Result<Identity, IdentifyError> {
    if words[0] & 1 << 15 != 0 {
        return Err(IdentifyError::NotAta);
    }
    if words[49] & 1 << 9 == 0 {
        return Err(IdentifyError::NoLba);
    }
    // Words 83 and 106 hold only if their two top bits are 01.
    let is_83_valid = words[83] >> 14 == 1;
    let has_lba48 = is_83_valid && words[83] & 1 << 10 != 0;
    let lba28_count = u64::from(words[60]) | u64::from(words[61]) << 16;
    let sector_count = if has_lba48 {
        (0..4).fold(0, |sum, i| sum | u64::from(words[100 + i]) << (16 * i))
    } else {
        lba28_count
    };
    let limit = if has_lba48 { 1 << 48 } else { 1 << 28 };
    if sector_count == 0 || sector_count > limit {
        return Err(IdentifyError::SectorCount);
    }
    let mut sector_len_bytes = 512;
    if words[106] >> 14 == 1 && words[106] & 1 << 12 != 0 {
        let words_per_sector = u64::from(words[117]) | u64::from(words[118]) << 16;
        if !(256..=2048).contains(&words_per_sector) || !words_per_sector.is_power_of_two() {
            return Err(IdentifyError::SectorSize);
        }
        sector_len_bytes = 2 * words_per_sector as usize;
    }
    Ok(Identity {
        model: text(&words[27..47]),
        sector_count,
        sector_len_bytes,
        has_lba48,
        // Words 63 and 88: the modes that are set, multiword and Ultra DMA, in the high bytes.
        has_dma: words[49] & 1 << 8 != 0 && (words[63] >> 8 != 0 || words[88] >> 8 != 0),
        max_multiple: (words[47] & 0xFF) as u8,
        has_flush: is_83_valid && words[83] & (1 << 12 | 1 << 13) != 0,
    })
}

/// ATA strings hold two characters a word, the first in the high byte, and are padded with spaces.
fn text(words: &[u16]) -> String {
    let characters: String = words
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .map(|byte| {
            if (0x20..0x7F).contains(&byte) {
                char::from(byte)
            } else {
                ' '
            }
        })
        .collect();
    String::from(characters.trim())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{IdentifyError, parse};

    pub(crate) fn words(sector_count: u64) -> [u16; 256] {
        let mut words = [0; 256];
        for (i, pair) in b"ATMODEL 1           ".chunks(2).enumerate() {
            words[27 + i] = u16::from_be_bytes([pair[0], pair[1]]);
        }
        for word in &mut words[37..47] {
            *word = 0x2020;
        }
        words[47] = 0x8010;
        words[49] = 1 << 9 | 1 << 8;
        words[60] = sector_count.min(0x0FFF_FFFF) as u16;
        words[61] = (sector_count.min(0x0FFF_FFFF) >> 16) as u16;
        words[88] = 0x203F;
        words[83] = 1 << 14 | 1 << 13 | 1 << 12 | 1 << 10;
        for i in 0..4 {
            words[100 + i] = (sector_count >> (16 * i)) as u16;
        }
        words
    }

    #[test]
    fn a_drive_is_described() {
        let identity = parse(&words(0x1_2345_6789)).expect("valid");
        assert_eq!(identity.model, "ATMODEL 1");
        assert_eq!(identity.sector_count, 0x1_2345_6789);
        assert_eq!(identity.sector_len_bytes, 512);
        assert_eq!(identity.max_multiple, 16);
        assert!(identity.has_lba48 && identity.has_flush && identity.has_dma);
        let mut without_mode = words(9);
        without_mode[88] = 0x003F;
        assert!(!parse(&without_mode).expect("valid").has_dma);
    }

    #[test]
    fn without_48_bit_addresses_the_old_count_holds() {
        let mut w = words(1000);
        w[83] = 1 << 14;
        w[100] = 9;
        assert_eq!(parse(&w).expect("valid").sector_count, 1000);
    }

    #[test]
    fn senseless_answers_are_refused() {
        assert_eq!(parse(&[0xFFFF; 256]), Err(IdentifyError::NotAta));
        assert_eq!(parse(&[0; 256]), Err(IdentifyError::NoLba));
        assert_eq!(parse(&words(0)), Err(IdentifyError::SectorCount));
        assert_eq!(parse(&words(1 << 50)), Err(IdentifyError::SectorCount));
        let mut w = words(100);
        w[106] = 1 << 14 | 1 << 12;
        w[117] = 300;
        assert_eq!(parse(&w), Err(IdentifyError::SectorSize));
        w[117] = 2048;
        assert_eq!(parse(&w).expect("4096 bytes").sector_len_bytes, 4096);
    }
}
