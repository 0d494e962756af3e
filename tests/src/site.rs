//! A folder to make a disk of.

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
