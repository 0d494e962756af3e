//! Which version of a changed block goes to the disk in which phase of a write-back: what may be
//! there already, beside what must still be as it was. `writeback.rs` says why.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::buffers::{Buffer, Kind};
use crate::bytes::{put, u16_at, u32_at};
use crate::numbered::Numbered;
use crate::order::Order;
use crate::records::{Record, coalesce, needed, records, set_inode, set_len};

/// What a device writes as a whole.
const SECTOR: usize = 512;

/// A phase of a write-back. Each is on the medium before the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// What nothing leads to yet, and what may be too much: new blocks, bits in bitmaps, additional
    /// links; and names of new inodes that appear by one write within a sector.
    Prepare,
    /// What leads there: files that grew or became shorter, the other new entries, and new inodes by
    /// level: [`Order`].
    Link(u32),
    /// Entries that lead elsewhere now, such as the `..` of a directory that moved; inodes that go, by
    /// level.
    Replace(u32),
    /// Entries that go, and inodes that lost their names by the phase before.
    Unlink,
    /// Links that go.
    Drop,
}

/// What is known of inodes beyond their table: see `write_state.rs`.
pub(crate) struct Context<'a> {
    pub(crate) holds: &'a Numbered<u16>,
    pub(crate) orphans: &'a BTreeSet<u32>,
    pub(crate) order: &'a Order,
    pub(crate) inode_size: usize,
}

/// The version of a block for a phase, if it has to be written in it.
pub(crate) fn version<'a>(
    buffer: &'a mut Buffer,
    phase: Phase,
    context: &Context<'_>,
) -> Option<Cow<'a, [u8]>> {
    if buffer.is_fresh {
        return (phase == Phase::Prepare).then_some(Cow::Borrowed(&buffer.memory));
    }
    let disk = buffer.disk.as_ref()?;
    let whole_in = match buffer.kind {
        Kind::Bitmap => Phase::Prepare,
        Kind::Pointers => Phase::Link(0),
        Kind::Attributes => Phase::Unlink,
        Kind::Directory => {
            if phase == Phase::Unlink && buffer.memory != *disk {
                coalesce(&mut buffer.memory);
            }
            let is_early = |number| context.order.early.contains(&number);
            let version = directory(&buffer.memory, disk, phase, &is_early);
            return (version.as_ref() != disk.as_slice()).then_some(version);
        }
        Kind::Inodes(first) => {
            let version = inodes(&buffer.memory, disk, first, phase, context);
            return (version != *disk).then_some(Cow::Owned(version));
        }
    };
    (phase == whole_in).then_some(Cow::Borrowed(&buffer.memory))
}

/// The version of a block of directory entries. In memory its chain has all records that are on the
/// disk, and more: until the records before them are made shorter, those are out of sight.
fn directory<'a>(
    memory: &'a [u8],
    disk: &[u8],
    phase: Phase,
    is_early: &dyn Fn(u32) -> bool,
) -> Cow<'a, [u8]> {
    if phase >= Phase::Unlink {
        return Cow::Borrowed(memory);
    }
    let mut version = memory.to_vec();
    let early = if phase == Phase::Prepare {
        early_offsets(memory, disk, is_early)
    } else {
        Vec::new()
    };
    for record in records(disk).flatten() {
        if phase == Phase::Prepare && early.binary_search(&record.offset).is_err() {
            set_inode(&mut version, record.offset, record.inode);
        }
        let is_removed = u32_at(memory, record.offset) == 0;
        if record.inode != 0 && (phase < Phase::Replace(0) || is_removed) {
            set_inode(&mut version, record.offset, record.inode);
            let rest = record.offset.saturating_add(6);
            let header = disk.get(rest..rest.saturating_add(2)).unwrap_or_default();
            put(&mut version, rest, header);
        }
    }
    if phase == Phase::Prepare {
        let mut shown: Vec<usize> = records(disk).flatten().map(|old| old.offset).collect();
        for offset in early {
            if let Err(place) = shown.binary_search(&offset) {
                shown.insert(place, offset);
            }
        }
        let ends = shown.iter().copied().skip(1).chain([memory.len()]);
        for (offset, end) in shown.iter().zip(ends) {
            set_len(&mut version, *offset, end.saturating_sub(*offset));
        }
    }
    Cow::Owned(version)
}

