//! Damaged images: each is refused with the field that is wrong, and none makes the crate panic,
//! hang or eat memory.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ext2::make::{Attributes, Builder, Options};
use ext2::{BlockDevice, DeviceError, Error, FileSystem, FileType, MountOptions};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const BLOCK: usize = 1024;
const SUPERBLOCK: usize = 1024;
const DESCRIPTORS: usize = 2 * BLOCK;
/// The inode of `/dir`, and what follows in the order of [`image`].
const DIR: usize = 12;
const FILE: usize = 13;
const LINK: usize = 14;
const SUB: usize = 16;

/// A small image: `/dir`, `/dir/sub`, `/dir/sub/deep`, a file with double indirect blocks, two
/// symbolic links.
fn image() -> Vec<u8> {
    let content: Vec<u8> = (0..300 * BLOCK).map(|index| (index / 7) as u8).collect();
    let target = "t".repeat(70);
    let mut builder = Builder::new(Options {
        block_size: 1024,
        size_bytes: Some(512 * 1024),
        inode_count: Some(32),
        ..Options::default()
    });
    let add = |builder: &mut Builder<'_>| -> Result<(), ext2::make::MakeError> {
        builder.add_directory("dir", Attributes::directory())?;
        builder.add_directory("dir/sub", Attributes::directory())?;
        builder.add_file("dir/sub/deep", Attributes::file(), 4, b"deep".as_slice())?;
        builder.add_symlink("link", Attributes::symlink(), "dir/sub")?;
        builder.add_symlink("long-link", Attributes::symlink(), &target)
    };
    add(&mut builder).expect("add");
    builder
        .add_file(
            "file",
            Attributes::file(),
            content.len() as u64,
            common::Owned::new(content),
        )
        .expect("add");
    let plan = builder.plan().expect("plan");
    let image = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&image).expect("write");
    image.into_inner()
}

fn u32_at(image: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(image[offset..offset + 4].try_into().expect("four bytes"))
}

fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Where a field of an inode lies.
fn inode_field(image: &[u8], number: usize, field: usize) -> usize {
    u32_at(image, DESCRIPTORS + 8) as usize * BLOCK + (number - 1) * 256 + field
}

/// Where the first block of an inode's content lies.
fn content(image: &[u8], number: usize) -> usize {
    u32_at(image, inode_field(image, number, 40)) as usize * BLOCK
}

/// Where the entry of a name lies in a directory.
fn entry(image: &[u8], directory: usize, name: &str) -> usize {
    let start = content(image, directory);
    let block = &image[start..start + BLOCK];
    start
        + block
            .windows(name.len())
            .position(|at| at == name.as_bytes())
            .expect("is there")
        - 8
}

/// Mounts, and visits and reads everything.
fn read_everything<D: BlockDevice>(device: D) -> Result<(), Error> {
    let disk = FileSystem::mount(device, MountOptions::default())?;
    let mut buf = vec![0; 64 * BLOCK];
    disk.walk(|path, inode| {
        match inode.file_type() {
            FileType::File => {
                for offset in [0, inode.size() / 2, inode.size().saturating_sub(1000)] {
                    disk.read(inode, offset, &mut buf)?;
                }
            }
            FileType::Symlink => drop(disk.read_link(inode)?),
            _ => {}
        }
        match disk.resolve(path) {
            // The names are right; a link may lead nowhere.
            Ok(_) | Err(Error::NotFound | Error::TooManySymlinks | Error::NotADirectory) => Ok(()),
            Err(error) => Err(error),
        }
    })
}

