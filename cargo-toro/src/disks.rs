//! Data disks: checks that images are there, makes ext2 images, empty or from folders, and keeps those of folders up to date.
//!
//! An image is made once. From then on the guest writes to it, so when the folder changes only what changed in the folder is
//! changed in the image, and what the guest wrote stays. What came from where is in a file beside the image (`state`).

mod state;
mod update;

use crate::failure::Failure;
use crate::folder::Listing;
use crate::settings::Disk;
use crate::shell::Shell;
use crate::volume::device::{Access, FileDevice};
use anyhow::{Result, bail};
use state::State;

pub use crate::mkfs::{Made, Request, make};

/// Makes `disk` ready to be used: made from its folder if it is missing, and brought up to date if the folder changed.
pub fn prepare(disk: &Disk, shell: &Shell) -> Result<()> {
    let (image, shown) = (&disk.image, disk.image.display());
    let request = Request {
        size: disk.size,
        ..Request::default()
    };
    let Some(from) = &disk.from else {
        return match disk.size {
            _ if image.is_file() => Ok(()),
            // An image without anything in it: nothing will ever have to be brought up to date.
            Some(size) if !image.exists() => {
                shell.status("Making", format_args!("{shown}, empty, of {size}"));
                crate::mkfs::write(image, &Listing::default(), &request, shell).map(drop)
            }
            _ if image.exists() => bail!(Failure::new(
                format!("the disk image {shown} is not a file"),
                "name a file; a device's content is copied into one by `dd if=DEVICE of=FILE`"
            )),
            _ => bail!(Failure::new(
                format!("there is no disk image {shown}"),
                "make one with `cargo toro mkfs IMAGE --from FOLDER`, or say its `size` to have an empty one made"
            )),
        };
    };
    let listing = crate::mkfs::list(from, image)?;
    if !image.exists() {
        shell.status("Making", format_args!("{shown} from {}", from.display()));
        crate::mkfs::write(image, &listing, &request, shell)?;
        return State::of_new(&listing, crate::mkfs::uuid(&listing, &request)).save(image);
    }
    let Some(uuid) = crate::mkfs::read_uuid(image) else {
        bail!(Failure::new(
            format!("{shown} is not an image that this tool made"),
            "move it away, or leave `from` away to use it as it is"
        ));
    };
    let state = State::load(image)?.filter(|state| state.is_of(uuid));
    let Some(state) = state else {
        if uuid == crate::mkfs::uuid(&listing, &request) {
            // Nothing changed since it was made.
            return Ok(());
        }
        let help = format!("to have it made anew, with what the guest wrote lost, delete {shown}");
        let message = format!(
            "{} changed, or its size did, and nothing says what {shown} was made from",
            from.display()
        );
        bail!(Failure::new(message, help));
    };
    if state.is_up_to_date(&listing) {
        return Ok(());
    }
    listing.tell_left_out(shell);
    let device = FileDevice::open(image, Access::Write)?;
    update::update(device, disk, &listing, state, shell)
}

/// Whether there is a FAT on one of these disks, so that the program's image needs the driver for it.
pub fn have_fat(disks: &[Disk]) -> bool {
    // What cannot be read is found out about when it is needed.
    let is_fat = |disk: &Disk| crate::volume::has_fat(&disk.image).unwrap_or(false);
    disks.iter().any(is_fat)
}

#[cfg(test)]
mod tests;
