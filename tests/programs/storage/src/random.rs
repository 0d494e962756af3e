//! Many things in any order: what came of each, and the tree that is left.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// A generator of numbers (Knuth's MMIX constants); the upper bits are good.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// One of a few paths, at most three levels deep.
    fn path(&mut self, folder: &Path) -> PathBuf {
        let mut path = folder.to_owned();
        for _ in 0..=self.below(3) {
            path.push(format!("n{}", self.below(7)));
        }
        path
    }
}

pub(crate) fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.below(256) as u8).collect()
}

pub(crate) fn run(folder: &Path, seed: u64, count: u64, has_links: bool) -> io::Result<()> {
    let mut random = Random(seed);
    let mut open: Vec<File> = Vec::new();
    for index in 0..count {
        let (what, result) = step(&mut random, folder, &mut open, has_links);
        match result {
            Ok(value) => println!("{index} {what}: {value}"),
            Err(error) => println!("{index} {what}: error {:?}", error.raw_os_error()),
        }
    }
    drop(open);
    tree(folder, folder, has_links)
}

fn step(
    random: &mut Random,
    folder: &Path,
    open: &mut Vec<File>,
    has_links: bool,
) -> (&'static str, io::Result<u64>) {
    let path = random.path(folder);
    let other = random.path(folder);
    match random.below(20) {
        0..=2 => {
            let len = random_len(random);
            (
                "write",
                fs::write(&path, content(random.0, len)).map(|()| len as u64),
            )
        }
        3 | 4 => ("mkdir", fs::create_dir(&path).map(|()| 0)),
        5 => ("unlink", fs::remove_file(&path).map(|()| 0)),
        6 => ("rmdir", fs::remove_dir(&path).map(|()| 0)),
        7 | 8 => ("rename", fs::rename(&path, &other).map(|()| 0)),
        9 if has_links => ("link", fs::hard_link(&path, &other).map(|()| 0)),
        10 if has_links => (
            "symlink",
            symlink(random.path(Path::new("")), &path).map(|()| 0),
        ),
        11 => {
            let (at, len) = (random.below(300_000), random_len(random));
            let file = OpenOptions::new().write(true).open(&path);
            let written = file.and_then(|file| file.write_at(&content(random.0, len), at));
            ("write_at", written.map(|len| len as u64))
        }
        12 => {
            let len = random.below(200_000);
            let file = OpenOptions::new().write(true).open(&path);
            (
                "set_len",
                file.and_then(|file| file.set_len(len)).map(|()| len),
            )
        }
        13 => ("read", fs::read(&path).map(|bytes| sum(&bytes))),
        14 => {
            let facts = fs::symlink_metadata(&path);
            (
                "stat",
                facts.map(|facts| if facts.is_dir() { 0 } else { facts.len() }),
            )
        }
        15 => {
            let file = OpenOptions::new().read(true).append(true).open(&path);
            (
                "open",
                file.map(|file| {
                    open.push(file);
                    open.len() as u64
                }),
            )
        }
        16 if !open.is_empty() => {
            let index = random.below(open.len() as u64) as usize;
            ("append", append(&mut open[index], &content(random.0, 5000)))
        }
        17 if open.len() > 3 => {
            let index = random.below(open.len() as u64) as usize;
            drop(open.swap_remove(index));
            ("close", Ok(0))
        }
        18 => (
            "sync",
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map(|()| 0),
        ),
        _ => (
            "list",
            fs::read_dir(&path).map(|entries| entries.count() as u64),
        ),
    }
}

/// Adds to a file, and sums up all of it.
fn append(file: &mut File, content: &[u8]) -> io::Result<u64> {
    io::Write::write_all(file, content)?;
    let mut bytes = vec![0; 400_000];
    let len = file.read_at(&mut bytes, 0)?;
    Ok(sum(&bytes[..len]))
}

fn random_len(random: &mut Random) -> usize {
    let most = [10, 1000, 10_000, 150_000][random.below(4) as usize];
    random.below(most) as usize
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(bytes.len() as u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    })
}

/// All that is there.
fn tree(root: &Path, folder: &Path, has_links: bool) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
    entries.retain(|entry| entry.file_name() != "lost+found");
    entries.sort_by_key(|entry| entry.file_name());
    let links = |facts: &fs::Metadata| if has_links { facts.nlink() } else { 1 };
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = path
            .strip_prefix(root)
            .map_err(io::Error::other)?
            .display()
            .to_string();
        if kind.is_dir() {
            println!("{name}/ {}", links(&entry.metadata()?));
            tree(root, &path, has_links)?;
        } else if kind.is_symlink() {
            println!("{name} -> {}", fs::read_link(&path)?.display());
        } else {
            println!(
                "{name} {} {:x}",
                links(&entry.metadata()?),
                sum(&fs::read(&path)?)
            );
        }
    }
    Ok(())
}
