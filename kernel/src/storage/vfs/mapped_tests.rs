//! Files in memory, on the host: the page tables are real, and what a processor does with them is done by hand.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::MutexGuard;

use libc::{O_CREAT, O_RDWR};

use super::content::{self, Mapper, Mapping};
use super::file::OpenFile;
use super::mapped::Files;
use super::test_tree::Tree;
use super::tmpfs::Tmpfs;
use crate::error::Errno;
use crate::memory::areas::{self, Access, Fault};
use crate::memory::frames::Stock;
use crate::memory::{frames, heap, paging};

const PAGE: usize = 4096;

/// Nobody else uses frames as long as it lives.
fn start() -> MutexGuard<'static, ()> {
    let turn = heap::tests::start();
    paging::tests::start();
    content::set_mapper(&Files);
    turn
}

/// A mapping, and the program that uses it.
struct Map {
    start: usize,
    len_bytes: usize,
}

impl Map {
    fn new(file: &OpenFile, offset: usize, len_bytes: usize, is_shared: bool) -> Self {
        let mapping = Mapping {
            offset: offset as u64,
            len_bytes,
            address: None,
            access: Access::ReadWrite,
            is_shared,
            may_write: true,
        };
        // SAFETY: it is not at a place of its own choice.
        let start = unsafe { Files.map(file.entry(), &mapping) }.expect("a mapping");
        Self { start, len_bytes }
    }

    fn touch(&self, at: usize, is_write: bool) -> Result<*mut u8, Fault> {
        let address = self.start + at;
        loop {
            if let Some(memory) = paging::tests::access(address, is_write) {
                return Ok(memory);
            }
            match areas::on_page_fault(Stock::Common, address, is_write, false) {
                Fault::Mapped => {}
                fault => return Err(fault),
            }
        }
    }

    fn get(&self, at: usize) -> Result<u8, Fault> {
        // SAFETY: memory of a frame that is mapped.
        self.touch(at, false).map(|memory| unsafe { *memory })
    }

    fn set(&self, at: usize, value: u8) -> Result<(), Fault> {
        // SAFETY: as above.
        self.touch(at, true)
            .map(|memory| unsafe { *memory = value })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        let gone = areas::ids_in(self.start, self.len_bytes);
        // SAFETY: nobody uses it any more.
        unsafe { areas::remove(&[(self.start, self.len_bytes)]) };
        Files.unmapped(&gone.ids);
    }
}

fn file(tree: &Tree, path: &str, content: &[u8]) -> OpenFile {
    let file = tree.open(path, O_CREAT | O_RDWR).expect("a file");
    assert_eq!(file.write_at(0, content), Ok(content.len()));
    file
}

fn byte(file: &OpenFile, at: usize) -> u8 {
    let mut byte = [0];
    assert_eq!(file.read_at(at as u64, &mut byte), Ok(1));
    byte[0]
}

/// What the file system has, whatever is in memory.
fn stored(file: &OpenFile, at: usize) -> u8 {
    let mut byte = [0];
    let node = &file.entry().node;
    assert_eq!(node.read_at(at as u64, &mut byte), Ok(1));
    byte[0]
}

#[test]
fn mappings_reads_and_writes_see_the_same_bytes() {
    let _turn = start();
    let tree = Tree::new(Tmpfs::new(1 << 20));
    let file = file(&tree, "f", &[1; 3 * PAGE]);
    let (first, second) = (
        Map::new(&file, 0, 3 * PAGE, true),
        Map::new(&file, PAGE, PAGE, true),
    );
    first.set(PAGE + 5, 2).expect("mapped");
    assert_eq!((second.get(5), byte(&file, PAGE + 5)), (Ok(2), 2));
    assert_eq!(file.write_at(PAGE as u64 + 5, &[3; 2]), Ok(2));
    assert_eq!((first.get(PAGE + 6), second.get(5)), (Ok(3), Ok(3)));
    let private = Map::new(&file, 0, PAGE, false);
    private.set(1, 9).expect("mapped");
    assert_eq!((first.get(1), byte(&file, 1)), (Ok(1), 1));
}

