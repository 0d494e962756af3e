//! How often the device is asked: what the kernel's speed rests on.

use std::cell::RefCell;

use ext2::make::{Attributes, Builder, Options};
use ext2::{BlockDevice, DeviceError, FileSystem, MountOptions};

/// A device that keeps a list of what is read.
struct Recorder {
    inner: RefCell<Vec<u8>>,
    reads: RefCell<Vec<usize>>,
}

impl BlockDevice for Recorder {
    fn len_bytes(&self) -> u64 {
        self.inner.len_bytes()
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.reads.borrow_mut().push(buf.len());
        self.inner.read(offset_bytes, buf)
    }
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        self.inner.write(offset_bytes, buf)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn disk_with(content: &[u8]) -> FileSystem<Recorder> {
    let mut builder = Builder::new(Options::default());
    builder
        .add_file("file", Attributes::file(), content.len() as u64, content)
        .expect("add");
    let plan = builder.plan().expect("plan");
    let inner = RefCell::new(vec![0; plan.size_bytes() as usize]);
    plan.write(&inner).expect("write");
    let device = Recorder {
        inner,
        reads: RefCell::default(),
    };
    FileSystem::mount(device, MountOptions::default()).expect("mount")
}

#[test]
fn a_small_file_takes_one_read() {
    let content = vec![7; 40_000];
    let disk = disk_with(&content);
    let inode = disk.resolve(b"file").expect("find");
    disk.device().reads.borrow_mut().clear();
    let mut buf = vec![0; 50_000];
    assert_eq!(disk.read(&inode, 0, &mut buf), Ok(40_000));
    assert_eq!(*disk.device().reads.borrow(), [40_000]);
}

#[test]
fn a_name_takes_one_read_of_the_directory_and_one_of_the_inode() {
    let disk = disk_with(b"x");
    let root = disk.inode(disk.root()).expect("read the root");
    disk.device().reads.borrow_mut().clear();
    disk.find(&root, b"file").expect("find");
    assert_eq!(*disk.device().reads.borrow(), [512, 160]);
}

#[test]
fn a_contiguous_megabyte_takes_one_read_of_data() {
    let content: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    let disk = disk_with(&content);
    let inode = disk.resolve(b"file").expect("find");
    disk.device().reads.borrow_mut().clear();
    let mut buf = vec![0; 1 << 20];
    // Across the end of the single indirect block.
    let offset = 700_001;
    assert_eq!(disk.read(&inode, offset, &mut buf), Ok(1 << 20));
    assert!(buf == content[offset as usize..][..1 << 20]);
    let reads = disk.device().reads.borrow();
    let data: Vec<usize> = reads.iter().copied().filter(|len| *len > 512).collect();
    assert_eq!(data, [1 << 20]);
    assert!(reads.len() <= 6, "{reads:?}");
}

#[test]
fn a_mounted_file_system_can_be_shared_if_its_device_can() {
    fn assert_shared<T: Send + Sync>() {}
    assert_shared::<FileSystem<Box<dyn BlockDevice + Send + Sync>>>();
}