/// Where the entries of new inodes are that may be on the disk at any time: they lie, with the header
/// before that makes room for them, in one sector, so they appear whole. In ascending order.
pub(crate) fn early_offsets(
    memory: &[u8],
    disk: &[u8],
    is_early: &dyn Fn(u32) -> bool,
) -> Vec<usize> {
    let sector = |offset: usize| offset.checked_div(SECTOR);
    let fits = |record: &Record, start: usize| {
        let end = record.offset.saturating_add(needed(record.name_len));
        is_early(record.inode) && sector(start) == sector(end.saturating_sub(1))
    };
    let mut on_disk = records(disk).flatten().peekable();
    let mut early = Vec::new();
    // The last record that the disk shows.
    let mut before = None;
    for record in records(memory).flatten() {
        while on_disk.next_if(|old| old.offset < record.offset).is_some() {}
        let old = on_disk.next_if(|old| old.offset == record.offset);
        let comes_early = match (old, before) {
            (Some(old), _) => old.inode == 0 && fits(&record, record.offset),
            (None, Some(before)) => fits(&record, before),
            (None, None) => false,
        };
        if comes_early {
            early.push(record.offset);
        }
        if comes_early || old.is_some() {
            before = Some(record.offset);
        }
    }
    early
}

/// The version of a block of an inode table. Inodes do not cross sectors, so each changes as one.
fn inodes(memory: &[u8], disk: &[u8], first: u32, phase: Phase, context: &Context<'_>) -> Vec<u8> {
    let size = context.inode_size.max(1);
    let mut version = Vec::with_capacity(memory.len());
    for ((new, old), number) in memory.chunks(size).zip(disk.chunks(size)).zip(first..) {
        let hold = context.holds.get(number).copied();
        // What was renamed may look as before, if that took no time, but has two names for a while.
        if new == old && hold.is_none() {
            version.extend_from_slice(old);
            continue;
        }
        let order = context.order;
        let fate = Fate {
            hold,
            is_orphan: context.orphans.contains(&number),
            birth: Phase::Link(order.births.get(&number).copied().unwrap_or(0)),
            end: order.ends.get(number).copied().unwrap_or(Phase::Replace(0)),
        };
        let (content, links) = inode(new, old, phase, &fate);
        let start = version.len();
        version.extend_from_slice(content);
        put(
            &mut version,
            start.saturating_add(LINKS),
            &links.to_le_bytes(),
        );
    }
    version
}

/// Where an inode has its count of links, its mode and its generation.
const LINKS: usize = 26;
const MODE: usize = 0;
const GENERATION: usize = 100;
/// Where it says which blocks it has: size, count, pointers, attributes and the high half of the size.
const PLACES: [core::ops::Range<usize>; 3] = [4..8, 28..32, 40..112];

/// What is known of an inode beyond its bytes.
#[derive(Clone, Copy)]
struct Fate {
    /// How many names it lost, or none if it lost none and was not let go.
    hold: Option<u16>,
    is_orphan: bool,
    /// From which phase on it is on the disk, if it is new.
    birth: Phase,
    /// From which phase on it no longer is, if it goes.
    end: Phase,
}

/// Which content and which count of links an inode has in a phase.
fn inode<'a>(new: &'a [u8], old: &'a [u8], phase: Phase, fate: &Fate) -> (&'a [u8], u16) {
    let Fate {
        hold, is_orphan, ..
    } = *fate;
    let new_links = u16_at(new, LINKS);
    let old_links = u16_at(old, LINKS);
    let is_same_file = u32_at(new, GENERATION) == u32_at(old, GENERATION)
        && u16_at(new, MODE) == u16_at(old, MODE);
    let is_in_use = old_links > 0 || ((is_orphan || hold.is_some()) && is_same_file);
    if !is_in_use && phase < fate.birth {
        return (old, old_links);
    }
    if phase == Phase::Drop || !is_in_use {
        return (new, new_links);
    }
    if hold.is_some() && new_links == 0 && phase >= fate.end {
        return (new, new_links);
    }
    let is_gone = new_links == 0 && !is_orphan;
    if hold.is_none() && (is_gone || phase > Phase::Prepare) {
        return (new, new_links);
    }
    let links = old_links.max(new_links.saturating_add(hold.unwrap_or(0)));
    if hold.is_some() && new_links == 0 {
        return (old, links);
    }
    let is_moved = PLACES
        .into_iter()
        .any(|place| new.get(place.clone()) != old.get(place));
    match (phase, is_moved) {
        (Phase::Prepare, true) => (old, links),
        (_, _) if hold.is_none() => (new, new_links),
        (_, _) => (new, links),
    }
}

