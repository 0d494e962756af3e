//! Disks that are not what they should be: a message that names what is wrong, a status, never a fault or a hang.

use vm_tests::{Guest, Site, ext2_image};

/// Of the ext2 superblock, which is at byte 1024 ("The Second Extended File System", section 3.1).
const SUPERBLOCK: usize = 1024;
const BLOCKS_COUNT: usize = 4;
const FIRST_DATA_BLOCK: usize = 20;
const LOG_BLOCK_SIZE: usize = 24;
const BLOCKS_PER_GROUP: usize = 32;
const INODES_PER_GROUP: usize = 40;
const MAGIC: usize = 56;
const INODE_SIZE: usize = 88;
const FEATURES_NEEDED: usize = 96;

/// An ext2 disk that can be damaged.
struct Disk(Vec<u8>);

impl Disk {
    fn new() -> Self {
        let site = Site::new()
            .with("a.txt", "0123456789")
            .with("large", vec![1; 300_000])
            .with("sub/victim/b.txt", "below");
        Self(ext2_image(site.path()))
    }

    fn read(&self, at: usize) -> usize {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap()) as usize
    }

    fn write(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn with_superblock(self, field: usize, value: u32) -> Self {
        self.write(SUPERBLOCK + field, value)
    }

    fn block_bytes(&self) -> usize {
        1024 << self.read(SUPERBLOCK + LOG_BLOCK_SIZE)
    }

    /// Where the directory entry of that name is.
    fn entry(&self, name: &str) -> usize {
        let len = [name.len() as u8];
        let is_it = |at: &usize| {
            self.0[at + 6..at + 7] == len && self.0[at + 8..].starts_with(name.as_bytes())
        };
        let places = (0..self.0.len() - 8 - name.len()).step_by(4);
        places.into_iter().find(is_it).expect(name)
    }

    /// Where the inode of that number is.
    fn inode(&self, number: usize) -> usize {
        let per_group = self.read(SUPERBLOCK + INODES_PER_GROUP);
        let (group, index) = ((number - 1) / per_group, (number - 1) % per_group);
        let groups = (self.read(SUPERBLOCK + FIRST_DATA_BLOCK) + 1) * self.block_bytes();
        let table = self.read(groups + group * 32 + 8);
        let inode_bytes = self.read(SUPERBLOCK + INODE_SIZE) & 0xffff;
        table * self.block_bytes() + index * inode_bytes
    }

    fn inode_of(&self, name: &str) -> usize {
        self.inode(self.read(self.entry(name)))
    }

    /// Mounts it at `/` for the program `test-files`.
    fn guest(&self, args: &[&str]) -> Guest {
        Guest::new("test-files").args(args).disk(&self.0, "/")
    }

    /// It cannot be mounted, and the message holds `what`.
    #[track_caller]
    fn refused_for(self, what: &str) {
        let console = self.guest(&["tree", "/"]).run().with_status(70);
        assert!(console.contains("cannot mount disk0 at /: "), "{console}");
        assert!(console.contains(what), "{what:?} is missing: {console}");
        assert!(
            !console.contains("panicked") && !console.contains("fault"),
            "{console}"
        );
    }

    /// It is mounted, but what `args` do with it fails, and the kernel says `what`.
    #[track_caller]
    fn fails(self, args: &[&str], what: &str) {
        let console = self.guest(args).run().with_status(1);
        assert!(console.contains("Error: "), "{console}");
        assert!(console.contains(what), "{what:?} is missing: {console}");
        assert!(
            !console.contains("panicked") && !console.contains("fault"),
            "{console}"
        );
    }
}

#[test]
fn a_disk_without_a_file_system_is_refused() {
    Disk(vec![0; 1 << 20]).refused_for("magic");
    Disk(vec![0xff; 1 << 20]).refused_for("magic");
}

