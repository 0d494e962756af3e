//! Power cuts: a device records what is written and flushed; the record is replayed up to every
//! point, with what was written since the last flush applied, dropped, or torn at sectors by chance.
//!
//! After each cut the image is checked by our own checker, without a repair, for holding together and
//! for everything that was synced; a sample also after `e2fsck -p`, as machines run it at boot, which must
//! not stop to ask a human (but where `writeback.rs` says so), and after being mounted and
//! written again without a repair. Some are the start of another workload, which is cut in its turn.
//! `EXT2_TEST_CUTS` multiplies how much is tried, `EXT2_TEST_SEED` is added to what chance begins with.

#[path = "common/check.rs"]
mod check;
mod common;
#[path = "common/model.rs"]
mod model;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use ext2::make::{Builder, Options};
use ext2::{BlockDevice, DeviceError, FileSystem, MountOptions, NewAttributes};
use model::{Body, Model, Op, operations};
use proptest::prelude::{Just, any, prop, prop_oneof};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tempfile::tempdir;

const SECTOR: usize = 512;
/// Of how many cuts some are followed by another workload.
const AGAIN_EVERY: usize = 200;

enum Event {
    Write(usize, Vec<u8>),
    Flush,
}

/// A device that records what happens to it.
struct Recorder {
    image: RefCell<Vec<u8>>,
    events: RefCell<Vec<Event>>,
}

impl BlockDevice for &Recorder {
    fn len_bytes(&self) -> u64 {
        self.image.len_bytes()
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.image.read(offset_bytes, buf)
    }
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        let event = Event::Write(offset_bytes as usize, buf.to_vec());
        self.events.borrow_mut().push(event);
        self.image.write(offset_bytes, buf)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        self.events.borrow_mut().push(Event::Flush);
        Ok(())
    }
}

/// Chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A workload that ran: what it wrote, and what was there after each operation.
struct History {
    operations: Vec<Op>,
    events: Vec<Event>,
    /// Where in the events each state began to come about, and the state when the operation was done.
    /// The first one is what was there before.
    states: Vec<(usize, Rc<Model>)>,
    /// Where in the events a sync was done, and which state was synced.
    syncs: Vec<(usize, usize)>,
}

/// None if what is there cannot be a model: a directory that was cut off while it moved has two names.
fn run_workload(image: Vec<u8>, operations: &[Op]) -> Option<History> {
    let recorder = Recorder {
        image: RefCell::new(image),
        events: RefCell::default(),
    };
    let mut disk = FileSystem::mount(&recorder, MountOptions::default()).expect("mount");
    let mut model = Model::read(&disk).ok()?;
    let mut named = BTreeSet::new();
    for (_, number) in entries(&model) {
        if matches!(model.nodes[&number].body, Body::Directory(_)) && !named.insert(number) {
            return None;
        }
    }
    let mut states = vec![(0, Rc::new(model.clone()))];
    let mut syncs = vec![(0, 0)];
    for op in operations {
        let before = recorder.events.borrow().len();
        model.apply(&mut disk, op);
        if matches!(op, Op::Remount) {
            disk.unmount().expect("unmount");
            model.unmounted();
            disk = FileSystem::mount(&recorder, MountOptions::default()).expect("mount again");
        }
        states.push((before, Rc::new(model.clone())));
        if matches!(op, Op::Fsync(_) | Op::Sync | Op::Remount) {
            syncs.push((recorder.events.borrow().len(), states.len() - 1));
        }
    }
    drop(disk);
    Some(History {
        operations: operations.to_vec(),
        events: recorder.events.into_inner(),
        states,
        syncs,
    })
}

/// What may be there after a cut.
struct Allowed {
    states: Vec<Rc<Model>>,
    /// What each name of each directory led to.
    names: BTreeMap<(u32, Vec<u8>), BTreeSet<Option<u32>>>,
    /// Directories that got another name, and what lost its name to something that was moved there.
    moved_directories: BTreeSet<u32>,
    replaced: BTreeSet<u32>,
}

