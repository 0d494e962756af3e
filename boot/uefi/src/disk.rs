//! The kernel's partition: its header, the command line and the ELF (ARCHITECTURE.md, "The boot disk").

use crate::Failure;
use crate::efi::{Device, Firmware, PAGE_BYTES, Purpose};

/// Bytes in front of the ELF.
const ELF_AT: usize = 4096;
/// Where the command line starts in the header.
const COMMAND_LINE_AT: usize = 64;
/// Bytes of the header that its CRC covers; the CRC follows.
const CHECKED_BYTES: usize = 28;

/// What the partition holds.
pub(crate) struct Image {
    pub(crate) elf: &'static [u8],
    pub(crate) command_line: &'static [u8],
}

/// Lengths in bytes, from a header.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    command_line_len: usize,
    elf_len: usize,
}

/// Finds the partition beside the loader's own and reads all that it holds.
pub(crate) fn read(firmware: &Firmware) -> Result<Image, Failure> {
    let first = firmware.pages(1, Purpose::Data, u64::MAX)?;
    let device = firmware.find_beside(|device| has_header(device, first).then_some(device))?;
    let device = device.ok_or(Failure::NoPartition)?;
    let header = Header::read(first)?;

    let pages = (ELF_AT + header.elf_len).div_ceil(PAGE_BYTES);
    let is_there = device
        .len_bytes()
        .is_some_and(|len| len >= (pages * PAGE_BYTES) as u64);
    if !is_there {
        return Err(Failure::Header(
            "names an ELF that is longer than its partition",
        ));
    }
    let all = firmware.pages(pages, Purpose::Data, u64::from(u32::MAX))?;
    device.read(0, all)?;
    let all: &'static [u8] = all;
    Ok(Image {
        elf: &all[ELF_AT..][..header.elf_len],
        command_line: &all[COMMAND_LINE_AT..][..header.command_line_len],
    })
}

/// Reads the first page of a partition, and says whether a boot header is there.
fn has_header(device: Device, page: &mut [u8]) -> bool {
    let is_long_enough = device
        .len_bytes()
        .is_some_and(|len| len >= PAGE_BYTES as u64);
    is_long_enough && device.read(0, page).is_ok() && page.starts_with(b"TOROBOOT")
}

impl Header {
    /// Reads and checks a header; `page` has [`ELF_AT`] bytes.
    fn read(page: &[u8]) -> Result<Self, Failure> {
        let u32_at = |at: usize| {
            let bytes = page.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        if u32_at(8) != 1 {
            return Err(Failure::Header(
                "has a version that this loader does not know",
            ));
        }
        if crc(page.get(..CHECKED_BYTES).unwrap_or_default()) != u32_at(CHECKED_BYTES) {
            return Err(Failure::Header("is damaged"));
        }
        let header = Self {
            command_line_len: u32_at(12) as usize,
            elf_len: u32_at(16) as usize,
        };
        // As the BIOS loader, which counts on less than 2 GiB.
        let is_right = header.command_line_len <= ELF_AT - COMMAND_LINE_AT
            && u32_at(20) == 0
            && header.elf_len <= i32::MAX as usize;
        if !is_right {
            return Err(Failure::Header("is damaged"));
        }
        Ok(header)
    }
}

/// CRC-32 (IEEE 802.3), bit by bit: for 28 bytes a table does not pay.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ 0xedb8_8320 * (crc & 1)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{Failure, Header, crc};

    fn page(command_line_len: u32, elf_len: u64) -> Vec<u8> {
        let mut page = b"TOROBOOT\x01\0\0\0".to_vec();
        page.extend(command_line_len.to_le_bytes());
        page.extend(elf_len.to_le_bytes());
        page.extend([0; 4]);
        page.extend(crc(&page).to_le_bytes());
        page.resize(4096, 0);
        page
    }

    #[test]
    fn a_header_tells_two_lengths() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        let header = Header::read(&page(7, 5000)).unwrap();
        assert_eq!((header.command_line_len, header.elf_len), (7, 5000));
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        for page in [page(4033, 1), page(0, 1 << 31), page(0, 1 << 32)] {
            assert_eq!(Header::read(&page), Err(Failure::Header("is damaged")));
        }
        let mut damaged = page(0, 1);
        damaged[16] ^= 1;
        assert_eq!(Header::read(&damaged), Err(Failure::Header("is damaged")));
        let mut newer = page(0, 1);
        newer[8] = 2;
        assert!(Header::read(&newer).is_err());
        assert!(Header::read(&[]).is_err());
    }
}
