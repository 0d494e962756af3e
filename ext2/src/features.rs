//! Feature flags of the superblock and their names ("Superblock Structure", `s_feature_*`; newer
//! names from Linux, Documentation/filesystems/ext4/super.rst).
//!
//! Compatible features that are unknown can be ignored; of the read-only ones an unknown one
//! forbids writing; of the incompatible ones, mounting.

use core::fmt;

/// The file system has a journal (compatible).
pub(crate) const COMPATIBLE_JOURNAL: u32 = 0x4;
/// Backups of the superblock only in two groups that it names (compatible).
pub(crate) const COMPATIBLE_SPARSE_SUPER2: u32 = 0x200;
/// Directory entries carry the type of their inode (incompatible).
pub(crate) const INCOMPATIBLE_FILETYPE: u32 = 0x2;
/// The journal has to be replayed first (incompatible).
pub(crate) const INCOMPATIBLE_RECOVER: u32 = 0x4;
/// Backups of the superblock only in some groups (read-only).
pub(crate) const READ_ONLY_SPARSE_SUPER: u32 = 0x1;
/// A file of 2 GiB or more is there (read-only).
pub(crate) const READ_ONLY_LARGE_FILE: u32 = 0x2;
/// Hashed directories, never used in this way (read-only).
const READ_ONLY_BTREE_DIR: u32 = 0x4;

/// Incompatible features that this crate can read.
pub(crate) const INCOMPATIBLE_KNOWN: u32 = INCOMPATIBLE_FILETYPE;
/// Read-only-compatible features that this crate can keep up when writing.
pub(crate) const READ_ONLY_KNOWN: u32 =
    READ_ONLY_SPARSE_SUPER | READ_ONLY_LARGE_FILE | READ_ONLY_BTREE_DIR;

const INCOMPATIBLE_NAMES: &[(u32, &str)] = &[
    (0x1, "compression"),
    (0x2, "filetype"),
    (0x4, "needs_recovery"),
    (0x8, "journal_dev"),
    (0x10, "meta_bg"),
    (0x40, "extents"),
    (0x80, "64bit"),
    (0x100, "mmp"),
    (0x200, "flex_bg"),
    (0x400, "ea_inode"),
    (0x1000, "dirdata"),
    (0x2000, "metadata_csum_seed"),
    (0x4000, "large_dir"),
    (0x8000, "inline_data"),
    (0x1_0000, "encrypt"),
    (0x2_0000, "casefold"),
];

const READ_ONLY_NAMES: &[(u32, &str)] = &[
    (0x1, "sparse_super"),
    (0x2, "large_file"),
    (0x4, "btree_dir"),
    (0x8, "huge_file"),
    (0x10, "uninit_bg"),
    (0x20, "dir_nlink"),
    (0x40, "extra_isize"),
    (0x80, "snapshot"),
    (0x100, "quota"),
    (0x200, "bigalloc"),
    (0x400, "metadata_csum"),
    (0x800, "replica"),
    (0x1000, "read-only"),
    (0x2000, "project"),
    (0x4000, "shared_blocks"),
    (0x8000, "verity"),
    (0x1_0000, "orphan_present"),
];

/// Incompatible feature flags; displayed as their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncompatibleFeatures(pub u32);

/// Read-only-compatible feature flags; displayed as their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOnlyFeatures(pub u32);

impl fmt::Display for IncompatibleFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, self.0, INCOMPATIBLE_NAMES)
    }
}

impl fmt::Display for ReadOnlyFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_names(f, self.0, READ_ONLY_NAMES)
    }
}

fn write_names(
    f: &mut fmt::Formatter<'_>,
    flags: u32,
    names: &[(u32, &'static str)],
) -> fmt::Result {
    let mut separator = "";
    let mut unnamed = flags;
    for (flag, name) in names.iter().filter(|(flag, _)| flags & flag != 0) {
        write!(f, "{separator}{name}")?;
        separator = ", ";
        unnamed &= !flag;
    }
    if unnamed != 0 {
        write!(f, "{separator}unnamed flags {unnamed:#x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{INCOMPATIBLE_NAMES, IncompatibleFeatures, READ_ONLY_NAMES};
    use alloc::string::ToString;

    #[test]
    fn every_flag_has_one_bit_and_one_name() {
        for names in [INCOMPATIBLE_NAMES, READ_ONLY_NAMES] {
            let all = names.iter().fold(0, |all, (flag, name)| {
                assert!(flag.is_power_of_two() && all & flag == 0, "{name}");
                all | flag
            });
            assert_eq!(all.count_ones() as usize, names.len());
        }
    }

    #[test]
    fn flags_are_shown_by_name_and_the_rest_as_a_number() {
        assert_eq!(IncompatibleFeatures(0x40).to_string(), "extents");
        assert_eq!(
            IncompatibleFeatures(0x8000_0011).to_string(),
            "compression, meta_bg, unnamed flags 0x80000000"
        );
        assert_eq!(IncompatibleFeatures(0).to_string(), "");
    }
}
