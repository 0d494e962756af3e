//! The served folder. Small files stay in memory; each is looked at again on the disk at most once a second.
//!
//! So a change of a file is seen within a second, and a request for a known file costs no file system call at all.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::content_type;
use crate::date;
use crate::response::Status;

/// The largest file that is kept, in bytes.
const MAX_KEPT_BYTES: u64 = 64 << 10;
/// The most files that are kept.
const MAX_KEPT_FILES: usize = 64;
/// All of them together, in bytes.
const MAX_CACHE_BYTES: usize = 1 << 20;

/// A file as it was when it was last looked at.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    pub(crate) len: u64,
    modified: Option<SystemTime>,
    /// The time of the last change in seconds since 1970, and as a date.
    pub(crate) modified_seconds: u64,
    pub(crate) modified_text: String,
    pub(crate) content_type: &'static str,
    /// The fields of an answer with the whole file, and the empty line.
    pub(crate) fields: String,
    /// What is in it, if it is small.
    pub(crate) content: Option<Vec<u8>>,
}

/// What is at a path.
#[derive(Debug)]
pub(crate) enum Found {
    File(Arc<Entry>),
    Directory,
}

/// The folder and what is kept of it.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// In the order of their paths: of so few, one is found soonest by halving.
    slots: Vec<Slot>,
    len_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    path: Box<[u8]>,
    /// The second in which it was last looked at.
    seen: u64,
    entry: Arc<Entry>,
}

impl Files {
    /// The folder `root`, which must be there.
    pub(crate) fn new(root: &str) -> io::Result<Self> {
        if !fs::metadata(root)?.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            root: root.into(),
            cache: Mutex::default(),
        })
    }

    /// What is at `path` below the root, in second `now`; the path is one that [`crate::path::decode`] gave.
    pub(crate) fn find(&self, path: &[u8], now: u64) -> Result<Found, Status> {
        let known = self.with_cache(|cache| {
            let slot = &cache.slots[cache.place(path).ok()?];
            Some((Arc::clone(&slot.entry), slot.seen == now))
        });
        let known = match known {
            Some((entry, true)) => return Ok(Found::File(entry)),
            Some((entry, false)) => Some(entry),
            None => None,
        };
        // The cache is not locked while the disk works.
        let looked = self.look(path, known);
        self.with_cache(|cache| match &looked {
            Ok(Found::File(entry)) if entry.content.is_some() => cache.keep(path, now, entry),
            _ => cache.drop(path),
        });
        looked
    }

    fn with_cache<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        work(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the disk; `known` is what was there before.
    fn look(&self, path: &[u8], known: Option<Arc<Entry>>) -> Result<Found, Status> {
        let full = self.root.join(OsStr::from_bytes(path));
        let metadata = fs::metadata(&full).map_err(|error| status_of(&error))?;
        if metadata.is_dir() {
            return Ok(Found::Directory);
        }
        if !metadata.is_file() {
            return Err(Status::NotFound);
        }
        let is_same = |entry: &Arc<Entry>| {
            entry.len == metadata.len() && entry.modified == metadata.modified().ok()
        };
        if let Some(entry) = known.filter(is_same) {
            return Ok(Found::File(entry));
        }
        let entry = Entry::read(full, &metadata).map_err(|error| status_of(&error))?;
        Ok(Found::File(Arc::new(entry)))
    }
}

fn status_of(error: &io::Error) -> Status {
    match error.kind() {
        // Whether something may not be seen or is not there is nobody's business.
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::PermissionDenied
        | ErrorKind::InvalidFilename
        | ErrorKind::InvalidInput => Status::NotFound,
        _ => Status::InternalServerError,
    }
}

