//! What is done with an input: it damages a sound image and says what to do with that. Nothing may panic, hang or grow; the
//! file system ends as one that can be mounted.
//!
//! An input is a byte that chooses one of the images, patches (a place and some bytes), and operations.

use core::cell::RefCell;
use std::sync::LazyLock;

use ext2::make::{Attributes, Builder, Options};
use ext2::{Error, FileSystem, Inode, InodeNumber, MountOptions, NewAttributes};

/// Patches and operations of one input, at most.
const PATCHES_MAX: u8 = 32;
const OPERATIONS_MAX: usize = 64;

fn image(block_size: u32, revision: u32) -> Vec<u8> {
    let content: Vec<u8> = (0..300 * 1024u32)
        .map(|index| (index / 7) as u8 | 1)
        .collect();
    let mut builder = Builder::new(Options {
        block_size,
        revision,
        size_bytes: Some(768 * 1024),
        inode_count: Some(40),
        ..Options::default()
    });
    let mut add = || {
        builder.add_directory("dir", Attributes::directory())?;
        builder.add_directory("dir/sub", Attributes::directory())?;
        builder.add_file("dir/sub/deep", Attributes::file(), 4, b"deep".as_slice())?;
        builder.add_symlink("link", Attributes::symlink(), "dir/sub")?;
        builder.add_symlink("long-link", Attributes::symlink(), "t".repeat(70))?;
        builder.add_file("file", Attributes::file(), content.len() as u64, &*content)?;
        builder.add_hard_link("dir/same", "file")
    };
    add().expect("the image holds it");
    let plan = builder.plan().expect("the image holds it");
    let device = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&device).expect("memory does not fail");
    drop(content);
    device.into_inner()
}

static IMAGES: LazyLock<[Vec<u8>; 3]> =
    LazyLock::new(|| [image(1024, 1), image(4096, 1), image(1024, 0)]);

/// The input, byte for byte; zeros after its end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn word(&mut self) -> u32 {
        u32::from(self.short()) | u32::from(self.short()) << 16
    }
}

/// Places that matter more than others: superblock, descriptors, bitmaps, inodes, directories.
fn place(image: &[u8], input: &mut Input<'_>) -> usize {
    let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes"));
    let block_size = 1024usize << word(1048);
    let descriptors = if block_size == 1024 { 2048 } else { block_size };
    let table = word(descriptors + 8) as usize * block_size;
    let offset = usize::from(input.short());
    let at = match input.byte() % 6 {
        0 => 1024 + offset % 240,
        1 => descriptors + offset % 32,
        2 => word(descriptors) as usize * block_size + offset % 128,
        3 => table + 256 + offset % (24 * 256),
        4 => table + 12 * block_size + offset % (8 * block_size),
        _ => (offset << 4 | usize::from(input.byte())) % image.len(),
    };
    at.min(image.len() - 1)
}

/// Runs one input.
pub(crate) fn exercise(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choice = usize::from(input.byte());
    let mut damaged = IMAGES[choice % 3].clone();
    for _ in 0..input.byte() % PATCHES_MAX {
        let at = place(&IMAGES[choice % 3], &mut input);
        let len = usize::from(input.byte() % 4) + 1;
        for offset in 0..len {
            let value = input.byte();
            if let Some(byte) = damaged.get_mut(at + offset) {
                *byte = value;
            }
        }
    }
    let reading = MountOptions { read_only: true };
    if let Ok(disk) = FileSystem::mount(RefCell::new(damaged.clone()), reading) {
        read_all(&disk);
        let _ = disk.check();
    }
    let Ok(mut disk) = FileSystem::mount(RefCell::new(damaged), MountOptions::default()) else {
        return;
    };
    for _ in 0..OPERATIONS_MAX {
        if input.0.is_empty() {
            break;
        }
        // What goes wrong is an error; that is all that is asked.
        let _ = operation(&mut disk, &mut input);
    }
    if let Ok(device) = disk.unmount() {
        let disk = FileSystem::mount(device, reading).expect("what was unmounted can be mounted");
        read_all(&disk);
    }
}

fn read_all(disk: &FileSystem<RefCell<Vec<u8>>>) {
    let mut seen = 0;
    let _ = disk.walk(|_, inode: &Inode| {
        seen += 1;
        let mut buf = [0; 3000];
        let _ = disk.read(inode, 0, &mut buf);
        let _ = disk.read(inode, inode.size().saturating_sub(1000), &mut buf);
        let _ = disk.read_link(inode);
        if seen > 2000 {
            Err(Error::NotFound)
        } else {
            Ok(())
        }
    });
}

fn operation(disk: &mut FileSystem<RefCell<Vec<u8>>>, input: &mut Input<'_>) -> Result<(), Error> {
    let kind = input.byte();
    let directory = match input.byte() % 8 {
        0..3 => disk.root(),
        3 => disk.resolve(b"/dir")?.number(),
        4 => disk.resolve(b"/dir/sub")?.number(),
        5 => disk.resolve(b"/new1")?.number(),
        // Any inode at all.
        _ => InodeNumber(u32::from(input.byte())),
    };
    let mut name = || -> Vec<u8> {
        match input.byte() % 10 {
            0 => b"dir".to_vec(),
            1 => b"file".to_vec(),
            2 => b"link".to_vec(),
            3 => b"sub".to_vec(),
            4 => b"same".to_vec(),
            5 => vec![b'x'; usize::from(input.byte())],
            number => format!("new{}", number % 4).into_bytes(),
        }
    };
    let (one, other) = (name(), name());
    let attributes = NewAttributes::default();
    match kind % 12 {
        0 => disk.create(directory, &one, attributes).map(drop),
        1 => disk.create_directory(directory, &one, attributes).map(drop),
        2 => disk
            .create_symlink(directory, &one, &other, attributes)
            .map(drop),
        3 => {
            let target = disk.lookup(disk.root(), &other)?;
            disk.link(directory, &one, target).map(drop)
        }
        4 => disk.unlink(directory, &one),
        5 => disk.remove_directory(directory, &one),
        6 => disk.rename(directory, &one, disk.root(), &other, input.byte() & 1 != 0),
        7 | 8 => {
            let file = disk.lookup(directory, &one)?;
            let offset = u64::from(input.word()) >> (input.byte() % 32);
            let data = vec![input.byte(); usize::from(input.short() % 20_000)];
            disk.write(file, offset, &data).map(drop)
        }
        9 => {
            let file = disk.lookup(directory, &one)?;
            let len = u64::from(input.word()) >> (input.byte() % 32);
            disk.set_len(file, len)
        }
        10 => {
            let file = disk.lookup(directory, &one)?;
            disk.pin(file);
            let result = disk.unlink(directory, &one);
            disk.unpin(file).and(result)
        }
        _ => disk.sync(),
    }
}
