//! Damaged images are written to: nothing panics, hangs, or eats memory.
//!
//! `EXT2_TEST_DAMAGE` multiplies how many images are tried.

mod common;

use std::cell::{Cell, RefCell};

use ext2::make::{Attributes, Builder, Options};
use ext2::{
    BlockDevice, Changes, DeviceError, Error, FileSystem, InodeNumber, MountOptions, NewAttributes,
    Time,
};

const BLOCK: usize = 1024;
/// Most calls to the device for one operation: several for each block of the image.
const CALLS_MAX: usize = 40_000;

struct Counting {
    image: RefCell<Vec<u8>>,
    calls: Cell<usize>,
}

impl Counting {
    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
        assert!(self.calls.get() < CALLS_MAX, "too many calls to the device");
    }
}

impl BlockDevice for &Counting {
    fn len_bytes(&self) -> u64 {
        self.image.len_bytes()
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.count();
        self.image.read(offset_bytes, buf)
    }
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        self.count();
        self.image.write(offset_bytes, buf)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) as usize % end
    }
}

/// `/dir`, `/dir/sub`, `/file` with double indirect blocks, links, and forty more files.
fn image() -> Vec<u8> {
    let mut builder = Builder::new(Options {
        block_size: 1024,
        size_bytes: Some(700 * 1024),
        inode_count: Some(96),
        ..Options::default()
    });
    let add = |builder: &mut Builder<'_>| -> Result<(), ext2::make::MakeError> {
        builder.add_directory("dir", Attributes::directory())?;
        builder.add_directory("dir/sub", Attributes::directory())?;
        builder.add_symlink("link", Attributes::symlink(), "dir/sub")?;
        builder.add_symlink("long", Attributes::symlink(), "t".repeat(70))?;
        for index in 0..40 {
            let name = format!("dir/{index:02}-{}", "n".repeat(40));
            builder.add_file(name, Attributes::file(), 5, b"12345".as_slice())?;
        }
        let content = common::Owned::new(vec![7; 300 * BLOCK]);
        builder.add_file("file", Attributes::file(), 300 * BLOCK as u64, content)
    };
    add(&mut builder).expect("add");
    let plan = builder.plan().expect("plan");
    let image = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&image).expect("write");
    image.into_inner()
}

/// Where metadata lies: superblock, descriptors, bitmaps, inodes, directories and indirect blocks.
fn metadata(image: &[u8]) -> Vec<usize> {
    let u32_at = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four"));
    let table = u32_at(2 * BLOCK + 8) as usize;
    let mut blocks: Vec<usize> = (1..table + 14).collect();
    for number in [2, 12, 13, 53, 54, 55, 56] {
        let inode = table * BLOCK + (number - 1) * 256;
        blocks.extend((0..15).map(|index| u32_at(inode + 40 + index * 4) as usize));
    }
    let end = image.len() / BLOCK;
    blocks.retain(|block| (1..end).contains(block));
    blocks
}

fn random_operation(disk: &mut FileSystem<&Counting>, chance: &mut Chance) -> Result<(), Error> {
    let names = [
        b"a".to_vec(),
        vec![b'l'; 250],
        b"sub".to_vec(),
        b"file".to_vec(),
        b"dir".to_vec(),
    ];
    let name = names[chance.below(names.len())].clone();
    let other = names[chance.below(names.len())].clone();
    let first = [2, 12, 13, 14, 53, 54, 55, 56, chance.below(100)];
    let number = InodeNumber(first[chance.below(first.len())] as u32);
    let second = InodeNumber(first[chance.below(first.len())] as u32);
    let attributes = NewAttributes::default();
    let offset = chance.below(330 * BLOCK) as u64;
    match chance.below(14) {
        0 => disk.create(number, &name, attributes).map(|_| ())?,
        1 => disk
            .create_directory(number, &name, attributes)
            .map(|_| ())?,
        2 => disk
            .create_symlink(number, &name, &[b't'; 90], attributes)
            .map(|_| ())?,
        3 => disk.link(number, &name, second)?,
        4 => disk.unlink(number, &name)?,
        5 => disk.remove_directory(number, &name)?,
        6 | 7 => disk.rename(number, &name, second, &other, true)?,
        8 => drop(disk.write(number, offset, &[9; 5000])?),
        9 => disk.set_len(number, offset)?,
        10 => {
            let now = Time {
                seconds: 5,
                nanoseconds: 0,
            };
            disk.set_time(now);
            disk.change(
                number,
                &Changes {
                    accessed: Some(now),
                    ..Changes::default()
                },
            )?;
        }
        11 => {
            disk.pin(number);
            disk.unlink(InodeNumber(2), &name)?;
            disk.write(number, offset, b"open")?;
            disk.unpin(number)?;
        }
        12 => disk.fsync(number)?,
        _ => disk.sync()?,
    }
    Ok(())
}

#[test]
fn writing_to_damage_ends_with_an_error_at_worst() {
    let factor = std::env::var("EXT2_TEST_DAMAGE");
    let factor: usize = factor.ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let clean = image();
    let metadata = metadata(&clean);
    let (mut mounted, mut done, mut damage_found) = (0, 0, 0);
    for seed in 1..=1500 * factor {
        let mut chance = Chance((seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut image = clean.clone();
        for _ in 0..=chance.below(6) {
            let at = metadata[chance.below(metadata.len())] * BLOCK + chance.below(BLOCK / 4) * 4;
            let value = match chance.below(4) {
                0 => chance.below(700) as u32,
                1 => 0,
                2 => u32::MAX,
                _ => chance.0 as u32,
            };
            if chance.below(2) == 0 {
                image[at..at + 4].copy_from_slice(&value.to_le_bytes());
            } else {
                image[at + chance.below(4)] = value as u8;
            }
        }
        if chance.below(3) == 0 {
            // With a list of orphans.
            image[BLOCK + 232] = chance.below(99) as u8;
        }
        let device = Counting {
            image: RefCell::new(image),
            calls: Cell::new(0),
        };
        let Ok(mut disk) = FileSystem::mount(&device, MountOptions::default()) else {
            continue;
        };
        mounted += 1;
        for _ in 0..40 {
            device.calls.set(0);
            match random_operation(&mut disk, &mut chance) {
                Ok(()) => done += 1,
                Err(Error::Corrupt { .. }) => damage_found += 1,
                Err(_) => {}
            }
        }
        device.calls.set(0);
        let _ = disk.unmount();
    }
    println!("{mounted} images mounted, {done} operations done, {damage_found} met damage");
    assert!(done > 1000 && damage_found > 100);
}
