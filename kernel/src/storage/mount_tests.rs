//! Mounting real ext2 images, sound and damaged, made by the crate [`ext2`] or by hand.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::block_cache::tests::MemoryDisk;
use super::disks::data_disks;
use super::mount::{MountRequest, mount_all};
use super::vfs::namespace::Namespace;
use super::vfs::tmpfs::Tmpfs;
use crate::devices::block::BlockDriver;

fn mount(requests: &[&str], disks: &[Vec<u8>]) -> Result<Namespace, alloc::string::String> {
    let drivers = disks
        .iter()
        .map(|disk| MemoryDisk::new(disk.clone()) as Arc<dyn BlockDriver>);
    let requests: Result<Vec<_>, _> = requests
        .iter()
        .map(|word| MountRequest::parse(word))
        .collect();
    let requests = requests.map_err(|error| error.to_string())?;
    mount_all(&requests, &data_disks(drivers, 0), || {
        Arc::new(Tmpfs::new(1 << 20))
    })
    .map_err(|error| error.to_string())
}

fn refusal(requests: &[&str], disks: &[Vec<u8>]) -> alloc::string::String {
    mount(requests, disks)
        .err()
        .unwrap_or_else(|| format!("{requests:?} was mounted"))
}

#[test]
fn what_cannot_be_mounted_is_refused_with_the_reason() {
    let empty = || vec![0; 1 << 20];
    let mut partitioned = empty();
    partitioned[450] = 0x83;
    partitioned[454..458].copy_from_slice(&100u32.to_le_bytes());
    partitioned[458..462].copy_from_slice(&200u32.to_le_bytes());
    partitioned[466] = 0x83;
    partitioned[470..474].copy_from_slice(&100u32.to_le_bytes());
    partitioned[474..478].copy_from_slice(&20_000u32.to_le_bytes());
    partitioned[510..512].copy_from_slice(&[0x55, 0xAA]);
    for (requests, disks, expected) in [
        (
            &["disk0:/"][..],
            vec![],
            "cannot mount disk0 at /: there is no such disk (0 data disks found)",
        ),
        (
            &["disk1:/"],
            vec![empty()],
            "cannot mount disk1 at /: there is no such disk (1 data disk found)",
        ),
        (
            &["disk0.1:/"],
            vec![empty()],
            "cannot mount disk0.1 at /: the disk has no partition table",
        ),
        (
            &["disk0.3:/"],
            vec![partitioned.clone()],
            "cannot mount disk0.3 at /: there is no such partition (there are: 1)",
        ),
        (
            &["disk0.2:/"],
            vec![partitioned.clone()],
            "cannot mount disk0.2 at /: partition 2 is not wholly on the disk",
        ),
        (
            &["disk0:/", "disk0.1:/x"],
            vec![empty()],
            "cannot mount disk0.1 at /x: it is mounted already",
        ),
        (
            &["disk:/"],
            vec![],
            "cannot mount \"disk:/\": expected diskN:/path or diskN.P:/path",
        ),
        (
            &["disk0.0:/"],
            vec![],
            "cannot mount \"disk0.0:/\": expected diskN:/path or diskN.P:/path",
        ),
        (
            &["disk0"],
            vec![],
            "cannot mount \"disk0\": expected diskN:/path or diskN.P:/path",
        ),
        (
            &["disk0:data"],
            vec![],
            "cannot mount \"disk0:data\": expected diskN:/path or diskN.P:/path",
        ),
    ] {
        assert_eq!(refusal(requests, &disks), expected);
    }
    // The field that is wrong, as the crate ext2 names it, and what could have been meant.
    let text = refusal(&["disk0:/data"], &[partitioned]);
    assert!(text.starts_with("cannot mount disk0 at /data: "), "{text}");
    assert!(
        text.contains("superblock") && text.contains("magic"),
        "{text}"
    );
    assert!(text.ends_with("(the disk has partitions: 1)"), "{text}");
}
