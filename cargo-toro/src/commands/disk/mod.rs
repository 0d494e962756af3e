//! `cargo toro disk`: looks into images and changes them, without mounting them.

pub(crate) mod options;

mod change;
mod check;
mod copy;
mod list;

use crate::failure::Failure;
use crate::volume::device::Access;
use crate::volume::{self, Volume};
use anyhow::{Result, bail};
use options::{Action, Disk, Place};
use std::path::Path;

/// Does what is asked for; returns the exit code.
pub(super) fn run(options: &Disk) -> Result<u8> {
    match act(options) {
        // Who reads has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => Ok(0),
        result => result,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn act(options: &Disk) -> Result<u8> {
    let partition = options.partition;
    match &options.action {
        Action::Ls {
            place,
            long,
            recursive,
        } => list::list(place, partition, *long, *recursive)?,
        Action::Cat { places } => copy::print(places, partition)?,
        Action::Cp { places, recursive } => copy::copy(places, partition, *recursive)?,
        Action::Mkdir { places, parents } => change::make(places, partition, *parents)?,
        Action::Rm { places, recursive } => change::remove(places, partition, *recursive)?,
        Action::Mv { from, to } => change::rename(from, to, partition)?,
        Action::Info { image } => list::info(image, partition)?,
        Action::Fsck { image } => return check::check(image, partition),
    }
    Ok(0)
}

/// The path in an image that a place must have.
fn path_of(place: &Place) -> Result<&[u8]> {
    let Some(path) = &place.path else {
        let shown = place.file.display();
        let message = format!("{shown} is not a file in an image");
        bail!(Failure::new(
            message,
            format!("write it as IMAGE:/PATH, such as {shown}:/")
        ));
    };
    Ok(path)
}

/// The one image that all places are in.
fn image_of(places: &[Place]) -> Result<&Path> {
    let Some(first) = places.first() else {
        bail!("no file is named");
    };
    for place in places {
        path_of(place)?;
        if place.file != first.file {
            bail!(Failure::new(
                "the files are in different images",
                "name those of one image at a time"
            ));
        }
    }
    Ok(&first.file)
}

/// Changes a file system, and unmounts it whatever comes of it.
fn change(
    image: &Path,
    partition: Option<u32>,
    change: impl FnOnce(&mut dyn Volume) -> Result<()>,
) -> Result<()> {
    let mut volume = volume::open(image, partition, Access::Write)?;
    let result = change(&mut *volume);
    let finished = volume.finish();
    result.and(finished)
}

/// The path of a name in a directory.
fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let end = directory.iter().rposition(|byte| *byte != b'/');
    let directory = &directory[..end.map_or(0, |end| end + 1)];
    [directory, b"/", name].concat()
}
