//! `disk mkdir`, `disk rm` and `disk mv`.

use super::list::DEPTH_MAX;
use super::options::Place;
use super::{change, image_of, join, path_of};
use crate::failure::Failure;
use crate::volume::{FileType, NewMetadata, Volume, shown};
use anyhow::{Context, Result, bail};
use std::time::{SystemTime, UNIX_EPOCH};

/// Permissions of directories that are made, and the time now.
pub(super) fn new_directory() -> NewMetadata {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    NewMetadata {
        permissions: 0o755,
        modified: now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
    }
}

pub(super) fn make(places: &[Place], partition: Option<u32>, with_parents: bool) -> Result<()> {
    change(image_of(places)?, partition, |volume| {
        for place in places {
            let path = path_of(place)?;
            if with_parents {
                make_all(volume, path)?;
            } else {
                volume.make_directory(path, new_directory())?;
            }
        }
        Ok(())
    })
}

fn make_all(volume: &mut dyn Volume, path: &[u8]) -> Result<()> {
    let mut way = Vec::new();
    for name in path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
    {
        way = join(&way, name);
        match volume.metadata(&way)? {
            None => volume.make_directory(&way, new_directory())?,
            Some(found) if matches!(found.kind, FileType::Directory | FileType::Symlink) => {}
            Some(_) => bail!("{} is not a directory", shown(&way)),
        }
    }
    Ok(())
}

pub(super) fn remove(places: &[Place], partition: Option<u32>, is_recursive: bool) -> Result<()> {
    change(image_of(places)?, partition, |volume| {
        for place in places {
            let path = path_of(place)?;
            let found = volume.metadata(path)?;
            let found = found.with_context(|| format!("there is no {}", shown(path)))?;
            if found.kind != FileType::Directory {
                volume.remove(path)?;
                continue;
            }
            if !is_recursive {
                let message = format!("{} is a directory", shown(path));
                bail!(Failure::new(
                    message,
                    "remove it and all that is in it with -r"
                ));
            }
            remove_all(volume, path, 0)?;
        }
        Ok(())
    })
}

fn remove_all(volume: &mut dyn Volume, path: &[u8], depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        bail!("{}: directories lie too deep in each other", shown(path));
    }
    for (name, metadata) in volume.list(path)? {
        let inner = join(path, &name);
        if metadata.kind == FileType::Directory {
            remove_all(volume, &inner, depth + 1)?;
        } else {
            volume.remove(&inner)?;
        }
    }
    // The root stays.
    if path.iter().any(|byte| *byte != b'/') {
        volume.remove(path)?;
    }
    Ok(())
}

pub(super) fn rename(from: &Place, to: &Place, partition: Option<u32>) -> Result<()> {
    let places = [from.clone(), to.clone()];
    let (from, to) = (path_of(from)?, path_of(to)?);
    change(image_of(&places)?, partition, |volume| {
        let found = volume.metadata(to)?;
        let is_directory = found.is_some_and(|found| found.kind == FileType::Directory);
        if !is_directory {
            return volume.rename(from, to);
        }
        let mut names = from.split(|byte| *byte == b'/');
        let name = names.rfind(|name| !name.is_empty());
        volume.rename(from, &join(to, name.context("/ cannot be moved")?))
    })
}