impl Allowed {
    fn new(states: Vec<Rc<Model>>) -> Self {
        let mut names: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for state in &states {
            for (name, number) in entries(state) {
                names.entry(name).or_default().insert(Some(number));
            }
        }
        for state in &states {
            let there: BTreeMap<_, _> = entries(state).collect();
            for (name, numbers) in &mut names {
                if !there.contains_key(name) {
                    numbers.insert(None);
                }
            }
        }
        let (mut moved_directories, mut replaced) = (BTreeSet::new(), BTreeSet::new());
        for pair in states.windows(2) {
            let after: BTreeMap<_, _> = entries(&pair[1]).collect();
            for (name, number) in entries(&pair[0]) {
                let body = pair[1].nodes.get(&number).map(|node| &node.body);
                match after.get(&name) {
                    Some(other) if *other != number => _ = replaced.insert(number),
                    None if matches!(body, Some(Body::Directory(_))) => {
                        moved_directories.insert(number);
                    }
                    _ => {}
                }
            }
        }
        Self {
            states,
            names,
            moved_directories,
            replaced,
        }
    }

    /// May e2fsck have asked this? `left` are inodes that an earlier cut left without names.
    fn may_ask(&self, text: &str, left: &BTreeSet<u32>) -> bool {
        let unattached: Vec<u32> = text
            .lines()
            .filter_map(|line| line.split_once("Unattached inode ")?.1.trim().parse().ok())
            .collect();
        let is_moving = ["is a link to directory", "'..' in", "Unconnected directory"]
            .iter()
            .any(|question| text.contains(question));
        let is_known = |number| self.replaced.contains(number) || left.contains(number);
        (!unattached.is_empty() && unattached.iter().all(is_known))
            || (is_moving && !self.moved_directories.is_empty())
    }

    /// Checks what was found, after a repair if there was one.
    fn check(&self, found: &Found, repair: Option<&Repaired>) -> Result<(), String> {
        // The directory that e2fsck puts things into.
        let lost = repair.and_then(|_| found.names.get(&(2, b"lost+found".to_vec())).copied());
        // Of the two names of a directory e2fsck removes one when it may.
        let may_lose = |numbers: &BTreeSet<Option<u32>>| {
            repair.is_some_and(|repair| repair.has_asked)
                && numbers
                    .iter()
                    .flatten()
                    .any(|n| self.moved_directories.contains(n))
        };
        for ((directory, name), number) in &found.names {
            let is_allowed = self
                .names
                .get(&(*directory, name.clone()))
                .is_some_and(|numbers| numbers.contains(&Some(*number)));
            if !is_allowed && Some(*directory) != lost {
                let shown = name.escape_ascii();
                return Err(format!("{shown} of {directory} leads to {number}"));
            }
        }
        for ((directory, name), numbers) in &self.names {
            let is_there = found.names.contains_key(&(*directory, name.clone()));
            let is_lost = !is_there && !numbers.contains(&None) && !may_lose(numbers);
            if is_lost && found.nodes.contains_key(directory) {
                let shown = name.escape_ascii();
                return Err(format!("{shown} of {directory} is lost"));
            }
        }
        for number in self.states[0].nodes.keys() {
            let is_kept = self
                .states
                .iter()
                .all(|state| state.nodes.contains_key(number));
            if is_kept && !found.nodes.contains_key(number) {
                return Err(format!("inode {number} is lost"));
            }
        }
        for (number, (body, permissions, modified)) in &found.nodes {
            let versions: Vec<_> = self
                .states
                .iter()
                .filter_map(|state| state.nodes.get(number))
                .collect();
            if versions.is_empty() {
                // e2fsck found it without a name.
                continue;
            }
            if !versions.iter().any(|node| node.permissions == *permissions) {
                return Err(format!("inode {number} has permissions {permissions:o}"));
            }
            if !versions.iter().any(|node| node.modified == *modified) && Some(*number) != lost {
                return Err(format!("inode {number} has time {modified}"));
            }
            check_body(*number, body, versions.iter().map(|node| &node.body))?;
        }
        Ok(())
    }
}

/// Checks the content of a file: its size was its size at some time, and each byte what it was.
fn check_body<'a>(
    number: u32,
    body: &Body,
    versions: impl Iterator<Item = &'a Body> + Clone,
) -> Result<(), String> {
    if matches!(body, Body::Directory(_)) || versions.clone().any(|version| version == body) {
        return Ok(());
    }
    let Body::File(content) = body else {
        return Err(format!("link {number} leads to {body:?}"));
    };
    let versions: Vec<_> = versions
        .filter_map(|version| match version {
            Body::File(content) => Some(content),
            _ => None,
        })
        .collect();
    let size = content.len();
    let sizes: Vec<_> = versions.iter().map(|version| version.len()).collect();
    // A long write is made durable in parts when the disk is nearly full.
    let is_between = sizes
        .windows(2)
        .any(|pair| pair[0] <= size && size <= pair[1]);
    if !sizes.contains(&size) && !is_between {
        return Err(format!("file {number} has {size} bytes, not {sizes:?}"));
    }
    for (at, byte) in content.iter().enumerate() {
        if !versions.iter().any(|version| version.get(at) == Some(byte)) {
            return Err(format!("file {number} has {byte} at {at} of {size}"));
        }
    }
    Ok(())
}