#[test]
fn only_what_mappings_wrote_is_given_to_the_file_and_each_time_it_was_written() {
    let _turn = start();
    let tree = Tree::new(Tmpfs::new(1 << 20));
    let file = file(&tree, "f", &[1; 3 * PAGE]);
    let map = Map::new(&file, 0, 3 * PAGE, true);
    map.set(7, 2).expect("mapped");
    assert_eq!((byte(&file, 7), stored(&file, 7)), (2, 1));
    assert_eq!(content::sync(&file.entry().node), Ok(()));
    assert_eq!(stored(&file, 7), 2);
    // A page that is not dirty is left alone.
    let node = &file.entry().node;
    assert_eq!(node.write_at(7, &[5]), Ok(1));
    assert_eq!(content::sync(node), Ok(()));
    assert_eq!(stored(&file, 7), 5);
    map.set(8, 6).expect("mapped");
    assert_eq!(content::write_back_all(), Ok(()));
    assert_eq!((stored(&file, 7), stored(&file, 8)), (2, 6));
    // A mapping that goes leaves what was written to it, though another one lives.
    let other = Map::new(&file, PAGE, PAGE, true);
    map.set(2, 7).expect("mapped");
    other.set(3, 8).expect("mapped");
    drop(map);
    assert_eq!((stored(&file, 2), byte(&file, PAGE + 3)), (7, 8));
    drop(other);
    assert_eq!(stored(&file, PAGE + 3), 8);
}

#[test]
fn frames_are_given_back_with_the_last_mapping_of_a_page() {
    let _turn = start();
    let tree = Tree::new(Tmpfs::new(8 << 20));
    let file = file(&tree, "f", &vec![1; 600 * PAGE]);
    // Page tables stay.
    for pages in [600, 10] {
        let map = Map::new(&file, 0, pages * PAGE, true);
        for page in 0..pages {
            assert_eq!(map.get(page * PAGE), Ok(1));
        }
    }
    let before = frames::usage().0;
    let (all, some) = (
        Map::new(&file, 0, 600 * PAGE, true),
        Map::new(&file, 0, 10 * PAGE, true),
    );
    for page in 0..600 {
        all.set(page * PAGE, page as u8).expect("mapped");
    }
    assert!(before - frames::usage().0 >= 600 * PAGE);
    drop(all);
    assert!(before - frames::usage().0 < 100 * PAGE);
    assert_eq!((some.get(PAGE), byte(&file, 599 * PAGE)), (Ok(1), 87));
    drop(some);
    assert_eq!(before, frames::usage().0);
}

#[test]
fn behind_the_end_is_nothing_and_holes_take_no_memory() {
    let _turn = start();
    let tree = Tree::new(Tmpfs::new(1 << 20));
    let file = file(&tree, "f", &[1; PAGE + 10]);
    let map = Map::new(&file, 0, 4 * PAGE, true);
    assert_eq!(
        (map.get(PAGE + 10), map.get(2 * PAGE)),
        (Ok(0), Err(Fault::BeyondEnd))
    );
    map.set(PAGE + 20, 4).expect("mapped");
    file.set_len(3 * PAGE as u64).expect("longer");
    assert_eq!((map.get(PAGE + 20), map.get(2 * PAGE)), (Ok(0), Ok(0)));
    map.set(2 * PAGE, 5).expect("mapped");
    file.set_len(5).expect("shorter");
    assert_eq!((map.get(4), map.get(5)), (Ok(1), Ok(0)));
    assert_eq!(map.get(PAGE), Err(Fault::BeyondEnd));
    file.set_len(3 * PAGE as u64).expect("longer");
    assert_eq!((map.get(2 * PAGE), map.get(PAGE)), (Ok(0), Ok(0)));
    drop(map);
    file.set_len(1 << 40).expect("longer");
    let before = frames::usage().0;
    let map = Map::new(&file, (1 << 40) - (1 << 30), 1 << 30, true);
    map.set(1 << 29, 6).expect("mapped");
    assert!(before - frames::usage().0 < 20 * PAGE);
    assert_eq!(byte(&file, (1 << 40) - (1 << 29)), 6);
}

