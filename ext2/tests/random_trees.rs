//! Trees of all shapes, made by us, judged by e2fsck and read back.

mod common;

use std::collections::BTreeMap;

use common::{assert_e2fsck_clean, mount, noise, read_all, write_image};
use ext2::FileType;
use ext2::make::{Attributes, Builder, Options};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::tempdir;

/// Something to add: where (an index into the directories so far), its name, and what it is.
#[derive(Clone, Debug)]
struct Addition {
    parent: prop::sample::Index,
    name: Vec<u8>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    File { len: usize },
    Symlink { len: usize },
    HardLink { target: prop::sample::Index },
}

fn additions() -> impl Strategy<Value = Vec<Addition>> {
    let name_byte = (1..=u8::MAX).prop_filter("not /", |byte| *byte != b'/');
    let name = prop_oneof![
        4 => prop::collection::vec(name_byte.clone(), 1..12),
        1 => prop::collection::vec(name_byte, 200..256),
    ]
    .prop_filter("not . or ..", |name| {
        !matches!(name.as_slice(), b"." | b"..")
    });
    let kind = prop_oneof![
        2 => Just(Kind::Directory),
        4 => prop_oneof![0..20usize, 0..20_000usize, 0..400_000usize].prop_map(|len| Kind::File { len }),
        1 => prop_oneof![1..70usize, 1..1024usize].prop_map(|len| Kind::Symlink { len }),
        1 => any::<prop::sample::Index>().prop_map(|target| Kind::HardLink { target }),
    ];
    let addition = (any::<prop::sample::Index>(), name, kind)
        .prop_map(|(parent, name, kind)| Addition { parent, name, kind });
    prop::collection::vec(addition, 0..120)
}

#[test]
fn every_tree_is_clean_and_reads_back() {
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::default()
    };
    let work = tempdir().expect("make a folder");
    let image = work.path().join("image");
    proptest!(config, |(additions in additions(), log_block_size in 10..13u32)| {
        let block_size = 1 << log_block_size;
        let mut builder = Builder::new(Options { block_size, ..Options::default() });
        let mut directories = vec![Vec::new(), b"lost+found".to_vec()];
        let mut files = Vec::new();
        // Type and content of everything by its path.
        let mut expected = BTreeMap::from([(b"lost+found".to_vec(), (FileType::Directory, Vec::new()))]);
        for (seed, Addition { parent, name, kind }) in additions.into_iter().enumerate() {
            let mut path = parent.get(&directories).clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name);
            if expected.contains_key(&path) {
                continue;
            }
            let (file_type, content) = match kind {
                Kind::Directory => {
                    builder.add_directory(&path, Attributes::directory()).expect("add");
                    directories.push(path.clone());
                    (FileType::Directory, Vec::new())
                }
                Kind::File { len } => {
                    let content = common::Owned::new(noise(seed as u64, len));
                    builder.add_file(&path, Attributes::file(), len as u64, content).expect("add");
                    files.push(path.clone());
                    (FileType::File, noise(seed as u64, len))
                }
                Kind::Symlink { len } => {
                    let mut target = noise(seed as u64, len);
                    target.iter_mut().for_each(|byte| *byte = (*byte).max(1));
                    if target.len() >= block_size as usize {
                        continue;
                    }
                    builder.add_symlink(&path, Attributes::symlink(), &target).expect("add");
                    (FileType::Symlink, target)
                }
                Kind::HardLink { .. } if files.is_empty() => continue,
                Kind::HardLink { target } => {
                    let target = target.get(&files);
                    builder.add_hard_link(&path, target).expect("add");
                    expected[target].clone()
                }
            };
            expected.insert(path, (file_type, content));
        }
        write_image(builder, &image);
        assert_e2fsck_clean(&image);
        let disk = mount(&image);
        let mut found = BTreeMap::new();
        disk.walk(|path, inode| {
            let content = match inode.file_type() {
                FileType::File => read_all(&disk, inode),
                FileType::Symlink => disk.read_link(inode)?,
                _ => Vec::new(),
            };
            found.insert(path.to_vec(), (inode.file_type(), content));
            Ok::<(), ext2::Error>(())
        })
        .expect("walk");
        prop_assert!(found == expected);
    });
}