fn entries(model: &Model) -> impl Iterator<Item = ((u32, Vec<u8>), u32)> + '_ {
    model.nodes.iter().flat_map(|(directory, node)| {
        let entries = match &node.body {
            Body::Directory(entries) => Some(entries),
            _ => None,
        };
        entries
            .into_iter()
            .flatten()
            .map(|(name, number)| ((*directory, name.clone()), *number))
    })
}

/// What is on a disk. A directory that is being moved may be reached twice.
#[derive(Default)]
struct Found {
    names: BTreeMap<(u32, Vec<u8>), u32>,
    nodes: BTreeMap<u32, (Body, u16, i64)>,
}

fn read_found(image: &[u8]) -> Result<Found, ext2::Error> {
    let options = MountOptions { read_only: true };
    let disk = FileSystem::mount(RefCell::new(image.to_vec()), options)?;
    let mut found = Found::default();
    let mut to_read = vec![disk.root()];
    while let Some(number) = to_read.pop() {
        if found.nodes.contains_key(&number.0) {
            continue;
        }
        let inode = disk.inode(number)?;
        let body = if inode.is_directory() {
            for entry in disk.read_dir(&inode, 0)? {
                let entry = entry?;
                let is_there = disk.inode(entry.inode).is_ok();
                if !entry.is_dot() && is_there {
                    let name = (number.0, entry.name().to_vec());
                    found.names.insert(name, entry.inode.0);
                    to_read.push(entry.inode);
                }
            }
            Body::Directory(BTreeMap::new())
        } else if inode.file_type() == ext2::FileType::File {
            let mut content = vec![0; inode.size() as usize];
            disk.read(&inode, 0, &mut content)?;
            Body::File(content)
        } else {
            Body::Symlink(disk.read_link(&inode)?)
        };
        let facts = (body, inode.mode() & 0o7777, inode.modified());
        found.nodes.insert(number.0, facts);
    }
    Ok(found)
}

/// What e2fsck made of an image.
struct Repaired {
    image: Vec<u8>,
    text: String,
    /// It wanted to know whether it may, and it might.
    has_asked: bool,
}

/// How often what was tried.
#[derive(Default)]
struct Counts {
    cuts: usize,
    repaired: usize,
    asked: usize,
    continued: usize,
    again: usize,
    cuts_again: usize,
    events: usize,
}

struct Trial<'a> {
    /// For reports: the image, and what chance began with.
    what: &'a str,
    history: &'a History,
    chance: Chance,
    counts: &'a mut Counts,
    file: &'a Path,
    variants: usize,
    repair_every: usize,
    /// How many cuts there were.
    tried: usize,
    /// What an earlier cut may have left without names; none before there was one.
    left: BTreeSet<u32>,
    is_again: bool,
}

