//! How much of its memory a guest has used.

use super::subject::Machinery;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The guest's memory as a sparse file: its blocks are the pages that the guest has ever used.
pub(super) struct GuestMemory {
    folder: tempfile::TempDir,
}

impl GuestMemory {
    /// A place in a file system that lives in memory, if the host has one.
    pub(super) fn new(scratch: &Path) -> Result<Self> {
        let shared = Path::new("/dev/shm");
        let folder = tempfile::Builder::new()
            .prefix("toro-bench")
            .tempdir_in(shared);
        let folder = folder.or_else(|_| tempfile::tempdir_in(scratch));
        Ok(Self {
            folder: folder.context("there is no place for the guest's memory")?,
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("memory")
    }

    /// The words that make QEMU use it.
    pub(super) fn arguments(&self, machinery: &Machinery) -> [std::ffi::OsString; 4] {
        let path = self.path().display().to_string().replace(',', ",,");
        let size = machinery.launch.memory.bytes;
        let backend = format!("memory-backend-file,id=memory,size={size},mem-path={path},share=on");
        [
            "-object".into(),
            backend.into(),
            "-machine".into(),
            "memory-backend=memory".into(),
        ]
    }

    /// Bytes of the pages that the guest has used since its start.
    pub(super) fn touched_bytes(&self) -> Result<u64> {
        let metadata = std::fs::metadata(self.path()).context("cannot see the guest's memory")?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Ok(metadata.blocks() * 512)
        }
        #[cfg(not(unix))]
        Ok(metadata.len())
    }
}