#[cfg(test)]
mod tests {
    use super::{Context, Fate, Phase, directory, early_offsets, inode, inodes};
    use crate::bytes::{put, u16_at};
    use crate::numbered::Numbered;
    use crate::order::Order;
    use crate::records::{Record, coalesce, records, set_inode, set_len, write};
    use alloc::collections::BTreeSet;
    use alloc::vec;
    use alloc::vec::Vec;

    fn names(block: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let used = records(block).flatten().filter(|record| record.inode != 0);
        used.map(|record| (record.inode, record.name(block).to_vec()))
            .collect()
    }

    #[test]
    fn entries_come_before_others_go_and_never_half() {
        let record = |offset, len, inode| Record {
            offset,
            len,
            inode,
            name_len: 0,
        };
        let mut disk = vec![0; 128];
        write(&mut disk, &record(0, 12, 2), 2, b".");
        write(&mut disk, &record(12, 12, 3), 2, b"..");
        write(&mut disk, &record(24, 12, 4), 1, b"old");
        write(&mut disk, &record(36, 92, 5), 1, b"stay");
        let mut memory = disk.clone();
        set_inode(&mut memory, 12, 9);
        set_inode(&mut memory, 24, 0);
        set_len(&mut memory, 36, 12);
        write(&mut memory, &record(48, 80, 4), 1, b"new");

        let as_before = names(&disk);
        let version = directory(&memory, &disk, Phase::Prepare, &|_| false);
        assert_eq!(names(&version), as_before);
        let both = |parent| {
            [
                (2, b".".to_vec()),
                (parent, b"..".to_vec()),
                (4, b"old".to_vec()),
                (5, b"stay".to_vec()),
                (4, b"new".to_vec()),
            ]
        };
        let version = directory(&memory, &version, Phase::Link(0), &|_| false);
        assert_eq!(names(&version), both(3));
        let version = directory(&memory, &version, Phase::Replace(0), &|_| false);
        assert_eq!(names(&version), both(9));
        let version = version.into_owned();
        coalesce(&mut memory);
        let version = directory(&memory, &version, Phase::Unlink, &|_| false);
        let mut last = both(9).to_vec();
        last.remove(2);
        assert_eq!(names(&version), last);
    }

    fn raw(links: u16, size: u32) -> Vec<u8> {
        let mut raw = vec![0; 128];
        put(&mut raw, 0, &[0, 0x80]);
        put(&mut raw, 4, &size.to_le_bytes());
        put(&mut raw, 26, &links.to_le_bytes());
        raw
    }

    fn fate(hold: Option<u16>) -> Fate {
        Fate {
            hold,
            is_orphan: false,
            birth: Phase::Link(0),
            end: Phase::Replace(0),
        }
    }

