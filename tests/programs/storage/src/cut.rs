//! Work that is cut off at any point: what was said to be durable must be there afterwards.

use crate::random::{Random, content};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

fn name(folder: &Path, index: u64) -> PathBuf {
    folder.join(format!("d{}/durable {index}", index % 5))
}

fn len(index: u64) -> usize {
    (index * 7919 % 60_000) as usize
}

/// Makes files durable one after the other, with other work in between, until it is cut off.
pub(crate) fn work(folder: &Path, seed: u64) -> io::Result<()> {
    let mut random = Random(seed);
    for index in 0.. {
        fs::create_dir_all(folder.join(format!("d{}", index % 5)))?;
        // By another name first, as careful programs do; now and then in place.
        let (path, draft) = (name(folder, index), folder.join("draft"));
        let direct = random.below(3) == 0;
        let mut file = File::create(if direct { &path } else { &draft })?;
        file.write_all(&content(index, len(index)))?;
        file.sync_all()?;
        if !direct {
            fs::rename(&draft, &path)?;
            File::open(path.parent().unwrap_or(folder))?.sync_all()?;
        }
        println!("durable {index}.");
        // What is freed here is used again by what comes next.
        for _ in 0..random.below(6) {
            let other = folder.join(format!("other{}", random.below(9)));
            match random.below(4) {
                0 => drop(fs::remove_file(&other)),
                1 => drop(fs::rename(
                    &other,
                    folder.join(format!("other{}", random.below(9))),
                )),
                _ => fs::write(&other, vec![0xEE; random.below(40_000) as usize])?,
            }
        }
    }
    Ok(())
}

/// Looks whether the first `count` files are there, and whole.
pub(crate) fn verify(folder: &Path, count: u64) -> io::Result<()> {
    for index in 0..count {
        let found = fs::read(name(folder, index));
        match found {
            Ok(found) if found == content(index, len(index)) => {}
            Ok(found) => println!(
                "LOST {index}: {} of {} bytes, others",
                found.len(),
                len(index)
            ),
            Err(error) => println!("LOST {index}: {error}"),
        }
    }
    Ok(())
}