/// The first `len` bytes of a file, or fewer if it has become shorter.
fn read(path: &Path, len: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut content = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read(&mut content[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(filled);
    Ok(content)
}

impl Entry {
    fn read(path: PathBuf, metadata: &Metadata) -> io::Result<Self> {
        let mut len = metadata.len();
        let content = if len <= MAX_KEPT_BYTES {
            let content = read(&path, len as usize)?;
            len = content.len() as u64;
            Some(content)
        } else {
            None
        };
        let modified = metadata.modified().ok();
        let modified_seconds = modified.map_or(0, date::seconds);
        let modified_text = date::text(modified_seconds);
        let content_type = content_type::of(path.as_os_str().as_bytes());
        let fields = format!(
            "Content-Type: {content_type}\r\nContent-Length: {len}\r\nLast-Modified: {modified_text}\r\n\
             Accept-Ranges: bytes\r\n\r\n"
        );
        Ok(Self {
            path,
            len,
            modified,
            modified_seconds,
            modified_text,
            content_type,
            fields,
            content,
        })
    }

    /// Opens the file, which may be another one by now.
    pub(crate) fn open(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// About the memory it takes.
    fn cost(&self) -> usize {
        self.content.as_ref().map_or(0, Vec::len) + self.fields.len() + 512
    }
}

impl Cache {
    /// Where the file of a path is, or where it would be.
    fn place(&self, path: &[u8]) -> Result<usize, usize> {
        self.slots
            .binary_search_by(|slot| slot.path.as_ref().cmp(path))
    }

    fn keep(&mut self, path: &[u8], now: u64, entry: &Arc<Entry>) {
        self.drop(path);
        let slot = Slot {
            path: path.into(),
            seen: now,
            entry: Arc::clone(entry),
        };
        let (Ok(place) | Err(place)) = self.place(path);
        self.slots.insert(place, slot);
        self.len_bytes += entry.cost();
        while self.slots.len() > MAX_KEPT_FILES || self.len_bytes > MAX_CACHE_BYTES {
            let slots = self.slots.iter().enumerate();
            let others = slots.filter(|(_, slot)| slot.path.as_ref() != path);
            match others.min_by_key(|(_, slot)| slot.seen) {
                Some((oldest, _)) => self.remove(oldest),
                None => return,
            }
        }
    }

    fn drop(&mut self, path: &[u8]) {
        if let Ok(place) = self.place(path) {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: usize) {
        let slot = self.slots.remove(place);
        self.len_bytes -= slot.entry.cost();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("static-web-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn files(&self) -> Files {
            Files::new(self.0.to_str().unwrap()).unwrap()
        }

        fn write(&self, name: &str, content: &[u8]) {
            fs::write(self.0.join(name), content).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn entry(found: Result<Found, Status>) -> Arc<Entry> {
        match found {
            Ok(Found::File(entry)) => entry,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_small_file_is_looked_at_again_in_the_next_second() {
        let folder = Folder::new("again");
        folder.write("a.txt", b"one");
        let files = folder.files();
        assert_eq!(
            entry(files.find(b"a.txt", 1)).content.as_deref(),
            Some(&b"one"[..])
        );
        folder.write("a.txt", b"three");
        assert_eq!(entry(files.find(b"a.txt", 1)).len, 3);
        assert_eq!(
            entry(files.find(b"a.txt", 2)).content.as_deref(),
            Some(&b"three"[..])
        );
        fs::remove_file(folder.0.join("a.txt")).unwrap();
        assert_eq!(entry(files.find(b"a.txt", 2)).len, 5);
        assert_eq!(files.find(b"a.txt", 3).unwrap_err(), Status::NotFound);
        assert_eq!(files.find(b"a.txt", 2).unwrap_err(), Status::NotFound);
    }

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let folder = Folder::new("unchanged");
        folder.write("a", b"one");
        let files = folder.files();
        let first = entry(files.find(b"a", 1));
        assert!(Arc::ptr_eq(&first, &entry(files.find(b"a", 9))));
    }

    #[test]
    fn a_large_file_is_not_kept() {
        let folder = Folder::new("large");
        folder.write("a.bin", &vec![7; MAX_KEPT_BYTES as usize + 1]);
        let files = folder.files();
        let entry = entry(files.find(b"a.bin", 1));
        assert_eq!(
            (entry.len, entry.content.is_none()),
            (MAX_KEPT_BYTES + 1, true)
        );
        assert!(files.with_cache(|cache| cache.slots.is_empty()));
    }

    #[test]
    fn the_cache_is_bounded_in_files_and_bytes() {
        let folder = Folder::new("bounded");
        let files = folder.files();
        for index in 0..MAX_KEPT_FILES as u64 + 20 {
            let name = format!("{index}");
            folder.write(
                &name,
                &vec![
                    1;
                    if index < 40 {
                        MAX_KEPT_BYTES as usize
                    } else {
                        1
                    }
                ],
            );
            entry(files.find(name.as_bytes(), index));
            let (count, bytes) = files.with_cache(|cache| (cache.slots.len(), cache.len_bytes));
            assert!(count <= MAX_KEPT_FILES && bytes <= MAX_CACHE_BYTES);
            assert!(files.with_cache(|cache| cache.place(name.as_bytes()).is_ok()));
        }
    }

    #[test]
    fn what_is_no_file_is_told_apart() {
        let folder = Folder::new("kinds");
        fs::create_dir_all(folder.0.join("sub")).unwrap();
        folder.write("a", b"");
        let files = folder.files();
        assert!(matches!(files.find(b"sub", 1), Ok(Found::Directory)));
        for path in ["none", "sub/none", "a/b"] {
            assert_eq!(
                files.find(path.as_bytes(), 1).unwrap_err(),
                Status::NotFound,
                "{path}"
            );
        }
        let long = [b'x'; 300];
        assert_eq!(files.find(&long, 1).unwrap_err(), Status::NotFound);
        assert!(Files::new(folder.0.join("a").to_str().unwrap()).is_err());
    }
}
