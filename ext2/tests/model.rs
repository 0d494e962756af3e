//! Random operations against the crate and against a plain model: both must agree on every result
//! and on everything that is there in the end, and e2fsck must have nothing to say.
//!
//! `EXT2_TEST_CASES` sets how many sequences there are.

mod common;
#[path = "common/model.rs"]
mod model;

use std::cell::RefCell;
use std::path::Path;

use common::{assert_e2fsck_clean, debugfs, noise, run};
use ext2::make::{Builder, Options};
use ext2::{FileSystem, MountOptions};
use model::{Body, Model, Op, operations};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use tempfile::tempdir;

/// An empty image of ours.
fn made_by_us(block_size: u32, blocks: u64) -> Vec<u8> {
    let builder = Builder::new(Options {
        block_size,
        size_bytes: Some(u64::from(block_size) * blocks),
        inode_count: Some(256),
        ..Options::default()
    });
    let plan = builder.plan().expect("plan");
    let image = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&image).expect("write");
    image.into_inner()
}

/// An image of mke2fs.
fn made_by_mke2fs(work: &Path, size: &str, options: &[&str]) -> Vec<u8> {
    let folder = work.join("folder");
    std::fs::create_dir_all(folder.join("there")).expect("make a folder");
    for index in 0..60 {
        let path = folder.join(format!("there/{index}-{}", "l".repeat(90)));
        std::fs::write(path, noise(index, 700)).expect("write a file");
    }
    let image = work.join("made");
    let _ = std::fs::remove_file(&image);
    common::mke2fs(&folder, &image, size, options);
    std::fs::read(image).expect("read the image")
}

fn images(work: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let mke2fs = |size: &str, options: &[&str]| made_by_mke2fs(work, size, options);
    vec![
        ("ours, 1 KiB", made_by_us(1024, 20_000)),
        ("ours, 4 KiB", made_by_us(4096, 3000)),
        ("ours, 2 KiB, small", made_by_us(2048, 200)),
        (
            "1 KiB, many groups",
            mke2fs("6M", &["-b", "1024", "-g", "512", "-N", "400"]),
        ),
        ("revision 0", mke2fs("4M", &["-b", "1024", "-r", "0"])),
        (
            "4 KiB, inodes of 256",
            mke2fs("12M", &["-b", "4096", "-I", "256", "-N", "200"]),
        ),
        (
            "2 KiB, no features",
            mke2fs("5M", &["-b", "2048", "-O", "none", "-I", "128"]),
        ),
        (
            "1 KiB, small",
            mke2fs("500K", &["-b", "1024", "-O", "^resize_inode", "-N", "100"]),
        ),
    ]
}

fn mount(image: Vec<u8>) -> FileSystem<RefCell<Vec<u8>>> {
    FileSystem::mount(RefCell::new(image), MountOptions::default()).expect("mount")
}

/// Runs a sequence on an image; returns what is left of it, and how often space ran out.
fn run_sequence(image: Vec<u8>, operations: &[Op]) -> (Vec<u8>, Model) {
    let mut disk = mount(image);
    let mut model = Model::read(&disk).expect("read everything");
    for op in operations {
        model.apply(&mut disk, op);
        if matches!(op, Op::Remount) {
            disk = mount(disk.unmount().expect("unmount").into_inner());
            model.unmounted();
            model.assert_same(&disk);
        }
    }
    model.assert_same(&disk);
    let image = disk.unmount().expect("unmount").into_inner();
    model.assert_same(&mount(image.clone()));
    (image, model)
}

#[test]
fn the_crate_and_the_model_agree() {
    let cases = std::env::var("EXT2_TEST_CASES");
    let cases = cases.ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let work = tempdir().expect("make a folder");
    let file = work.path().join("image");
    let (mut steps, mut sequences, mut out_of_space) = (0, 0, 0);
    for (what, image) in images(work.path()) {
        let config = ProptestConfig {
            cases,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(7),
            max_shrink_iters: 2000,
            ..ProptestConfig::default()
        };
        let counts = RefCell::new((0, 0, 0));
        let result = TestRunner::new(config).run(&operations(400, 300_000), |operations| {
            let (image, model) = run_sequence(image.clone(), &operations);
            std::fs::write(&file, &image).expect("write the image");
            assert_e2fsck_clean(&file);
            let mut counts = counts.borrow_mut();
            counts.0 += operations.len();
            counts.1 += 1;
            counts.2 += model.out_of_space;
            if counts.1 % 3 == 1 {
                assert_debugfs_agrees(&file, &model);
            }
            Ok(())
        });
        if let Err(error) = result {
            panic!("{what}: {error}");
        }
        let counts = counts.into_inner();
        steps += counts.0;
        sequences += counts.1;
        out_of_space += counts.2;
    }
    println!("{steps} operations in {sequences} sequences, {out_of_space} out of space");
    assert!(out_of_space > 0, "no image was ever full");
}

/// Checks with debugfs what some files hold.
fn assert_debugfs_agrees(image: &Path, model: &Model) {
    let files = model
        .nodes
        .iter()
        .filter_map(|(number, node)| match &node.body {
            Body::File(content) => Some((number, content)),
            _ => None,
        });
    for (number, content) in files.take(4) {
        assert!(
            debugfs(image, &format!("cat <{number}>")) == *content,
            "content of {number}"
        );
    }
    drop(run("dumpe2fs", &["-h".as_ref(), image.as_ref()]));
}
