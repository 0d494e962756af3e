//! Disks in the formats of hypervisors, made of a raw disk.
//!
//! One file a format, each named for the variant that the product imports as it is. Writers are given a [`Raw`] disk and write from the
//! first byte to the last, so their output can go anywhere. Equal disks give equal files: what a format wants to be unique or dated is
//! made of the content.

mod ova;
mod qcow2;
mod stream_optimized;
#[cfg(test)]
mod tests;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

pub(crate) use ova::Appliance;
pub(crate) use qcow2::write as write_qcow2;
pub(crate) use stream_optimized::write as write_stream_optimized;
pub(crate) use vdi::write as write_vdi;
pub(crate) use vhd::write as write_vhd;
pub(crate) use vhdx::write as write_vhdx;
pub(crate) use vmdk::write as write_vmdk;

/// Disks have a multiple of this length: some hypervisors and clouds refuse others.
const STEP_BYTES: u64 = 1 << 20;
const SECTOR_BYTES: u64 = 512;

/// A raw disk. Its length is rounded up to whole mebibytes; what is beyond its content is zeros.
pub(crate) struct Raw<'a> {
    content: Content<'a>,
    content_bytes: u64,
}

enum Content<'a> {
    Memory(&'a [u8]),
    File(&'a File),
}

impl<'a> Raw<'a> {
    /// A disk in memory.
    pub(crate) fn memory(content: &'a [u8]) -> Self {
        Self {
            content_bytes: content.len() as u64,
            content: Content::Memory(content),
        }
    }

    /// A disk in a file.
    pub(crate) fn file(file: &'a File) -> io::Result<Self> {
        Ok(Self {
            content_bytes: file.metadata()?.len(),
            content: Content::File(file),
        })
    }

    /// Its length in bytes.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.content_bytes.max(1).next_multiple_of(STEP_BYTES)
    }

    /// Reads from `offset` on, zeros beyond the content.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let there = self.content_bytes.saturating_sub(offset);
        let there = usize::try_from(there)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let (head, tail) = buffer.split_at_mut(there);
        tail.fill(0);
        if head.is_empty() {
            return Ok(());
        }
        match self.content {
            Content::Memory(content) => {
                // The content is in memory, so its offsets are.
                let start = offset as usize;
                head.copy_from_slice(&content[start..start + there]);
                Ok(())
            }
            Content::File(mut file) => {
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(head)
            }
        }
    }

    /// The blocks of `block_bytes` in which there is anything but zeros, by number.
    fn filled_blocks(&self, block_bytes: u64) -> io::Result<Vec<u64>> {
        let mut block = vec![0; block_bytes as usize];
        let count = self.content_bytes.div_ceil(block_bytes);
        let mut filled = Vec::new();
        for index in 0..count {
            self.read(index * block_bytes, &mut block)?;
            if block.iter().any(|&byte| byte != 0) {
                filled.push(index);
            }
        }
        Ok(filled)
    }

    /// Writes the blocks of `block_bytes` with these numbers, one after the other.
    fn copy_blocks(
        &self,
        blocks: &[u64],
        block_bytes: u64,
        output: &mut dyn Write,
    ) -> io::Result<()> {
        let mut block = vec![0; block_bytes as usize];
        for index in blocks {
            self.read(index * block_bytes, &mut block)?;
            output.write_all(&block)?;
        }
        Ok(())
    }

    /// An identifier made of the content (RFC 9562, version 8); another `purpose` gives another one.
    fn uuid(&self, purpose: &str) -> io::Result<[u8; 16]> {
        let mut hashers = [0, 1, 2, 3].map(|seed: u32| {
            let mut hasher = crc32fast::Hasher::new_with_initial(seed);
            hasher.update(&seed.to_le_bytes());
            hasher.update(purpose.as_bytes());
            hasher
        });
        let mut block = vec![0; STEP_BYTES as usize];
        for index in 0..self.len_bytes() / STEP_BYTES {
            self.read(index * STEP_BYTES, &mut block)?;
            // A checksum is linear, so that each hasher has to see something of its own.
            let sum = crc32fast::hash(&block);
            for (hasher, factor) in
                hashers
                    .iter_mut()
                    .zip([1u32, 0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D])
            {
                hasher.update(
                    &sum.wrapping_mul(factor)
                        .rotate_left(factor % 31)
                        .to_le_bytes(),
                );
            }
        }
        let mut uuid = [0; 16];
        for (part, hasher) in uuid.chunks_exact_mut(4).zip(hashers) {
            part.copy_from_slice(&hasher.finalize().to_le_bytes());
        }
        uuid[6] = uuid[6] & 0x0F | 0x80;
        uuid[8] = uuid[8] & 0x3F | 0x80;
        Ok(uuid)
    }
}

/// A structure of a format under construction: fields at their offsets.
struct Fields {
    bytes: Vec<u8>,
}

impl Fields {
    /// `len` bytes of zeros.
    fn new(len: usize) -> Self {
        Self {
            bytes: vec![0; len],
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn le16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_le_bytes());
    }

    fn le32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    fn le64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn be16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_be_bytes());
    }

    fn be32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_be_bytes());
    }

    fn be64(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_be_bytes());
    }
}

/// Writes the disk as it is, its length rounded up.
pub(crate) fn write_raw(raw: &Raw<'_>, output: &mut dyn Write) -> io::Result<()> {
    let steps: Vec<u64> = (0..raw.len_bytes() / STEP_BYTES).collect();
    raw.copy_blocks(&steps, STEP_BYTES, output)
}

/// Writes `len` zeros.
fn write_zeros(output: &mut dyn Write, len: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(len), output).map(drop)
}

/// A number that a format has fewer bits for.
fn narrow(value: u64) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| io::Error::other("the disk is too large for this format"))
}