#[test]
fn a_disk_that_is_missing_or_too_small_is_refused() {
    Disk(vec![0; 512]).refused_for("");
    let guest = Guest::new("test-files").args(&["tree", "/"]);
    // The mount names a second disk, the machine has one.
    let console = guest
        .disk(&Disk::new().0, "/")
        .kernel_word("mount=disk1:/data")
        .run()
        .with_status(70);
    assert!(
        console.contains("cannot mount disk1 at /data: there is no such disk"),
        "{console}"
    );
}

#[test]
fn a_wrong_magic_number_is_named() {
    Disk::new()
        .with_superblock(MAGIC, 0x1234)
        .refused_for("magic");
}

#[test]
fn a_truncated_disk_is_refused() {
    let mut disk = Disk::new();
    disk.0.truncate(disk.0.len() / 1024 * 512);
    disk.refused_for("but the device only");
}

#[test]
fn impossible_numbers_of_the_superblock_are_named() {
    for (field, value, name) in [
        (LOG_BLOCK_SIZE, 30, "block"),
        (BLOCKS_COUNT, u32::MAX, "groups of 96 are 12582912"),
        (BLOCKS_COUNT, 0, "block"),
        (BLOCKS_PER_GROUP, 0, "per group"),
        (INODES_PER_GROUP, 0, "inodes per group"),
        (INODES_PER_GROUP, u32::MAX, "inodes per group"),
        (FIRST_DATA_BLOCK, u32::MAX, "first"),
        (INODE_SIZE, 3, "inode"),
    ] {
        Disk::new().with_superblock(field, value).refused_for(name);
    }
    Disk::new()
        .with_superblock(FEATURES_NEEDED, 1 << 30)
        .refused_for("features");
}

#[test]
fn a_group_whose_tables_lie_outside_is_refused() {
    let disk = Disk::new();
    let groups = (disk.read(SUPERBLOCK + FIRST_DATA_BLOCK) + 1) * disk.block_bytes();
    disk.write(groups + 8, u32::MAX).refused_for("group 0");
}

#[test]
fn a_file_that_cannot_be_so_large_fails_to_be_read() {
    let disk = Disk::new();
    let inode = disk.inode_of("large");
    // 1 EiB: the upper half of the size.
    disk.write(inode + 108, 1 << 28)
        .fails(&["sum", "/large"], "inode");
    // A block outside of the disk, the first of them.
    Disk::new()
        .write(inode + 40, u32::MAX)
        .fails(&["sum", "/large"], "block");
    // The block of pointers is outside.
    Disk::new()
        .write(inode + 40 + 12 * 4, u32::MAX)
        .fails(&["sum", "/large"], "block");
}

#[test]
fn a_folder_that_cannot_be_read_fails() {
    let disk = Disk::new();
    let entry = disk.entry("victim");
    // The length of the entry, with the length of the name kept.
    let words = disk.read(entry + 4) as u32;
    disk.write(entry + 4, words & 0xffff_0000 | 3)
        .fails(&["tree", "/sub"], "directory");
    // An inode that is not there.
    Disk::new()
        .write(entry, u32::MAX)
        .fails(&["tree", "/sub"], "inode");
}

/// Else it would only be said that there is no such disk.
#[test]
fn a_controller_that_nothing_drives_is_named_where_a_disk_is_missing() {
    for (device, name) in [("megasas", "(1000:0060)"), ("lsi53c895a", "(1000:0012)")] {
        let guest = Guest::new("test-storage").kernel_word("mount=disk0:/");
        guest.qemu(&["-device", device]).run().showing(
            70,
            &[
                "there is no driver for the disk controller ",
                name,
                "there is no such disk (0 data disks found)",
            ],
        );
    }
}

#[test]
fn a_loop_of_folders_ends() {
    let disk = Disk::new();
    let entry = disk.entry("victim");
    // The folder `sub` holds the root: `/sub/victim/sub/victim/…`.
    let disk = disk.write(entry, 2);
    let console = disk.guest(&["tree", "/"]).run().with_status(1);
    assert!(
        !console.contains("panicked") && !console.contains("fault"),
        "{console}"
    );
}
