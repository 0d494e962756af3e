//! What the tests share: image files as devices, folders as sources, and the programs of e2fsprogs
//! as judges.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use ext2::make::{Attributes, Builder, Content, Options};
use ext2::{BlockDevice, DeviceError, FileSystem, FileType, Inode, MountOptions};

/// An image file.
pub(crate) struct ImageFile(File);

impl ImageFile {
    /// Opens an image that is there.
    pub(crate) fn open(path: &Path) -> Self {
        Self(
            File::options()
                .read(true)
                .write(true)
                .open(path)
                .expect("open the image"),
        )
    }

    /// Makes an empty image of a size.
    pub(crate) fn create(path: &Path, size_bytes: u64) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .expect("create the image");
        file.set_len(size_bytes).expect("size the image");
        Self(file)
    }
}

fn device_error(error: std::io::Error) -> DeviceError {
    DeviceError(error.raw_os_error().unwrap_or(5))
}

impl BlockDevice for ImageFile {
    fn len_bytes(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len())
    }
    fn read(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<(), DeviceError> {
        self.0
            .read_exact_at(buf, offset_bytes)
            .map_err(device_error)
    }
    fn write(&self, offset_bytes: u64, buf: &[u8]) -> Result<(), DeviceError> {
        self.0.write_all_at(buf, offset_bytes).map_err(device_error)
    }
    fn flush(&self) -> Result<(), DeviceError> {
        self.0.sync_data().map_err(device_error)
    }
}

/// A file that is opened when it is first read.
pub(crate) struct LazyFile {
    path: PathBuf,
    file: Option<File>,
}

impl Content for LazyFile {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, String> {
        use std::io::Read;
        let file = match &mut self.file {
            Some(file) => file,
            None => self
                .file
                .insert(File::open(&self.path).map_err(|error| error.to_string())?),
        };
        file.read(buf).map_err(|error| error.to_string())
    }
}

/// Content in memory that belongs to the builder.
pub(crate) struct Owned(std::io::Cursor<Vec<u8>>);

impl Owned {
    pub(crate) fn new(content: Vec<u8>) -> Self {
        Self(std::io::Cursor::new(content))
    }
}

impl Content for Owned {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, String> {
        std::io::Read::read(&mut self.0, buf).map_err(|error| error.to_string())
    }
}

/// Writes what was collected into an image file.
pub(crate) fn write_image(builder: Builder<'_>, image: &Path) {
    let plan = builder.plan().expect("plan the image");
    let device = ImageFile::create(image, plan.size_bytes());
    plan.write(&device).expect("write the image");
}

/// Makes an image from a folder.
pub(crate) fn make_image(folder: &Path, image: &Path, options: Options) {
    let mut builder = Builder::new(options);
    add_folder(&mut builder, folder, b"");
    write_image(builder, image);
}

/// Adds what is in a folder.
pub(crate) fn add_folder(builder: &mut Builder<'_>, folder: &Path, below: &[u8]) {
    for entry in fs::read_dir(folder).expect("list a folder") {
        let entry = entry.expect("list a folder");
        let metadata = entry.metadata().expect("look at a file");
        let mut path = below.to_vec();
        path.push(b'/');
        path.extend_from_slice(entry.file_name().as_bytes());
        let attributes = Attributes {
            permissions: (metadata.mode() & 0o7777) as u16,
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified: metadata.mtime(),
        };
        if metadata.is_dir() {
            builder
                .add_directory(&path, attributes)
                .expect("add a directory");
            add_folder(builder, &entry.path(), &path);
        } else if metadata.is_symlink() {
            let target = fs::read_link(entry.path()).expect("read a link");
            builder
                .add_symlink(&path, attributes, target.as_os_str().as_bytes())
                .expect("add a link");
        } else {
            let content = LazyFile {
                path: entry.path(),
                file: None,
            };
            builder
                .add_file(&path, attributes, metadata.len(), content)
                .expect("add a file");
        }
    }
}

/// Mounts an image file.
pub(crate) fn mount(image: &Path) -> FileSystem<ImageFile> {
    FileSystem::mount(ImageFile::open(image), MountOptions::default()).expect("mount the image")
}

/// Reads a whole file, in pieces of a size that fits no block.
pub(crate) fn read_all<D: BlockDevice>(disk: &FileSystem<D>, inode: &Inode) -> Vec<u8> {
    let mut content = Vec::new();
    let mut piece = vec![0; 100_003];
    loop {
        let len = disk
            .read(inode, content.len() as u64, &mut piece)
            .expect("read a file");
        if len == 0 {
            return content;
        }
        content.extend_from_slice(&piece[..len]);
    }
}

