//! A device that fails: the error comes back, nothing panics, and the disk stays in a state that
//! holds. After a failure that leaves doubt the file system is read-only (`errors=remount-ro`).

#[path = "common/check.rs"]
mod check;
mod common;
#[path = "common/model.rs"]
mod model;

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;

use common::run;
use ext2::make::{Builder, Options};
use ext2::{
    BlockDevice, DeviceError, Error, FileSystem, MountOptions, NewAttributes, ReadOnlyReason,
};
use model::{Model, operations};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tempfile::tempdir;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Call {
    Read,
    Write,
    Flush,
}

/// A device of which one call of a kind fails, or all from that one on.
struct Failing {
    image: RefCell<Vec<u8>>,
    call: Call,
    left: Cell<i64>,
    is_lasting: bool,
}

impl Failing {
    fn step(&self, call: Call) -> Result<(), DeviceError> {
        if call != self.call {
            return Ok(());
        }
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 || (self.left.get() < 0 && self.is_lasting) {
            return Err(DeviceError::IO);
        }
        Ok(())
    }
}

impl BlockDevice for &Failing {
    fn len_bytes(&self) -> u64 {
        self.image.len_bytes()
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.step(Call::Read)?;
        self.image.read(offset_bytes, buf)
    }
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        self.step(Call::Write)?;
        self.image.write(offset_bytes, buf)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        self.step(Call::Flush)
    }
}

fn image() -> Vec<u8> {
    let builder = Builder::new(Options {
        block_size: 1024,
        size_bytes: Some(900 * 1024),
        inode_count: Some(96),
        ..Options::default()
    });
    let plan = builder.plan().expect("plan");
    let image = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&image).expect("write");
    image.into_inner()
}

#[test]
fn no_failing_call_breaks_the_disk_or_panics() {
    let work = tempdir().expect("make a folder");
    let file = work.path().join("image");
    let (mut failures, mut read_only, mut repaired) = (0, 0, 0);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| {
        for (call, most) in [(Call::Read, 1500), (Call::Write, 600), (Call::Flush, 150)] {
            for at in (1..most).step_by(if call == Call::Read { 31 } else { 7 }) {
                let config = Config {
                    rng_seed: RngSeed::Fixed(at as u64 % 7),
                    failure_persistence: None,
                    ..Config::default()
                };
                let mut runner = TestRunner::new(config);
                let tree = operations(500, 40_000)
                    .new_tree(&mut runner)
                    .expect("operations");
                let device = Failing {
                    image: RefCell::new(image()),
                    call,
                    left: Cell::new(i64::MAX),
                    is_lasting: at % 2 == 0,
                };
                let mut disk = FileSystem::mount(&device, MountOptions::default()).expect("mount");
                let mut model = Model::read(&disk).expect("read everything");
                device.left.set(at);
                let mut has_failed = false;
                for op in tree.current() {
                    // The model does not know device errors: it gives up with a panic that names it.
                    let step = std::panic::catch_unwind(AssertUnwindSafe(|| {
                        model.apply(&mut disk, &op);
                    }));
                    if let Err(panic) = step {
                        let text = panic
                            .downcast_ref::<String>()
                            .cloned()
                            .unwrap_or_else(|| String::from("?"));
                        assert!(
                            device.left.get() <= 0
                                && ["evice", "Err(", "came up", "Failed"]
                                    .iter()
                                    .any(|word| text.contains(word)),
                            "{call:?} {at}: {text}"
                        );
                        has_failed = true;
                        break;
                    }
                }
                if !has_failed {
                    continue;
                }
                failures += 1;
                device.left.set(i64::MAX);
                if disk.facts().read_only.is_some() {
                    read_only += 1;
                    assert_eq!(disk.facts().read_only, Some(ReadOnlyReason::Failed));
                    let root = disk.root();
                    let result = disk.create(root, b"later", NewAttributes::default());
                    assert_eq!(result.err(), Some(Error::ReadOnly(ReadOnlyReason::Failed)));
                    assert!(disk.sync().is_err());
                } else {
                    Model::read(&disk).expect("read everything");
                    disk.unmount().expect("unmount");
                }
                let image = device.image.borrow().clone();
                let result = check::check(&image);
                assert_eq!(result, Ok(()), "{call:?} {at}");
                if failures % 5 == 0 {
                    repaired += 1;
                    std::fs::write(&file, &image).expect("write the image");
                    repair(&file);
                    Model::read(&common::mount(&file)).expect("read everything");
                }
            }
        }
    }));
    std::panic::set_hook(hook);
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().cloned();
        panic!("{}", text.unwrap_or_default());
    }
    println!(
        "{failures} failures, {read_only} left a read-only file system; {repaired} repaired by e2fsck"
    );
    assert!(failures > 50 && read_only > 20, "{failures} {read_only}");
}

/// Runs `e2fsck -fy`, then again to see that nothing is left to say.
fn repair(file: &std::path::Path) {
    let status = std::process::Command::new("e2fsck")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["-fy".as_ref(), file.as_os_str()])
        .output()
        .expect("e2fsck starts: install e2fsprogs")
        .status;
    assert!(status.code().is_some_and(|code| code <= 1), "{status}");
    drop(run("e2fsck", &["-fn".as_ref(), file.as_ref()]));
}

#[test]
fn a_failed_flush_fails_the_sync_and_every_write_after_it() {
    let device = Failing {
        image: RefCell::new(image()),
        call: Call::Flush,
        left: Cell::new(i64::MAX),
        is_lasting: false,
    };
    let mut disk = FileSystem::mount(&device, MountOptions::default()).expect("mount");
    let root = disk.root();
    let file = disk
        .create(root, b"file", NewAttributes::default())
        .expect("create");
    device.left.set(1);
    assert_eq!(
        disk.fsync(file.number()),
        Err(Error::Device(DeviceError::IO))
    );
    let failed = Error::ReadOnly(ReadOnlyReason::Failed);
    assert_eq!(disk.fsync(file.number()), Err(failed.clone()));
    assert_eq!(disk.write(file.number(), 0, b"x"), Err(failed));
}

#[test]
fn a_failed_write_of_data_is_an_error_of_that_write_only() {
    let device = Failing {
        image: RefCell::new(image()),
        call: Call::Write,
        left: Cell::new(i64::MAX),
        is_lasting: false,
    };
    let mut disk = FileSystem::mount(&device, MountOptions::default()).expect("mount");
    let root = disk.root();
    let file = disk
        .create(root, b"file", NewAttributes::default())
        .expect("create");
    device.left.set(1);
    let result = disk.write(file.number(), 0, b"data");
    assert_eq!(result, Err(Error::Device(DeviceError::IO)));
    assert_eq!(disk.inode(file.number()).expect("read").size(), 0);
    assert_eq!(disk.write(file.number(), 0, b"data"), Ok(4));
    let free = disk.facts().free_blocks;
    disk.unmount().expect("unmount");
    let disk = FileSystem::mount(&device, MountOptions::default()).expect("mount");
    assert_eq!(disk.facts().free_blocks, free);
    assert_eq!(check::check(&device.image.borrow()), Ok(()));
}