    #[test]
    fn a_name_of_a_new_inode_comes_early_if_it_lies_in_a_sector_with_what_makes_room() {
        let record = |offset, len, inode, name_len| Record {
            offset,
            len,
            inode,
            name_len,
        };
        let mut disk = vec![0; 1024];
        write(&mut disk, &record(0, 1024, 2, 0), 1, b"old");
        let mut memory = disk.clone();
        set_len(&mut memory, 0, 12);
        write(&mut memory, &record(12, 12, 7, 0), 1, b"new");
        write(&mut memory, &record(24, 12, 4, 0), 1, b"link");
        write(&mut memory, &record(36, 468, 8, 0), 1, b"also");
        let long = [b'l'; 40];
        write(&mut memory, &record(504, 520, 9, 0), 1, &long);

        let is_new = |number| number >= 7;
        let early = early_offsets(&memory, &disk, &is_new);
        assert_eq!(early, [12, 36]);
        let version = directory(&memory, &disk, Phase::Prepare, &is_new);
        let expected = [(2, "old"), (7, "new"), (8, "also")];
        let expected = expected.map(|(inode, name)| (inode, name.as_bytes().to_vec()));
        assert_eq!(names(&version), expected);
        let version = directory(&memory, &version, Phase::Link(0), &is_new);
        assert_eq!(version, memory);
    }

    #[test]
    fn a_new_inode_comes_in_the_phase_of_its_level() {
        let (old, new) = (raw(0, 0), raw(1, 9));
        let fate = Fate {
            birth: Phase::Link(1),
            ..fate(None)
        };
        assert_eq!(inode(&new, &old, Phase::Prepare, &fate), (&*old, 0));
        assert_eq!(inode(&new, &old, Phase::Link(0), &fate), (&*old, 0));
        assert_eq!(inode(&new, &old, Phase::Link(1), &fate), (&*new, 1));
    }

    #[test]
    fn an_inode_that_grew_keeps_its_size_until_its_blocks_are_there() {
        let (old, new) = (raw(1, 5), raw(2, 9));
        assert_eq!(inode(&new, &old, Phase::Prepare, &fate(None)), (&*old, 2));
        assert_eq!(inode(&new, &old, Phase::Link(0), &fate(None)), (&*new, 2));
    }

    #[test]
    fn a_link_that_goes_is_counted_until_its_entry_is_gone() {
        let (old, new) = (raw(2, 5), raw(1, 5));
        let held = fate(Some(1));
        for phase in [Phase::Prepare, Phase::Link(0), Phase::Unlink] {
            assert_eq!(inode(&new, &old, phase, &held), (&*new, 2));
        }
        assert_eq!(inode(&new, &old, Phase::Drop, &held), (&*new, 1));
        // In the next write-back it goes at once.
        assert_eq!(inode(&new, &old, Phase::Prepare, &fate(None)), (&*new, 1));
        // Renamed, then linked again: three names may be there for a while.
        let (old, new) = (raw(1, 5), raw(2, 5));
        assert_eq!(inode(&new, &old, Phase::Link(0), &held), (&*new, 3));
    }

    #[test]
    fn an_inode_that_was_renamed_and_looks_as_before_counts_both_names() {
        let both = [raw(1, 5), raw(1, 6)].concat();
        let mut holds = Numbered::default();
        holds.insert(8, 1);
        let context = Context {
            holds: &holds,
            orphans: &BTreeSet::new(),
            order: &Order::default(),
            inode_size: 128,
        };
        let links = |bytes: &[u8]| [u16_at(bytes, 26), u16_at(bytes, 128 + 26)];
        let version = inodes(&both, &both, 7, Phase::Prepare, &context);
        assert_eq!(links(&version), [1, 2]);
        let version = inodes(&both, &version, 7, Phase::Unlink, &context);
        assert_eq!(links(&version), [1, 2]);
        let version = inodes(&both, &version, 7, Phase::Drop, &context);
        assert_eq!(version, both);
    }

    #[test]
    fn a_file_that_is_removed_stays_whole_until_it_goes_before_its_entry() {
        let (old, new) = (raw(1, 5), raw(0, 0));
        let held = fate(Some(1));
        for phase in [Phase::Prepare, Phase::Link(0)] {
            assert_eq!(inode(&new, &old, phase, &held), (&*old, 1));
        }
        assert_eq!(inode(&new, &old, Phase::Replace(0), &held), (&*new, 0));
        // One whose name leads elsewhere goes behind that.
        let replaced = Fate {
            end: Phase::Unlink,
            ..held
        };
        assert_eq!(inode(&new, &old, Phase::Replace(0), &replaced), (&*old, 1));
        assert_eq!(inode(&new, &old, Phase::Unlink, &replaced), (&*new, 0));
    }
}
