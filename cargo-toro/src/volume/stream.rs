//! A device as a stream with a place in it, for the crates that want one, behind a cache: they read and write a few bytes at a time.

use super::device::FileDevice;
use ext2::{BlockDevice, DeviceError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

/// Bytes of a page of the cache.
const PAGE: usize = 4096;
/// Most pages; then all are written and forgotten.
const PAGES_MAX: usize = 8192;

#[derive(Debug)]
struct Page {
    bytes: Box<[u8; PAGE]>,
    is_changed: bool,
}

/// A device with a place in it.
#[derive(Debug)]
pub(crate) struct Stream {
    device: FileDevice,
    position: u64,
    /// Behind the last byte that was written.
    written_to: u64,
    pages: HashMap<u64, Page>,
}

fn io_error(error: DeviceError) -> io::Error {
    io::Error::from_raw_os_error(error.0)
}

impl Stream {
    /// At the device's start.
    pub(crate) fn new(device: FileDevice) -> Self {
        Self {
            device,
            position: 0,
            written_to: 0,
            pages: HashMap::new(),
        }
    }

    /// The page of the position, the bytes of it from there on that are wanted.
    fn piece(&mut self, wanted: usize) -> io::Result<(&mut Page, std::ops::Range<usize>)> {
        let left = self.device.len_bytes().saturating_sub(self.position);
        let within = (self.position % PAGE as u64) as usize;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let len = wanted.min(PAGE - within).min(left);
        let number = self.position / PAGE as u64;
        if self.pages.len() >= PAGES_MAX && !self.pages.contains_key(&number) {
            self.write_back()?;
            self.pages.clear();
        }
        let device = &self.device;
        let page = match self.pages.entry(number) {
            std::collections::hash_map::Entry::Occupied(page) => page.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let mut bytes = Box::new([0; PAGE]);
                let (start, len) = span(device, number);
                device.read(start, &mut bytes[..len]).map_err(io_error)?;
                place.insert(Page {
                    bytes,
                    is_changed: false,
                })
            }
        };
        Ok((page, within..within + len))
    }

    /// Writes what was changed, neighbours at once.
    fn write_back(&mut self) -> io::Result<()> {
        let changed = self.pages.iter_mut().filter(|(_, page)| page.is_changed);
        let mut changed: Vec<_> = changed.collect();
        changed.sort_unstable_by_key(|(number, _)| **number);
        let mut rest = &mut *changed;
        while let Some((first, _)) = rest.first() {
            let first = **first;
            let row = rest.iter().zip(first..);
            let count = row
                .take_while(|((number, _), next)| **number == *next)
                .count();
            let (row, others) = rest.split_at_mut(count.min(256));
            let mut bytes = Vec::with_capacity(row.len() * PAGE);
            for (number, page) in row {
                bytes.extend_from_slice(&page.bytes[..span(&self.device, **number).1]);
                page.is_changed = false;
            }
            self.device
                .write(first * PAGE as u64, &bytes)
                .map_err(io_error)?;
            rest = others;
        }
        Ok(())
    }
}

/// Where a page begins on the device, and how many of its bytes are there.
fn span(device: &FileDevice, number: u64) -> (u64, usize) {
    let start = number * PAGE as u64;
    let left = device.len_bytes().saturating_sub(start);
    (start, left.min(PAGE as u64) as usize)
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (page, range) = self.piece(buf.len())?;
        let len = range.len();
        buf[..len].copy_from_slice(&page.bytes[range]);
        self.position += len as u64;
        Ok(len)
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (page, range) = self.piece(buf.len())?;
        let len = range.len();
        page.bytes[range].copy_from_slice(&buf[..len]);
        page.is_changed |= len > 0;
        self.position += len as u64;
        self.written_to = self.position;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_back()?;
        self.device.flush().map_err(io_error)
    }
}

impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.device.len_bytes().checked_add_signed(by),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// A stream in two hands: `fatfs` keeps one for good and flushes nothing when it ends, the other one does.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Rc<RefCell<Stream>>);

impl Shared {
    /// At the device's start.
    pub(crate) fn new(device: FileDevice) -> Self {
        Self(Rc::new(RefCell::new(Stream::new(device))))
    }

    /// The place behind the last byte that was written.
    pub(crate) fn written_to(&self) -> u64 {
        self.0.borrow().written_to
    }
}

impl Read for Shared {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buf)
    }
}

impl Write for Shared {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_reaches_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10_001).unwrap();
        let mut stream = Stream::new(FileDevice::new(file.try_clone().unwrap(), 10_001));
        stream.seek(SeekFrom::Start(4000)).unwrap();
        stream.write_all(&[7; 5000]).unwrap();
        stream.seek(SeekFrom::End(-2)).unwrap();
        stream.write_all(b"ab").unwrap();
        assert_eq!(stream.write(b"c").unwrap(), 0);
        stream.seek(SeekFrom::Start(3999)).unwrap();
        let mut content = vec![0; 5002];
        stream.read_exact(&mut content).unwrap();
        assert_eq!((content[0], content[1], content[5001]), (0, 7, 0));
        stream.flush().unwrap();
        let mut found = vec![0; 10_001];
        FileDevice::new(file, 10_001).read(0, &mut found).unwrap();
        assert!(found[4000..9000].iter().all(|byte| *byte == 7));
        assert_eq!(&found[9998..], b"\0ab");
    }
}