impl Trial<'_> {
    /// Cuts the power at every event.
    fn run(&mut self, mut durable: Vec<u8>) {
        let mut pending: Vec<(usize, &[u8])> = Vec::new();
        let mut allowed: Option<(usize, usize, Allowed)> = None;
        self.counts.events += self.history.events.len();
        for (index, event) in self.history.events.iter().enumerate() {
            match event {
                Event::Write(offset, bytes) => pending.push((*offset, bytes)),
                Event::Flush => {
                    for (offset, bytes) in pending.drain(..) {
                        durable[offset..offset + bytes.len()].copy_from_slice(bytes);
                    }
                }
            }
            let done = index + 1;
            let synced = self.history.syncs.iter().rev().find(|sync| sync.0 <= done);
            let synced = synced.expect("what was there before").1;
            let last = self.history.states.iter().rposition(|state| state.0 < done);
            let last = last.expect("what was there before").max(synced);
            if allowed
                .as_ref()
                .is_none_or(|known| (known.0, known.1) != (synced, last))
            {
                let states = self.history.states[synced..=last].iter();
                let states = states.map(|state| state.1.clone()).collect();
                allowed = Some((synced, last, Allowed::new(states)));
            }
            let allowed = &allowed.as_ref().expect("was made").2;
            let variants = if pending.is_empty() { 1 } else { self.variants };
            for variant in 0..variants {
                let image = self.cut(&durable, &pending, variant);
                if let Err(error) = self.judge(&image, allowed) {
                    for op in &self.history.operations[synced..last] {
                        println!("{op:?}");
                    }
                    panic!(
                        "{}: {}cut after event {done} of {}, variant {variant}, synced state {synced} of {last}: {error}",
                        self.what,
                        if self.is_again { "second " } else { "" },
                        self.history.events.len()
                    );
                }
            }
        }
    }

    /// What is on the medium: of each sector any version since the last flush.
    fn cut(&mut self, durable: &[u8], pending: &[(usize, &[u8])], variant: usize) -> Vec<u8> {
        let mut image = durable.to_vec();
        let is_torn = variant % 2 == 1;
        for (offset, bytes) in pending {
            let is_whole = variant == 0 || (!is_torn && self.chance.next().is_multiple_of(2));
            let mut at = 0;
            while at < bytes.len() {
                let end = bytes
                    .len()
                    .min((offset + at) / SECTOR * SECTOR + SECTOR - offset);
                if is_whole || (is_torn && self.chance.next().is_multiple_of(2)) {
                    image[offset + at..offset + end].copy_from_slice(&bytes[at..end]);
                }
                at = end;
            }
        }
        image
    }

    fn judge(&mut self, image: &[u8], allowed: &Allowed) -> Result<(), String> {
        self.counts.cuts += 1;
        self.tried += 1;
        check::check(image)?;
        let found = read_found(image).map_err(|error| error.to_string())?;
        allowed.check(&found, None)?;
        if self.tried.is_multiple_of(self.repair_every) {
            self.counts.repaired += 1;
            let repaired = self.repair(image, allowed)?;
            let found =
                read_found(&repaired.image).map_err(|error| format!("repaired: {error}"))?;
            let result = allowed.check(&found, Some(&repaired));
            result.map_err(|error| format!("repaired: {error}\n{}", repaired.text))?;
        }
        if self.tried % self.repair_every == self.repair_every / 2 {
            self.counts.continued += 1;
            find_everything(image, allowed)?;
            let written = go_on_writing(image)?;
            check::check(&written).map_err(|error| format!("written: {error}"))?;
            let repaired = self.repair(&written, allowed)?;
            let found = read_found(&repaired.image).map_err(|error| format!("written: {error}"))?;
            let mut kept = Found::default();
            let new = |name: &[u8]| name.starts_with(b"after-");
            for (name, number) in &found.names {
                if !new(&name.1) {
                    kept.names.insert(name.clone(), *number);
                }
            }
            for (number, mut node) in found.nodes {
                // The root was written to.
                if number == 2 {
                    node.2 = allowed.states[0].nodes[&2].modified;
                }
                let is_new = found
                    .names
                    .iter()
                    .any(|(name, other)| new(&name.1) && *other == number);
                if !is_new {
                    kept.nodes.insert(number, node);
                }
            }
            let result = allowed.check(&kept, Some(&repaired));
            result.map_err(|error| format!("written: {error}\n{}", repaired.text))?;
        }
        if !self.is_again && self.tried % AGAIN_EVERY == AGAIN_EVERY / 2 {
            self.cut_again(image, allowed);
        }
        Ok(())
    }

    /// Goes on with other operations on what a cut left, and cuts those.
    fn cut_again(&mut self, image: &[u8], allowed: &Allowed) {
        let seed = self.chance.next();
        let history = run_workload(image.to_vec(), &some_operations(seed, 40));
        let Some(history) = history else {
            return;
        };
        self.counts.again += 1;
        let before = self.counts.cuts;
        let mut trial = Trial {
            what: self.what,
            history: &history,
            chance: Chance(seed | 1),
            counts: self.counts,
            file: self.file,
            variants: 2,
            repair_every: 17,
            tried: 0,
            left: allowed.replaced.clone(),
            is_again: true,
        };
        trial.run(image.to_vec());
        self.counts.cuts_again += self.counts.cuts - before;
    }

    /// Runs `e2fsck -p`, which must leave nothing that is not repaired, and returns what it said.
    fn repair(&mut self, image: &[u8], allowed: &Allowed) -> Result<Repaired, String> {
        std::fs::write(self.file, image).expect("write the image");
        let mut result = self.e2fsck("-p");
        let mut has_asked = false;
        if let Err(text) = &result
            && allowed.may_ask(text, &self.left)
        {
            self.counts.asked += 1;
            has_asked = true;
            result = self.e2fsck("-fy");
        }
        let text = result?;
        if text.contains("Multiply-claimed") {
            return Err(text);
        }
        self.e2fsck("-fn")?;
        Ok(Repaired {
            image: std::fs::read(self.file).expect("read the image"),
            text,
            has_asked,
        })
    }

    fn e2fsck(&self, how: &str) -> Result<String, String> {
        let output = Command::new("e2fsck")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .args([how.as_ref(), self.file.as_os_str()])
            .output()
            .expect("e2fsck starts: install e2fsprogs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match output.status.code() {
            Some(0 | 1) => Ok(text),
            _ => Err(format!(
                "e2fsck {how} ended with {}:\n{text}",
                output.status
            )),
        }
    }
}

