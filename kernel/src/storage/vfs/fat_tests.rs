//! FAT through the tree of names: made by mkfs.fat, judged by fsck.fat, and damaged.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use std::path::PathBuf;
use std::process::Command;

use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};

use super::fat::Fat;
use super::file::OpenFile;
use super::namespace::LastLink;
use super::node::{Changes, Timestamp};
use super::operations;
use super::test_tree::{Tree, volume};
use crate::error::Errno;
use crate::storage::block_cache::tests::MemoryDisk;

/// Options of mkfs.fat, and KiB: each kind of FAT, with different clusters and sectors.
const KINDS: [(&str, usize); 4] = [
    ("-F 12 -r 112", 1440),
    ("-F 16 -s 1", 8 << 10),
    ("-F 32 -s 1", 36 << 10),
    ("-F 16 -S 4096 -s 1", 40 << 10),
];

/// A file of the host's that goes with this.
struct HostFile(PathBuf);

impl HostFile {
    fn new(content: &[u8]) -> Self {
        use core::sync::atomic::AtomicUsize;
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("toro-fat-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).expect("a file");
        Self(path)
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn mkfs((options, kib): (&str, usize)) -> Arc<MemoryDisk> {
    let file = HostFile::new(&vec![0; kib << 10]);
    let made = Command::new("mkfs.fat")
        .args(options.split_whitespace())
        .arg(&file.0)
        .output()
        .expect("mkfs.fat, of dosfstools");
    assert!(made.status.success(), "{made:?}");
    MemoryDisk::new(std::fs::read(&file.0).expect("the image"))
}

/// fsck.fat has nothing to say.
#[track_caller]
fn is_sound(disk: &MemoryDisk) {
    let file = HostFile::new(&disk.content.lock());
    let checked = Command::new("fsck.fat").arg("-nv").arg(&file.0).output();
    let checked = checked.expect("fsck.fat, of dosfstools");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}");
    assert!(!said.to_lowercase().contains("dirty"), "{said}");
}

fn try_mount(disk: &Arc<MemoryDisk>, is_read_only: bool) -> core::result::Result<Tree, String> {
    Fat::mount(volume(disk), "disk".to_string(), is_read_only).map(Tree::new)
}

fn mount(disk: &Arc<MemoryDisk>) -> Tree {
    try_mount(disk, false).expect("sound")
}

#[test]
fn what_is_written_is_there_after_the_next_mount_on_every_kind_of_fat() {
    for kind in KINDS {
        let disk = mkfs(kind);
        let tree = mount(&disk);
        tree.mkdir("/Folder with a long name").expect("new");
        let long = "/Folder with a long name/Größe & 漢字, a name that needs many entries.text";
        assert_eq!(tree.write(long, b"first"), Ok(5));
        let file = tree.open(long, O_RDWR | libc::O_APPEND).expect("there");
        assert_eq!(file.write(b" second"), Ok(7));
        file.set_len(8).expect("shorter");
        file.entry().node.sync().expect("works");
        let large: Vec<u8> = (0..150_000u32).map(|i| (i % 251) as u8).collect();
        assert_eq!(tree.write("/SHORT.BIN", &large), Ok(large.len()));
        drop(file);
        tree.unmount();
        is_sound(&disk);
        let tree = mount(&disk);
        assert_eq!(tree.read(long).as_deref(), Ok(&b"first se"[..]), "{kind:?}");
        // Whatever the case of the letters.
        assert_eq!(tree.read("/short.Bin"), Ok(large), "{kind:?}");
        assert_eq!(
            tree.names("/"),
            Ok(vec!["Folder with a long name".into(), "SHORT.BIN".into()])
        );
        assert_eq!(
            tree.mkdir("/FOLDER WITH A LONG NAME"),
            Err(Errno(libc::EEXIST))
        );
    }
}

#[test]
fn what_fat_cannot_do_is_an_error() {
    let disk = mkfs(KINDS[1]);
    let tree = mount(&disk);
    assert_eq!(tree.write("/file", b"text"), Ok(4));
    let root = tree.0.root();
    let not_permitted = Err(Errno(libc::EPERM));
    assert_eq!(
        operations::make_symlink(&tree.0, b"file", root, b"/link"),
        not_permitted
    );
    let entry = tree.0.resolve(root, b"/file", LastLink::Follow);
    let entry = entry.expect("there");
    assert_eq!(
        operations::make_link(&tree.0, &entry, root, b"/hard"),
        not_permitted
    );
    let owner = Changes {
        uid: Some(1000),
        ..Changes::default()
    };
    assert_eq!(entry.node.change(&owner), not_permitted);
    for name in [
        "/a:b",
        "/what?",
        "/star*",
        "/back\\slash",
        "/ends with a dot.",
    ] {
        assert_eq!(tree.write(name, b""), Err(Errno(libc::EINVAL)), "{name}");
    }
    assert_eq!(
        tree.0
            .find(root, b"/\xFF", LastLink::Keep)
            .map(|found| found.entry.is_none()),
        Ok(true)
    );
    let beyond = tree.open("/file", O_RDWR).expect("there");
    assert_eq!(
        beyond.write_at(u64::from(u32::MAX), b"x"),
        Err(Errno(libc::EFBIG))
    );
    assert_eq!(beyond.set_len(1 << 32), Err(Errno(libc::EFBIG)));
    // Permissions are those of all: written, or not.
    let only_read = Changes {
        permissions: Some(0o400),
        modified: Some(Timestamp {
            seconds: 1_700_000_001,
            nanoseconds: 5,
        }),
        ..Changes::default()
    };
    entry.node.change(&only_read).expect("kept");
    let facts = entry.node.metadata().expect("readable");
    assert_eq!(facts.permissions, 0o444);
    assert_eq!(facts.modified.seconds, 1_700_000_000);
    assert_eq!(
        (facts.links, facts.len_bytes, facts.blocks_of_512),
        (1, 4, 1)
    );
}

#[test]
fn a_name_means_the_same_in_any_case_and_what_it_was_last_given_to() {
    let disk = mkfs(KINDS[1]);
    let tree = mount(&disk);
    for round in 0..3 {
        assert_eq!(tree.write("/File.Text", b"one"), Ok(3));
        assert_eq!(tree.read("/FILE.TEXT").as_deref(), Ok(&b"one"[..]));
        tree.unlink("/file.text").expect("there");
        for gone in ["/File.Text", "/FILE.TEXT", "/file.text"] {
            assert_eq!(tree.read(gone), Err(Errno(libc::ENOENT)), "{round}");
        }
        assert_eq!(tree.write("/a", b"a"), Ok(1));
        tree.rename("/a", "/A").expect("only its case changes");
        assert_eq!(tree.names("/"), Ok(vec!["A".into()]));
        assert_eq!(tree.write("/b", b"bb"), Ok(2));
        assert_eq!(tree.rename_as("/a", "/B", false), Err(Errno(libc::EEXIST)));
        tree.rename("/a", "/B").expect("both there");
        assert_eq!(tree.read("/b").as_deref(), Ok(&b"a"[..]));
        assert_eq!(tree.read("/a"), Err(Errno(libc::ENOENT)));
        tree.mkdir("/d").expect("new");
        tree.mkdir("/d/e").expect("new");
        tree.rename("/B", "/d/e/c").expect("there");
        assert_eq!(tree.rename("/d", "/d/e/f"), Err(Errno(libc::EINVAL)));
        tree.rename("/d/e", "/e").expect("its parent changes");
        assert_eq!(tree.read("/E/C").as_deref(), Ok(&b"a"[..]));
        assert_eq!(tree.rmdir("/e"), Err(Errno(libc::ENOTEMPTY)));
        tree.unlink("/e/c").expect("there");
        tree.rename("/d", "/e").expect("an empty one is replaced");
        tree.rmdir("/e").expect("empty");
    }
    tree.unmount();
    is_sound(&disk);
}

#[test]
fn a_removed_file_lives_as_long_as_it_is_open() {
    for kind in KINDS {
        let disk = mkfs(kind);
        let tree = mount(&disk);
        tree.mkdir("/d").expect("new");
        let before = tree.free_blocks();
        assert_eq!(tree.write("/d/file", &[7; 50_000]), Ok(50_000));
        let file = tree.open("/d/file", O_RDWR).expect("there");
        tree.unlink("/D/FILE").expect("there");
        assert_eq!(tree.names("/"), Ok(vec!["d".into()]));
        assert_eq!(tree.names("/d"), Ok(vec![]));
        assert!(tree.free_blocks() < before);
        let mut buf = [0; 100];
        assert_eq!(file.read_at(49_950, &mut buf), Ok(50));
        assert_eq!(file.write_at(60_000, b"more"), Ok(4));
        assert_eq!(file.entry().node.metadata().expect("readable").links, 0);
        // The name can be given again.
        assert_eq!(tree.write("/d/file", b"new"), Ok(3));
        drop(file);
        assert_eq!(tree.read("/d/file").as_deref(), Ok(&b"new"[..]));
        // One that is replaced, and one that is open when the file system is unmounted.
        assert_eq!(tree.write("/a", b"a"), Ok(1));
        let replaced = tree.open("/d/file", O_RDONLY).expect("there");
        tree.rename("/a", "/d/file").expect("there");
        assert_eq!(replaced.read(&mut buf), Ok(3));
        assert_eq!(&buf[..3], b"new");
        tree.unlink("/d/file").expect("there");
        // One whose machine is cut off: the next mount removes it.
        let cut = MemoryDisk::new({
            tree.file_system().sync().expect("works");
            disk.content.lock().clone()
        });
        let again = mount(&cut);
        assert_eq!(again.names("/"), Ok(vec!["d".into()]));
        again.unmount();
        tree.unmount();
        drop(replaced);
        for disk in [disk, cut] {
            is_sound(&disk);
            assert_eq!(mount(&disk).free_blocks(), before, "{kind:?}");
        }
    }
}

#[test]
fn a_removed_directory_that_somebody_stands_in_is_empty() {
    let tree = mount(&mkfs(KINDS[2]));
    tree.mkdir("/here").expect("new");
    let here = tree.0.resolve(tree.0.root(), b"/here", LastLink::Follow);
    let here = here.expect("there");
    let open = tree.open("/here", O_RDONLY).expect("there");
    tree.rmdir("/here").expect("empty");
    assert_eq!(super::path_of(&here), Err(Errno(libc::ENOENT)));
    let nothing = here.node.read_dir(0, &mut |_| panic!("an entry"));
    assert_eq!(nothing, Ok(()));
    let made = operations::make_directory(&tree.0, &here, b"below", 0o755);
    assert_eq!(made, Err(Errno(libc::ENOENT)));
    tree.mkdir("/here").expect("another one");
    assert_eq!(open.entry().node.metadata().expect("known").links, 0);
}

#[test]
fn full_and_failing_disks_are_errors_and_lose_nothing() {
    let disk = mkfs(KINDS[0]);
    let tree = mount(&disk);
    assert_eq!(tree.write("/kept", b"kept"), Ok(4));
    let file = tree.open("/large", O_WRONLY | O_CREAT).expect("new");
    let mut written = 0;
    let error = loop {
        match file.write(&[5; 70_000]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno(libc::ENOSPC));
    assert!(written > 1_300_000, "{written}");
    // The root of this kind has room for so many.
    let names = (0..200).map(|number| tree.write(&format!("/N{number}"), b""));
    let refused = names
        .filter(|made| *made == Err(Errno(libc::ENOSPC)))
        .count();
    assert!((80..120).contains(&refused), "{refused}");
    // Without a name it would have no place to be.
    assert_eq!(tree.unlink("/large"), Err(Errno(libc::ENOSPC)));
    drop(file);
    tree.unlink("/large").expect("there");
    disk.is_broken.store(true, Ordering::Relaxed);
    let file = tree.open("/kept", O_RDWR).expect("known");
    let failed = file
        .write_at(0, b"lost")
        .and_then(|_| file.entry().node.sync());
    assert_eq!(failed, Err(Errno(libc::EIO)));
    disk.is_broken.store(false, Ordering::Relaxed);
    assert_eq!(file.write_at(0, b"anew"), Ok(4));
    file.entry().node.sync().expect("works again");
    drop(file);
    tree.unmount();
    is_sound(&disk);
    assert_eq!(mount(&disk).read("/kept").as_deref(), Ok(&b"anew"[..]));
}

#[test]
fn a_disk_that_is_only_read_is_not_changed() {
    let disk = mkfs(KINDS[1]);
    let tree = mount(&disk);
    assert_eq!(tree.write("/file", b"text"), Ok(4));
    tree.unmount();
    let before = disk.content.lock().clone();
    let tree = try_mount(&disk, true).expect("sound");
    assert_eq!(tree.read("/file").as_deref(), Ok(&b"text"[..]));
    for refused in [
        tree.write("/file", b"x").map(|_| ()),
        tree.unlink("/file"),
        tree.mkdir("/d"),
        tree.rename("/file", "/other"),
    ] {
        assert_eq!(refused, Err(Errno(libc::EROFS)));
    }
    tree.unmount();
    assert!(*disk.content.lock() == before);
}

#[test]
fn at_rest_it_is_marked_as_unmounted_and_while_changed_it_is_not() {
    let disk = mkfs(KINDS[1]);
    let tree = mount(&disk);
    // The clean bit of the second entry of the table, at sector 4 here (four reserved sectors with these clusters or one).
    let reserved = usize::from(disk.content.lock()[14]);
    let is_clean = || disk.content.lock()[reserved * 512 + 3] & 0x80 != 0;
    assert!(is_clean());
    let file = tree.open("/file", O_RDWR | O_CREAT).expect("new");
    assert_eq!(file.write(b"text"), Ok(4));
    file.entry().node.sync().expect("works");
    assert!(!is_clean());
    assert!(tree.file_system().write_behind());
    assert!(is_clean());
    assert!(!tree.file_system().write_behind());
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn any_sequence_leaves_what_it_should_and_a_sound_disk() {
    for (seed, kind) in KINDS.into_iter().enumerate() {
        let disk = mkfs(kind);
        let mut random = Random(seed as u64);
        let mut tree = mount(&disk);
        for folder in 0..3 {
            tree.mkdir(&format!("/folder {folder}")).expect("new");
        }
        // What should be there: by path, and of the open ones by number.
        let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut open: Vec<(OpenFile, Vec<u8>, Option<String>)> = Vec::new();
        for step in 0..1500 {
            let path = |random: &mut Random| {
                let number = random.below(12);
                match random.below(4) {
                    3 => format!("/SHORT{number}.TXT"),
                    folder => format!("/folder {folder}/a long name, number {number}.text"),
                }
            };
            let one = path(&mut random);
            match random.below(9) {
                0..3 => {
                    let content = vec![step as u8; random.below(9000) as usize];
                    // Whoever has it open sees it, too.
                    for (_, seen, name) in &mut open {
                        if name.as_ref() == Some(&one) {
                            seen.clone_from(&content);
                        }
                    }
                    assert_eq!(tree.write(&one, &content), Ok(content.len()));
                    model.insert(one, content);
                }
                3 => {
                    let done = tree.unlink(&one);
                    match model.remove(&one) {
                        Some(_) => assert_eq!(done, Ok(())),
                        None => assert_eq!(done, Err(Errno(libc::ENOENT))),
                    }
                    for (_, _, name) in &mut open {
                        name.take_if(|name| *name == one);
                    }
                }
                4 | 5 => {
                    let two = path(&mut random);
                    let done = tree.rename(&one, &two);
                    let Some(content) = model.remove(&one) else {
                        assert_eq!(done, Err(Errno(libc::ENOENT)));
                        continue;
                    };
                    assert_eq!(done, Ok(()), "{one} to {two}");
                    model.insert(two.clone(), content);
                    for (_, _, name) in &mut open {
                        if one != two {
                            name.take_if(|name| *name == two);
                        }
                        if name.as_ref() == Some(&one) {
                            *name = Some(two.clone());
                        }
                    }
                }
                6 => {
                    if let Some(content) = model.get(&one)
                        && open.len() < 6
                    {
                        let file = tree.open(&one, O_RDWR).expect("there");
                        open.push((file, content.clone(), Some(one)));
                    }
                }
                7 => {
                    if !open.is_empty() {
                        let index = random.below(open.len() as u64) as usize;
                        let (file, content, _) = open.swap_remove(index);
                        let mut read = vec![0; 20_000];
                        let len = file.read_at(0, &mut read).expect("readable");
                        assert!(read[..len] == content, "step {step}");
                    }
                }
                _ => {
                    let (at, len) = (random.below(12_000), random.below(3000));
                    let Some(index) = (!open.is_empty()).then(|| random.below(open.len() as u64))
                    else {
                        continue;
                    };
                    let (file, _, name) = &open[index as usize];
                    let data = vec![!(step as u8); len as usize];
                    assert_eq!(file.write_at(at, &data), Ok(data.len()));
                    let mut content = open[index as usize].1.clone();
                    if !data.is_empty() {
                        content.resize(content.len().max((at + len) as usize), 0);
                        content[at as usize..(at + len) as usize].copy_from_slice(&data);
                    }
                    if let Some(name) = name.clone() {
                        model.insert(name.clone(), content.clone());
                        for (_, seen, other) in &mut open {
                            if other.as_ref() == Some(&name) {
                                seen.clone_from(&content);
                            }
                        }
                    } else {
                        // Only those who had it open together see it.
                        let number = open[index as usize].0.entry().node.number();
                        for (file, seen, _) in &mut open {
                            if file.entry().node.number() == number {
                                seen.clone_from(&content);
                            }
                        }
                    }
                }
            }
            if step % 300 == 299 {
                open.clear();
                tree.unmount();
                is_sound(&disk);
                tree = mount(&disk);
                for (path, content) in &model {
                    assert!(
                        tree.read(path).as_ref() == Ok(content),
                        "{path}, step {step}"
                    );
                }
            }
        }
    }
}

/// A number from the environment: `TORO_FAT_ROUNDS`, how many damaged disks of each kind are tried, and `TORO_FAT_SEED`.
fn wanted(name: &str, otherwise: u64) -> u64 {
    let wanted = std::env::var(name).ok();
    wanted
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// Damages a disk whose directories begin at `entries`: a byte of anything, a link of the table, or a field of an entry, so that chains meet,
/// lead in circles or into nothing, and things are not what they are said to be.
fn damage(disk: &mut [u8], entries: usize, may_hit_boot_sector: bool, random: &mut Random) {
    let of =
        |random: &mut Random, values: &[u32]| values[random.below(values.len() as u64) as usize];
    let cluster = |random: &mut Random| match random.below(6) {
        0 => of(random, &[0, 1, 0xFFF7, 0xFFFF, 0x0FFF_FFF8, u32::MAX]),
        _ => 2 + random.below(90) as u32,
    };
    let slot = |random: &mut Random| entries + 32 * random.below(1200) as usize;
    match random.below(8) {
        0 if may_hit_boot_sector => disk[random.below(90) as usize] = random.below(256) as u8,
        0 | 1 => disk[512 + random.below(3000) as usize] = random.below(256) as u8,
        2 => disk[random.below(entries as u64 + 40_000) as usize] = random.below(256) as u8,
        3 | 4 => {
            let to = cluster(random).to_le_bytes();
            let len = 2 + 2 * random.below(2) as usize;
            let at = 512 * (1 + random.below(40) as usize) + len * random.below(100) as usize;
            disk[at..at + len].copy_from_slice(&to[..len]);
        }
        5 => {
            let to = cluster(random).to_le_bytes();
            let at = slot(random);
            disk[at + 26..at + 28].copy_from_slice(&to[..2]);
            disk[at + 20..at + 22].copy_from_slice(&to[2..]);
        }
        6 => {
            let kind = of(random, &[0, 0x08, 0x0F, 0x10, 0x18, 0x20, 0x3F, 0xFF]);
            disk[slot(random) + 11] = kind as u8;
        }
        _ => {
            let size = of(random, &[0, 1, 512, 4096, 70_000, 0x7FFF_FFFF, u32::MAX]);
            let at = slot(random);
            disk[at + 28..at + 32].copy_from_slice(&size.to_le_bytes());
        }
    }
}

/// Does what can be done with all that can be reached; a damaged disk may refuse any of it.
fn exercise(tree: &Tree, path: &str, depth: usize, budget: &mut usize) {
    let Ok(names) = tree.names(if path.is_empty() { "/" } else { path }) else {
        return;
    };
    for name in names {
        if *budget == 0 || depth > 8 {
            return;
        }
        *budget -= 1;
        let child = format!("{path}/{name}");
        let Ok(file) = tree.open(&child, O_RDONLY) else {
            continue;
        };
        let _ = file.entry().node.metadata();
        if file.entry().is_directory() {
            exercise(tree, &child, depth + 1, budget);
            let _ = tree.write(&format!("{child}/a new file"), b"text");
            let _ = tree.mkdir(&format!("{child}/a new folder"));
            let _ = tree.rename(&child, &format!("{child}/a new folder/itself"));
            let _ = tree.rename(&child, "/taken");
            let _ = tree.rename(&format!("{child}/a new folder"), "/taken");
            let _ = tree.rmdir(&child);
        } else {
            let mut buf = vec![0; 5000];
            for at in [0, 3000, 60_000, u64::from(u32::MAX) - 10] {
                let _ = file.read_at(at, &mut buf);
            }
            if let Ok(file) = tree.open(&child, O_RDWR) {
                let _ = file.write_at(100, &[1; 3000]);
                let _ = file.set_len(40_000);
                let _ = file.set_len(10);
            }
            let _ = tree.rename(&child, &format!("{child} moved"));
            let _ = tree.unlink(&format!("{child} moved"));
        }
    }
}

#[test]
fn a_damaged_disk_ends_in_errors_and_after_a_bounded_time() {
    for (seed, kind) in [KINDS[0], KINDS[1], ("-F 32 -s 1", 34 << 10)]
        .into_iter()
        .enumerate()
    {
        let disk = mkfs(kind);
        let tree = mount(&disk);
        for folder in ["/one", "/one/two", "/a folder with a long name"] {
            tree.mkdir(folder).expect("new");
            for number in 0..10 {
                let file = format!("{folder}/file with number {number}");
                tree.write(&file, &vec![7; number * 1500]).expect("room");
            }
        }
        tree.unmount();
        let sound = disk.content.lock().clone();
        let start_of_data = sound
            .windows(11)
            .position(|name| name.starts_with(b"ONE        "));
        let entries = start_of_data.expect("the root");
        let mut random = Random(seed as u64 + 40 + wanted("TORO_FAT_SEED", 0));
        for round in 0..wanted("TORO_FAT_ROUNDS", 50) {
            let mut damaged = sound.clone();
            for _ in 0..1 + random.below(12) {
                damage(&mut damaged, entries, round % 4 == 0, &mut random);
            }
            let disk = MemoryDisk::new(damaged);
            if let Ok(tree) = try_mount(&disk, false) {
                exercise(&tree, "", 0, &mut 400);
                tree.file_system().usage();
                let _ = tree.file_system().unmount();
            }
            let commands = disk.reads.load(Ordering::Relaxed) + disk.writes.load(Ordering::Relaxed);
            assert!(commands < 400_000, "round {round}: {commands} commands");
        }
    }
}

#[test]
fn chains_and_trees_that_loop_end() {
    let disk = mkfs(KINDS[1]);
    let tree = mount(&disk);
    tree.mkdir("/d").expect("new");
    tree.write("/file", &[3; 3000]).expect("room");
    tree.unmount();
    let (table, entry_of) = {
        let content = disk.content.lock();
        let at = |name: &[u8]| {
            let found = content.windows(11).position(|bytes| bytes == name);
            found.expect("an entry")
        };
        let table = usize::from(content[14]) * 512;
        (table, (at(b"D          "), at(b"FILE       ")))
    };
    let cluster_of = |disk: &MemoryDisk, entry: usize| {
        let content = disk.content.lock();
        u16::from_le_bytes([content[entry + 26], content[entry + 27]])
    };
    let (directory, file) = (cluster_of(&disk, entry_of.0), cluster_of(&disk, entry_of.1));
    {
        let mut content = disk.content.lock();
        let mut set = |cluster: u16, next: u16| {
            let at = table + 2 * usize::from(cluster);
            content[at..at + 2].copy_from_slice(&next.to_le_bytes());
        };
        // The directory's only cluster follows itself, and the file's second cluster the first.
        set(directory, directory);
        set(file + 1, file);
        // No entry of the directory is the last, and the file says that it is as long as can be.
        let data = content.len();
        let offset = {
            let sectors =
                |at: usize| usize::from(u16::from_le_bytes([content[at], content[at + 1]]));
            let root = sectors(14) + 2 * sectors(22);
            root * 512 + sectors(17) * 32 + (usize::from(directory) - 2) * 512
        };
        assert!(offset + 512 < data);
        for entry in content[offset + 64..offset + 512].chunks_mut(32) {
            entry[0] = 0xE5;
        }
        content[entry_of.1 + 28..entry_of.1 + 32].fill(0xFF);
    }
    let tree = mount(&disk);
    let unclean = Errno(libc::EUCLEAN);
    assert_eq!(tree.names("/d"), Err(unclean));
    assert_eq!(tree.write("/d/new", b"x"), Err(unclean));
    let file = tree.open("/file", O_RDWR).expect("there");
    let mut buf = vec![0; 4000];
    assert_eq!(file.read_at(0, &mut buf), Err(unclean));
    assert_eq!(file.read_at(4_000_000_000, &mut buf), Err(unclean));
    assert_eq!(file.write_at(3_000_000_000, b"x"), Err(unclean));
    let commands = disk.reads.load(Ordering::Relaxed);
    assert!(commands < 50_000, "{commands}");
}
