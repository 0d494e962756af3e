//! Folders that go into the image, so that a program has files without a disk: read from the host, ready for the hold
//! (`image/hold.rs`; ARCHITECTURE.md, "The hold").

use crate::failure::Failure;
use crate::folder::Listing;
use crate::settings::Embed;
use anyhow::{Context, Result, bail};
use ext2::FileType;
use ext2::make::Attributes;

/// A file, directory or symbolic link of the image.
#[derive(Debug, PartialEq, Eq)]
pub struct Object {
    /// Its path in the guest: absolute, without a slash at the end.
    pub path: Vec<u8>,
    /// `st_mode`: type and permissions.
    pub mode: u32,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
    /// The bytes of a file, the target of a link; empty for a directory.
    pub content: Vec<u8>,
}

/// Everything that is embedded in an image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Embedded {
    /// Where the folders are in the guest, in byte order.
    pub mounts: Vec<String>,
    /// What is in them and they themselves, in byte order of path, so that a directory comes before what is in it.
    pub objects: Vec<Object>,
}

/// `st_mode` of something (inode(7) of the Linux manual pages).
fn mode(kind: FileType, attributes: &Attributes) -> u32 {
    let kind = match kind {
        FileType::Directory => 0o040_000,
        FileType::Symlink => 0o120_000,
        _ => 0o100_000,
    };
    kind | u32::from(attributes.permissions)
}

impl Embedded {
    /// Reads folders. What is no file, directory or link is an error.
    pub fn read(embeds: &[Embed]) -> Result<Self> {
        let mut embedded = Self::default();
        for embed in embeds {
            let folder = embed.folder.display();
            if !embed.folder.is_dir() {
                let message = format!("there is no folder {folder} to embed at {}", embed.path);
                bail!(Failure::new(message, "make the folder, or name another"));
            }
            embedded
                .add(embed)
                .with_context(|| format!("cannot embed {folder}"))?;
        }
        embedded.mounts.sort_unstable();
        embedded
            .objects
            .sort_unstable_by(|one, other| one.path.cmp(&other.path));
        Ok(embedded)
    }

    fn add(&mut self, embed: &Embed) -> Result<()> {
        let listing = Listing::read(&embed.folder)?;
        if let Some(other) = listing.left_out.first() {
            bail!("{} is no file, folder or link", other.display());
        }
        self.mounts.push(embed.path.clone());
        self.objects.push(Object {
            path: embed.path.clone().into_bytes(),
            mode: mode(FileType::Directory, &Attributes::directory()),
            modified: 0,
            content: Vec::new(),
        });
        for entry in &listing.entries {
            let content = match entry.kind {
                FileType::Directory => Vec::new(),
                FileType::Symlink => entry.target()?,
                _ => std::fs::read(&entry.path)
                    .with_context(|| format!("cannot read {}", entry.path.display()))?,
            };
            // A directory's own time says when a file was last put into it on this host, nothing about the content.
            let is_directory = entry.kind == FileType::Directory;
            self.objects.push(Object {
                path: [embed.path.as_bytes(), b"/", &entry.name].concat(),
                mode: mode(entry.kind, &entry.attributes),
                modified: if is_directory {
                    0
                } else {
                    entry.attributes.modified
                },
                content,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_in_byte_order_with_directories_first() {
        let home = tempfile::tempdir().unwrap();
        let site = home.path().join("site");
        std::fs::create_dir_all(site.join("a")).unwrap();
        std::fs::write(site.join("a/index.html"), "hello").unwrap();
        std::fs::write(site.join("a-b"), "").unwrap();
        let embed = |folder: &str, path: &str| Embed {
            folder: home.path().join(folder),
            path: path.into(),
        };
        let read = || {
            let embeds = [embed("site", "/www"), embed("site/a", "/a")];
            Embedded::read(&embeds).unwrap()
        };
        let found = read();
        assert_eq!(found.mounts, ["/a", "/www"]);
        let paths: Vec<_> = found.objects.iter().map(|object| &*object.path).collect();
        let expected: [&[u8]; 6] = [
            b"/a",
            b"/a/index.html",
            b"/www",
            b"/www/a",
            b"/www/a-b",
            b"/www/a/index.html",
        ];
        assert_eq!(paths, expected);
        assert_eq!(found.objects[5].content, b"hello");
        assert_eq!(found.objects[5].mode & 0o170_000, 0o100_000);
        assert_eq!(found.objects[3].mode & 0o170_000, 0o040_000);
        assert_eq!(found, read());
        let missing = Embedded::read(&[embed("none", "/none")]).unwrap_err();
        assert!(missing.to_string().starts_with("there is no folder "));
    }
}