/// Mounts without a repair, makes a file in every directory, so that those that are large get an index, and
/// looks for every name: it is there, whole, or taken for free. (A directory that was moved may have two.)
fn find_everything(image: &[u8], allowed: &Allowed) -> Result<(), String> {
    let error = |error: ext2::Error| format!("found: {error}");
    let device = RefCell::new(image.to_vec());
    let mut disk = FileSystem::mount(device, MountOptions::default()).map_err(error)?;
    let mut directories = vec![disk.root()];
    while let Some(directory) = directories.pop() {
        match disk.create(directory, b"after", NewAttributes::default()) {
            Ok(_) | Err(ext2::Error::NoSpace | ext2::Error::Exists) => {}
            Err(other) => return Err(error(other)),
        }
        let inode = disk.inode(directory).map_err(error)?;
        for entry in disk.read_dir(&inode, 0).map_err(error)? {
            let entry = entry.map_err(error)?;
            match disk.find(&inode, entry.name()) {
                Ok(found) if found.is_directory() && !entry.is_dot() => {
                    directories.push(found.number());
                }
                Ok(_) | Err(ext2::Error::NotFound) => {}
                Err(_) if allowed.moved_directories.contains(&entry.inode.0) => {}
                Err(other) => return Err(error(other)),
            }
        }
    }
    Ok(())
}

/// Mounts without a repair, and makes files until little space is left.
fn go_on_writing(image: &[u8]) -> Result<Vec<u8>, String> {
    let error = |error: ext2::Error| format!("written: {error}");
    let device = RefCell::new(image.to_vec());
    let mut disk = FileSystem::mount(device, MountOptions::default()).map_err(error)?;
    let root = disk.root();
    for index in 0..40 {
        let name = format!("after-{index}");
        let file = match disk.create(root, name.as_bytes(), NewAttributes::default()) {
            Ok(file) => file,
            Err(ext2::Error::NoSpace) => break,
            Err(other) => return Err(error(other)),
        };
        match disk.write(file.number(), 0, &vec![0xEE; 40_000]) {
            Ok(40_000) => {}
            Ok(_) | Err(ext2::Error::NoSpace) => break,
            Err(other) => return Err(error(other)),
        }
    }
    Ok(disk.unmount().map_err(error)?.into_inner())
}

fn made_by_us(block_size: u32, blocks: u64) -> Vec<u8> {
    let builder = Builder::new(Options {
        block_size,
        size_bytes: Some(u64::from(block_size) * blocks),
        inode_count: Some(96),
        ..Options::default()
    });
    let plan = builder.plan().expect("plan");
    let image = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&image).expect("write");
    image.into_inner()
}

fn some_operations(seed: u64, most: usize) -> Vec<Op> {
    sequence(seed, operations(most, 40_000))
}