#[test]
fn what_the_file_does_not_take_stays_and_is_tried_again() {
    let _turn = start();
    let tree = Tree::new(Tmpfs::new(40 << 10));
    let file = file(&tree, "f", &[]);
    file.set_len(4 * PAGE as u64).expect("longer");
    assert_eq!(tree.write("full", &[0; 8 * PAGE]), Ok(8 * PAGE));
    let map = Map::new(&file, 0, 4 * PAGE, true);
    for page in 0..4 {
        map.set(page * PAGE, 7).expect("mapped");
    }
    assert_eq!(content::sync(&file.entry().node), Err(Errno(libc::ENOSPC)));
    drop(map);
    assert_eq!((byte(&file, 3 * PAGE), stored(&file, 3 * PAGE)), (7, 0));
    assert_eq!(tree.unlink("full"), Ok(()));
    assert_eq!(content::sync(&file.entry().node), Ok(()));
    assert_eq!(stored(&file, 3 * PAGE), 7);
    assert!(Files.find(&file.entry().node).is_none());
}

#[test]
fn a_file_is_let_go_of_with_its_last_mapping() {
    let _turn = start();
    let tree = Tree::new(Tmpfs::new(1 << 20));
    let file = file(&tree, "f", &[1; PAGE]);
    let map = Map::new(&file, 0, PAGE, true);
    let entry = file.entry().clone();
    drop(file);
    assert_eq!(tree.unlink("f"), Ok(()));
    map.set(0, 2).expect("mapped");
    let mut found = [0];
    assert_eq!(content::read_at(&entry.node, 0, &mut found), Ok(1));
    assert_eq!(found, [2]);
    drop(map);
    assert_eq!(Arc::strong_count(&entry.node), 1);
}

/// Any sequence leaves what it leaves of an array of bytes.
#[test]
fn any_sequence_of_writes_mappings_and_lengths_is_that_of_one_content() {
    let _turn = start();
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..60 {
        let tree = Tree::new(Tmpfs::new(4 << 20));
        let file = file(&tree, "f", &[]);
        let mut model: Vec<u8> = Vec::new();
        let mut maps: Vec<(usize, Map)> = Vec::new();
        for step in 0..300 {
            let at = random(20 * PAGE);
            match random(9) {
                0 => {
                    let data = vec![step as u8; random(3 * PAGE)];
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                    assert_eq!(file.write_at(at as u64, &data), Ok(data.len()));
                }
                1 => {
                    model.resize(at, 0);
                    assert_eq!(file.set_len(at as u64), Ok(()));
                }
                2 => {
                    let first = random(20) * PAGE;
                    let len = (1 + random(12)) * PAGE;
                    maps.push((first, Map::new(&file, first, len, true)));
                }
                3 if !maps.is_empty() => drop(maps.swap_remove(random(maps.len()))),
                4 => assert_eq!(content::sync(&file.entry().node), Ok(())),
                _ if !maps.is_empty() => {
                    let (first, map) = &maps[random(maps.len())];
                    let within = random(map.len_bytes);
                    let end = model.len().next_multiple_of(PAGE);
                    if first + within >= end {
                        assert_eq!(map.set(within, 1), Err(Fault::BeyondEnd));
                    } else {
                        map.set(within, !(step as u8)).expect("mapped");
                        if let Some(byte) = model.get_mut(first + within) {
                            *byte = !(step as u8);
                        }
                    }
                }
                _ => {}
            }
            let mut found = vec![0; 25 * PAGE];
            let len = file.read_at(0, &mut found).expect("read");
            assert!(found[..len] == model[..], "in step {step}");
            for (first, map) in &maps {
                let within = random(map.len_bytes);
                if let Some(byte) = model.get(first + within) {
                    assert_eq!(map.get(within), Ok(*byte), "in step {step}");
                }
            }
        }
        drop(maps);
        assert!(tree.read("f").expect("read") == model);
    }
}
