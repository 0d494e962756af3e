//! qcow2, version 3: QEMU, libvirt, KubeVirt, OpenStack (QEMU, docs/interop/qcow2.txt).

use super::{Fields, Raw, narrow, write_zeros};
use std::io::{self, Write};

const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// Entries of eight bytes in a cluster.
const ENTRIES: u64 = CLUSTER / 8;
/// References are counted in 16 bits.
const REFCOUNT_ORDER: u32 = 4;
const REFCOUNTS: u64 = CLUSTER / 2;
/// Bit 63 of an entry: the cluster has one reference, so it may be written in place.
const COPIED: u64 = 1 << 63;

/// Writes the disk. Clusters of zeros take no room.
pub(crate) fn write(raw: &Raw<'_>, output: &mut dyn Write) -> io::Result<()> {
    let filled = raw.filled_blocks(CLUSTER)?;
    let clusters = raw.len_bytes().div_ceil(CLUSTER);
    let l1_entries = clusters.div_ceil(ENTRIES);
    let l1_clusters = l1_entries.div_ceil(ENTRIES);
    let mut l2_tables: Vec<u64> = filled.iter().map(|cluster| cluster / ENTRIES).collect();
    l2_tables.dedup();

    // Header, refcount table, refcount blocks, L1 table, L2 tables, data. The references of the refcounts are counted too.
    let fixed = 1 + l1_clusters + l2_tables.len() as u64 + filled.len() as u64;
    let (mut table_clusters, mut blocks) = (1, 1);
    while blocks * REFCOUNTS < fixed + table_clusters + blocks {
        blocks += 1;
        table_clusters = blocks.div_ceil(ENTRIES);
    }
    let l1_at = 1 + table_clusters + blocks;
    let l2_at = l1_at + l1_clusters;
    let data_at = l2_at + l2_tables.len() as u64;
    let total = data_at + filled.len() as u64;

    let mut header = Fields::new(CLUSTER as usize);
    header.put(0, b"QFI\xfb");
    header.be32(4, 3);
    header.be32(20, CLUSTER_BITS);
    header.be64(24, raw.len_bytes());
    header.be32(36, narrow(l1_entries)?);
    header.be64(40, l1_at * CLUSTER);
    header.be64(48, CLUSTER);
    header.be32(56, narrow(table_clusters)?);
    header.be32(96, REFCOUNT_ORDER);
    header.be32(100, 104);
    output.write_all(&header.bytes)?;

    let block_offsets = (0..blocks).map(|block| (1 + table_clusters + block) * CLUSTER);
    write_entries(output, block_offsets, table_clusters * ENTRIES)?;
    for _ in 0..total {
        output.write_all(&1u16.to_be_bytes())?;
    }
    write_zeros(output, (blocks * REFCOUNTS - total) * 2)?;

    let mut l1 = vec![0; l1_entries as usize];
    for (place, table) in (l2_at..).zip(&l2_tables) {
        l1[*table as usize] = (place * CLUSTER) | COPIED;
    }
    write_entries(output, l1.into_iter(), l1_clusters * ENTRIES)?;
    let mut data = (data_at..).zip(&filled).peekable();
    for table in &l2_tables {
        let mut l2 = vec![0; ENTRIES as usize];
        while let Some((place, cluster)) =
            data.next_if(|(_, cluster)| **cluster / ENTRIES == *table)
        {
            l2[(cluster % ENTRIES) as usize] = (place * CLUSTER) | COPIED;
        }
        write_entries(output, l2.into_iter(), ENTRIES)?;
    }
    raw.copy_blocks(&filled, CLUSTER, output)
}

/// Writes a table, filled up with zeros to `len` entries.
fn write_entries(
    output: &mut dyn Write,
    entries: impl Iterator<Item = u64>,
    len: u64,
) -> io::Result<()> {
    let mut count = 0;
    for entry in entries {
        output.write_all(&entry.to_be_bytes())?;
        count += 1;
    }
    write_zeros(output, (len - count) * 8)
}