fn sequence(seed: u64, operations: impl Strategy<Value = Vec<Op>>) -> Vec<Op> {
    let config = Config {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let tree = operations.new_tree(&mut runner);
    tree.expect("operations").current()
}

fn made_by_mke2fs(work: &Path, names: u8, size: &str, options: &[&str]) -> Vec<u8> {
    let (folder, image) = (work.join("folder"), work.join("made"));
    std::fs::create_dir_all(&folder).expect("make a folder");
    let _ = std::fs::remove_dir_all(folder.join("there"));
    std::fs::create_dir(folder.join("there")).expect("make a folder");
    for index in 0..names {
        let path = folder.join(format!("there/{index}-{}", "l".repeat(90)));
        std::fs::write(path, vec![index; 500]).expect("write a file");
    }
    let _ = std::fs::remove_file(&image);
    common::mke2fs(&folder, &image, size, options);
    std::fs::read(image).expect("read the image")
}

/// Operations most of which remove files that are in use, go on with them, and close them in any order.
fn operations_on_open_files(seed: u64, most: usize) -> Vec<Op> {
    let index = any::<prop::sample::Index>;
    let name = 0..40usize;
    let op = prop_oneof![
        8 => (index(), name.clone()).prop_map(|(d, n)| Op::Create(d, n)),
        1 => (index(), name.clone()).prop_map(|(d, n)| Op::CreateDirectory(d, n)),
        1 => (index(), index(), name.clone()).prop_map(|(f, d, n)| Op::Link(f, d, n)),
        5 => (index(), 0..20_000u64, 0..9000usize).prop_map(|(f, o, l)| Op::Write(f, o, l)),
        9 => (index(), index(), 0..9000usize).prop_map(|(d, e, l)| Op::UnlinkOpen(d, e, l)),
        7 => index().prop_map(Op::Close),
        2 => (index(), index()).prop_map(|(d, e)| Op::Unlink(d, e)),
        5 => index().prop_map(Op::Fsync),
        1 => Just(Op::Sync),
    ];
    sequence(seed, prop::collection::vec(op, most / 2..most))
}

/// Images of the kinds that differ for this.
fn images(work: &Path) -> [Vec<u8>; 6] {
    [
        made_by_us(1024, 900),
        made_by_us(4096, 200),
        made_by_mke2fs(work, 40, "1200K", &["-b", "1024", "-g", "256", "-N", "200"]),
        made_by_mke2fs(work, 40, "800K", &["-b", "1024", "-r", "0", "-N", "100"]),
        made_by_mke2fs(work, 40, "1M", &["-b", "2048", "-I", "128", "-N", "100"]),
        // A directory whose blocks need pointers.
        made_by_mke2fs(work, 180, "1M", &["-b", "1024", "-N", "300"]),
    ]
}

/// Runs operations that come from a seed on each image, and cuts the power everywhere; whether some cuts are followed by operations of all kinds.
fn cut_everywhere(operations: fn(u64, usize) -> Vec<Op>, goes_on: bool) -> Counts {
    let number = |name| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let factor = number("EXT2_TEST_CUTS").unwrap_or(1);
    let first_seed = number("EXT2_TEST_SEED").unwrap_or(0);
    let variants = number("EXT2_TEST_CUTS").map_or(3, |_| 6);
    let work = tempdir().expect("make a folder");
    let file = work.path().join("image");
    let mut counts = Counts::default();
    for (index, image) in images(work.path()).iter().enumerate() {
        for round in 0..factor {
            let seed = first_seed + round * 31 + index as u64 + 1;
            let history = run_workload(image.clone(), &operations(seed, 120));
            let history = history.expect("read everything");
            let mut trial = Trial {
                what: &format!("image {index}, seed {}", first_seed + round * 31),
                history: &history,
                chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
                counts: &mut counts,
                file: &file,
                variants,
                repair_every: number("EXT2_TEST_REPAIR_EVERY").map_or(25, |n| n as usize),
                tried: 0,
                left: BTreeSet::new(),
                is_again: !goes_on,
            };
            trial.run(image.clone());
        }
    }
    println!(
        "{} cuts after {} events; {} of them repaired by e2fsck, {} written again without a repair; \
         {} followed by other operations with {} cuts; e2fsck asked {} times",
        counts.cuts,
        counts.events,
        counts.repaired,
        counts.continued,
        counts.again,
        counts.cuts_again,
        counts.asked
    );
    assert!(counts.cuts > 1000, "only {} cuts", counts.cuts);
    counts
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    cut_everywhere(some_operations, true);
}

#[test]
fn files_that_were_removed_while_in_use_leave_nothing_to_ask() {
    let counts = cut_everywhere(operations_on_open_files, false);
    assert_eq!(counts.asked, 0);
}