/// What reading everything says after some bytes were changed.
fn damage(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut image = image();
    change(&mut image);
    match read_everything(RefCell::new(image)) {
        Ok(()) => String::from("no error"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_undamaged_image_reads_without_error() {
    assert_eq!(damage(|_| {}), "no error");
}

#[test]
fn the_superblock_is_refused_with_the_wrong_field() {
    for (field, value, expected) in [
        (
            56,
            0,
            "magic is 0x0000, expected 0xEF53 (no ext2 file system here)",
        ),
        (76, 7, "revision is 7, supported is 0 or 1"),
        (24, 9, "block size is 1024 << 9 bytes"),
        (24, 3, "block size is 8192, supported is 1024, 2048 or 4096"),
        (
            20,
            0,
            "first data block is 0, must be 1 with blocks of 1024 bytes",
        ),
        (4, 1, "has 1 blocks"),
        (
            32,
            0,
            "blocks per group is 0, must be 256 to 8192 in steps of 8",
        ),
        (
            32,
            9000,
            "blocks per group is 9000, must be 256 to 8192 in steps of 8",
        ),
        (40, 0, "inodes per group is 0, must be 1 to 8192"),
        (40, 8193, "inodes per group is 8193, must be 1 to 8192"),
        (0, 99, "has 99 inodes, but 1 groups of 32 are 32"),
        (12, 513, "has 513 free blocks of 512"),
        (16, 33, "has 33 free inodes of 32"),
        (84, 5, "first inode is 5, must be 11 to 32"),
        (
            88,
            100,
            "inode size is 100, must be a power of two from 128 to 1024",
        ),
        (96, 0x42, "has features that ext2 has not: extents"),
        (
            96,
            0x4000_0206,
            "has features that ext2 has not: needs_recovery, flex_bg, unnamed flags 0x40000000",
        ),
        (
            96,
            0x6,
            "the journal must be replayed first (feature needs_recovery); e2fsck does it",
        ),
        (
            4,
            600,
            "the file system has 614400 bytes, but the device only 524288",
        ),
    ] {
        // Fields of two bytes are followed by one whose value does not matter here.
        let len = if matches!(field, 56 | 88) { 2 } else { 4 };
        let error = damage(|image| put(image, SUPERBLOCK + field, &u32::to_le_bytes(value)[..len]));
        assert_eq!(
            error,
            format!("superblock: {expected}"),
            "field {field} = {value}"
        );
    }
}

#[test]
fn an_image_cut_short_is_refused_with_both_sizes() {
    assert_eq!(
        damage(|image| image.truncate(300_000)),
        "superblock: the file system has 524288 bytes, but the device only 300000"
    );
    assert_eq!(
        damage(|image| image.truncate(100)),
        "superblock: the file system has 2048 bytes, but the device only 100"
    );
    assert_eq!(
        damage(Vec::clear),
        "superblock: the file system has 2048 bytes, but the device only 0"
    );
}

#[test]
fn a_group_that_leads_out_of_the_file_system_is_refused() {
    for (field, value, expected) in [
        (0, 0, "block bitmap at block 0 lies on the superblock"),
        (
            4,
            512,
            "inode bitmap at block 512 is beyond the end (512 blocks)",
        ),
        (
            8,
            999_999,
            "inode table at block 999999 is beyond the end (512 blocks)",
        ),
        (
            8,
            510,
            "inode table of 8 blocks at block 510 goes beyond the end (512 blocks)",
        ),
    ] {
        let error = damage(|image| put(image, DESCRIPTORS + field, &u32::to_le_bytes(value)));
        assert_eq!(error, format!("group 0: {expected}"));
    }
}

#[test]
fn an_inode_is_refused_with_the_wrong_field() {
    for (number, field, bytes, expected) in [
        (
            FILE,
            40,
            &77_777u32.to_le_bytes()[..],
            "block 77777 is beyond the end (512 blocks)",
        ),
        (
            FILE,
            88,
            &512u32.to_le_bytes(),
            "block 512 is beyond the end (512 blocks)",
        ),
        (FILE, 40, &1u32.to_le_bytes(), "block 1 is the superblock"),
        (
            FILE,
            108,
            &99u32.to_le_bytes(),
            "size is 425202069504, block pointers reach only 17247252480",
        ),
        (FILE, 26, &[0, 0], "is not in use (its link count is 0)"),
        (FILE, 0, &[0, 0], "mode is 0x0000, which is no file type"),
        (FILE, 34, &[8, 0], "flags say extents, which ext2 has not"),
        (
            DIR,
            4,
            &100u32.to_le_bytes(),
            "size of a directory is 100, which is not blocks of 1024",
        ),
        (
            DIR,
            4,
            &0u32.to_le_bytes(),
            "size of a directory is 0, which is not blocks of 1024",
        ),
        (
            DIR,
            4,
            &(1u32 << 30).to_le_bytes(),
            "size of a directory is 1073741824, more than the file system's 524288",
        ),
        (
            LINK,
            4,
            &60u32.to_le_bytes(),
            "size of a symbolic link is 60, must be 1 to 59",
        ),
        (LINK, 42, &[0], "symbolic link leads to \"di\\x00/sub\""),
        (
            LINK,
            4,
            &0u32.to_le_bytes(),
            "size of a symbolic link is 0, must be 1 to 59",
        ),
    ] {
        let error = damage(|image| {
            let offset = inode_field(image, number, field);
            put(image, offset, bytes);
        });
        assert_eq!(error, format!("inode {number}: {expected}"));
    }
}

#[test]
fn a_directory_is_refused_with_the_offset_of_the_wrong_entry() {
    // The third entry of /dir is at offset 24.
    for (field, bytes, expected) in [
        (4, &[3, 0][..], "entry at offset 24 has record length 3"),
        (4, &[0, 0], "entry at offset 24 has record length 0"),
        (4, &[14, 0], "entry at offset 24 has record length 14"),
        (
            4,
            &[0, 8],
            "entry at offset 24 has record length 2048, but its block ends after 1000",
        ),
        (
            6,
            &[0],
            "entry at offset 24 has a name of 0 bytes in a record of 1000",
        ),
        (
            0,
            &[33, 0, 0, 0],
            "entry at offset 24 leads to inode 33, beyond the end (32 inodes)",
        ),
        (
            0,
            &[8, 0, 0, 0],
            "entry at offset 24 leads to inode 8, which is reserved",
        ),
        (9, b"/", "entry at offset 24 has the name \"s/b\""),
        (
            7,
            &[1],
            "entry \"sub\" says regular file, but inode 16 is a directory",
        ),
    ] {
        let error = damage(|image| {
            let offset = entry(image, DIR, "sub") + field;
            put(image, offset, bytes);
        });
        assert_eq!(error, format!("directory inode 12: {expected}"));
    }
}

#[test]
fn a_directory_with_a_missing_block_is_refused() {
    assert_eq!(
        damage(|image| {
            let size = inode_field(image, DIR, 4);
            put(image, size, &2048u32.to_le_bytes());
        }),
        "directory inode 12: block 1 of the directory is missing"
    );
}

#[test]
fn a_loop_in_the_directory_tree_is_refused() {
    // /dir/sub/deep becomes a directory entry that leads back up.
    let loop_to = |number: u8| {
        damage(|image| {
            let offset = entry(image, SUB, "deep");
            put(image, offset, &[number]);
            put(image, offset + 7, &[2]);
        })
    };
    assert_eq!(
        loop_to(2),
        "directory inode 16: entry \"deep\" makes a loop back to inode 2"
    );
    assert_eq!(
        loop_to(16),
        "directory inode 16: entry \"deep\" makes a loop back to inode 16"
    );
    assert_eq!(
        loop_to(DIR as u8),
        "directory inode 16: entry \"deep\" makes a loop or a second way: \
         the parent of directory 12 is inode 2"
    );
}

#[test]
fn indirect_blocks_that_point_at_themselves_do_not_hang() {
    let error = damage(|image| {
        let double = inode_field(image, FILE, 40 + 13 * 4);
        let block = u32_at(image, double);
        let pointers: Vec<u8> = std::iter::repeat_n(block.to_le_bytes(), 256)
            .flatten()
            .collect();
        put(image, block as usize * BLOCK, &pointers);
    });
    assert_eq!(error, "no error");
}

#[test]
fn features_that_forbid_writing_are_kept_as_the_reason() {
    for (field, value, expected) in [
        (
            100,
            0x411u32,
            "has features unknown to ext2: uninit_bg, metadata_csum",
        ),
        (92, 0x4, "has a journal (ext3)"),
        (58, 0xFFFF_0002, "has recorded errors: run e2fsck"),
    ] {
        let mut image = image();
        put(&mut image, SUPERBLOCK + field, &value.to_le_bytes());
        let disk = FileSystem::mount(RefCell::new(image), MountOptions::default()).expect("mount");
        let reason = disk.facts().read_only.expect("it is read-only");
        assert_eq!(reason.to_string(), expected);
    }
}

#[test]
fn a_device_that_fails_is_named_with_its_code() {
    let device = Budget {
        bytes: image(),
        reads_left: Rc::new(Cell::new(3)),
    };
    assert_eq!(
        read_everything(device),
        Err(Error::Device(DeviceError(110)))
    );
}

/// A device that fails after a number of reads.
struct Budget {
    bytes: Vec<u8>,
    reads_left: Rc<Cell<u32>>,
}

impl BlockDevice for Budget {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        let left = self
            .reads_left
            .get()
            .checked_sub(1)
            .ok_or(DeviceError(110))?;
        self.reads_left.set(left);
        let start = offset_bytes as usize;
        let from = self
            .bytes
            .get(start..start + buf.len())
            .ok_or(DeviceError::OUT_OF_RANGE)?;
        buf.copy_from_slice(from);
        Ok(())
    }
    fn write(&self, _: u64, _: &[u8]) -> Result<(), DeviceError> {
        Err(DeviceError::IO)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// A few bytes somewhere in the tables of an image, mostly values that are at the edge of something.
fn damages() -> impl Strategy<Value = Vec<(prop::sample::Index, Vec<u8>)>> {
    let edge = prop::sample::select(vec![
        0,
        1,
        2,
        3,
        4,
        7,
        8,
        11,
        12,
        13,
        16,
        31,
        32,
        33,
        60,
        255,
        256,
        511,
        512,
        513,
        1023,
        1024,
        0x4000,
        0x8000,
        0xFFFF,
        0x1_0000,
        0x7FFF_FFFF,
        0x8000_0000,
        u32::MAX,
    ]);
    let value = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        (edge, 1..=4usize).prop_map(|(value, len)| value.to_le_bytes()[..len].to_vec()),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), value), 1..8)
}

/// Offsets in an image worth damaging: fields of the superblock, the first descriptor, the inodes
/// in use, directories and indirect blocks.
fn targets(image: &[u8]) -> Vec<usize> {
    let mut targets: Vec<usize> = (SUPERBLOCK..SUPERBLOCK + 104).collect();
    targets.extend(DESCRIPTORS..DESCRIPTORS + 12);
    for number in [2, 11, DIR, FILE, LINK, 15, SUB, 17] {
        let start = inode_field(image, number, 0);
        targets.extend(start..start + 148);
    }
    for number in [2, 11, DIR, SUB] {
        let start = content(image, number);
        targets.extend(start..start + 100);
    }
    for pointer in [12, 13] {
        let block = u32_at(image, inode_field(image, FILE, 40 + pointer * 4)) as usize;
        targets.extend(block * BLOCK..block * BLOCK + 64);
    }
    targets
}

#[test]
fn no_damage_makes_reading_panic_or_run_on() {
    let image = image();
    let targets = targets(&image);
    let config = ProptestConfig {
        cases: 20_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0xE2F5),
        ..ProptestConfig::default()
    };
    let outcomes = Cell::new((0, 0));
    proptest!(config, |(damages in damages())| {
        let mut bytes = image.clone();
        for (index, value) in &damages {
            let offset = *index.get(&targets);
            put(&mut bytes, offset, value);
        }
        let reads_left = Rc::new(Cell::new(100_000));
        let result = read_everything(Budget { bytes, reads_left: Rc::clone(&reads_left) });
        prop_assert!(reads_left.get() > 0, "100000 reads were not enough");
        prop_assert!(result != Err(Error::Device(DeviceError::OUT_OF_RANGE)));
        let (good, bad) = outcomes.get();
        outcomes.set(if result.is_ok() { (good + 1, bad) } else { (good, bad + 1) });
    });
    // Else the damages do not reach what matters, or nothing gets past mounting.
    let (good, bad) = outcomes.get();
    assert!(
        good > 1000 && bad > 1000,
        "{good} images read well, {bad} did not"
    );
}
