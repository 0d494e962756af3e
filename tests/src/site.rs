//! A folder to make a disk of.

use crate::program::QUIET;
use cargo_toro::disks;
use std::path::Path;
use tempfile::TempDir;

/// A temporary folder.
#[derive(Debug)]
pub struct Site(TempDir);

impl Site {
    /// An empty folder.
    #[expect(clippy::new_without_default, reason = "it makes a folder on the disk")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// With a file at `path`, whose folders are made.
    pub fn with(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("folders");
        }
        std::fs::write(path, content).expect("a file");
        self
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Makes an ext2 image of what is in `folder`.
pub(crate) fn make_image(folder: &Path, image: &Path) {
    let request = disks::Request::default();
    disks::make(image, folder, &request, &QUIET).expect("an ext2 image");
}

/// The content of an ext2 image of what is in `folder`.
pub fn ext2_image(folder: &Path) -> Vec<u8> {
    let home = tempfile::tempdir().expect("a folder");
    let image = home.path().join("disk.img");
    make_image(folder, &image);
    std::fs::read(&image).expect("the image")
}