/// Checks that a file system holds what a folder holds, and nothing else but `lost+found`.
pub(crate) fn assert_same_as_folder<D: BlockDevice>(disk: &FileSystem<D>, folder: &Path) {
    let mut seen = 0;
    disk.walk(|path, inode| {
        if path == b"lost+found" {
            return Ok(());
        }
        seen += 1;
        let on_host = folder.join(std::ffi::OsStr::from_bytes(path));
        let shown = on_host.display();
        let metadata = on_host
            .symlink_metadata()
            .expect("a file of the image is in the folder");
        assert_eq!(u32::from(inode.mode()), metadata.mode(), "mode of {shown}");
        assert_eq!(inode.modified(), metadata.mtime(), "time of {shown}");
        assert_eq!(
            (inode.uid(), inode.gid()),
            (metadata.uid(), metadata.gid()),
            "owner of {shown}"
        );
        match inode.file_type() {
            FileType::File => {
                assert_eq!(inode.size(), metadata.len(), "size of {shown}");
                let expected = fs::read(&on_host).expect("read a file of the folder");
                assert!(
                    read_all(disk, inode) == expected,
                    "content of {shown} differs"
                );
            }
            FileType::Directory => {
                assert_eq!(
                    u64::from(inode.links()),
                    metadata.nlink(),
                    "links of {shown}"
                );
            }
            FileType::Symlink => {
                let target = fs::read_link(&on_host).expect("read a link of the folder");
                assert_eq!(
                    disk.read_link(inode).expect("read a link"),
                    target.as_os_str().as_bytes()
                );
            }
            other => panic!("{shown} is a {other}"),
        }
        Ok::<(), ext2::Error>(())
    })
    .expect("walk through the image");
    assert_eq!(
        seen,
        count(folder),
        "number of files in {}",
        folder.display()
    );
}

fn count(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("list a folder");
    entries
        .map(|entry| {
            let entry = entry.expect("list a folder");
            let is_dir = entry.file_type().expect("look at a file").is_dir();
            1 + if is_dir { count(&entry.path()) } else { 0 }
        })
        .sum()
}

/// Runs a program of e2fsprogs and returns its standard output.
pub(crate) fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Vec<u8> {
    let output = Command::new(program)
        .env(
            "PATH",
            format!(
                "{}:/usr/sbin:/sbin",
                std::env::var("PATH").unwrap_or_default()
            ),
        )
        // One fixed time, so that images do not differ from run to run.
        .env("E2FSPROGS_FAKE_TIME", "1000000000")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program} does not start ({error}): install e2fsprogs"));
    assert!(
        output.status.success(),
        "{program} {arguments:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output.stdout
}

/// Checks that `e2fsck -fn` has nothing to say.
pub(crate) fn assert_e2fsck_clean(image: &Path) {
    run("e2fsck", &["-fn".as_ref(), image.as_ref()]);
}

/// What debugfs prints for a request.
pub(crate) fn debugfs(image: &Path, request: &str) -> Vec<u8> {
    run(
        "debugfs",
        &["-R".as_ref(), request.as_ref(), image.as_ref()],
    )
}

/// Makes an image from a folder with mke2fs.
pub(crate) fn mke2fs(folder: &Path, image: &Path, size: &str, options: &[&str]) {
    let mut arguments: Vec<&std::ffi::OsStr> = ["-q", "-F", "-t", "ext2"]
        .iter()
        .chain(options)
        .map(|word| word.as_ref())
        .collect();
    arguments.extend::<[&std::ffi::OsStr; 4]>([
        "-d".as_ref(),
        folder.as_ref(),
        image.as_ref(),
        size.as_ref(),
    ]);
    run("mke2fs", &arguments);
}

/// Bytes that look like chance but are the same every time.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len)
    .collect()
}

/// Fills a folder with all that ext2 can hold: files of many sizes, one with holes, long names,
/// names that are not UTF-8, short and long links, deep and empty directories.
pub(crate) fn fill_folder(folder: &Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let write = |name: &[u8], content: &[u8]| {
        let path = folder.join(std::ffi::OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("a path has a parent")).expect("make a folder");
        fs::write(path, content).expect("write a file");
    };
    for len in [
        0,
        1,
        59,
        60,
        1023,
        1024,
        1025,
        4095,
        4096,
        4097,
        12 * 1024,
        12 * 1024 + 1,
    ] {
        write(format!("sizes/{len}").as_bytes(), &noise(len as u64, len));
    }
    // Into single and double indirect blocks for every block size; triple ones have their own test.
    write(b"sizes/single", &noise(1, 49 * 1024 + 7));
    write(b"sizes/double", &noise(2, 5 * 1024 * 1024 + 13));
    write(
        &[b"names/".as_slice(), &[b'n'; 255]].concat(),
        b"longest name",
    );
    write(b"names/\xFF\xFE not utf-8 \x80", b"bytes");
    write(b"names/with space", b"space");
    write("names/größe-名前".as_bytes(), b"utf-8");
    write(b"a/b/c/d/e/f/g/h/i/j/deep", b"deep");
    fs::create_dir_all(folder.join("empty")).expect("make a folder");
    for index in 0..300 {
        write(
            format!("many/file-{index:04}").as_bytes(),
            format!("{index}\n").as_bytes(),
        );
    }

    let sparse = File::create(folder.join("sparse")).expect("make a sparse file");
    sparse.write_all_at(b"start", 0).expect("write");
    sparse
        .write_all_at(&noise(3, 5000), 1_000_000)
        .expect("write");
    sparse.write_all_at(b"late", 9_000_001).expect("write");
    sparse.set_len(20_000_000).expect("write");

    symlink("a/b/c", folder.join("short")).expect("make a link");
    symlink("x".repeat(59), folder.join("longest-short")).expect("make a link");
    symlink("y".repeat(60), folder.join("shortest-long")).expect("make a link");
    symlink("z".repeat(900), folder.join("long")).expect("make a link");
    symlink("/names/with space", folder.join("a/absolute")).expect("make a link");
    symlink("../../sizes", folder.join("a/b/up")).expect("make a link");
    symlink("loop", folder.join("loop")).expect("make a link");

    write(b"secret", b"mode 0600");
    let permissions = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(folder.join("secret"), permissions(0o600)).expect("set a mode");
    fs::set_permissions(folder.join("empty"), permissions(0o1777)).expect("set a mode");
}
