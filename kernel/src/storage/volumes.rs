//! Disks and partitions by name: which there are, which are mounted, and which core a disk belongs to.
//!
//! A disk is `disk0`, `disk1`, … in the order in which they were found (without the boot disk), its first partition `disk0.1`. The disks
//! are looked for when the first is asked for: by the command line's mounts, or by the program. Until a program says otherwise, they
//! belong to the core that did so; of a disk with several queues each core has its own. [`Volumes::dedicate`] gives one to another core for
//! good: its requests go to that core's queue, its interrupts go there and its service runs there, which wakes whoever waits for the disk, on
//! whatever core; and what is written behind is written there ([`super::write_behind`]).
//!
//! Errors are the numbers that a system call would give, as everywhere on this side of storage ([`super::vfs`]).

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ext2::BlockDevice;

use super::disks::{self, Disk, Volume};
use super::mount::{self, MountError, MountRequest};
use super::partition::Partition;
use super::vfs::{self, node::FileSystem};
use super::write_behind;
use crate::arch::x86_64::core_local::{self, CoreLocal};
use crate::command_line::VirtioMmioDevice;
use crate::error::{Errno, Result};
use crate::scheduler::{self, Name, Turn};
use crate::sync::{OnceCell, SpinLock};

/// Stack of the thread that registers a disk on another core.
const STACK_BYTES: usize = 16 << 10;

/// The disks of this machine.
pub struct Volumes {
    disks: Vec<Arc<Disk>>,
    homes: Vec<Home>,
    mounted: SpinLock<Vec<MountRequest>>,
    /// One mounts, unmounts or writes beside file systems at a time.
    changing: Turn,
}

/// What is known of how a disk belongs to its core.
struct Home {
    is_dedicated: AtomicBool,
    /// Cores that ask the disk's service, a bit for each: the one it belongs to, and those it has left.
    registered: AtomicU64,
}

static VOLUMES: OnceCell<Volumes> = OnceCell::new();
static STARTING: SpinLock<bool> = SpinLock::new(false);

/// The disks, looked for now if nobody has before. Those at `virtio_mmio` the loader told of.
///
/// # Errors
/// `EAGAIN` while another thread looks for them.
pub fn volumes(virtio_mmio: &[VirtioMmioDevice]) -> Result<&'static Volumes> {
    if let Some(volumes) = VOLUMES.get() {
        return Ok(volumes);
    }
    // Disks are waited for, so the lock is not held.
    while core::mem::replace(&mut *STARTING.lock(), true) {
        scheduler::yield_now();
        if let Some(volumes) = VOLUMES.get() {
            return Ok(volumes);
        }
    }
    if let Some(volumes) = VOLUMES.get() {
        return Ok(volumes);
    }
    let cache_bytes = super::cache_bytes();
    let found = crate::devices::block::discover(virtio_mmio);
    let volumes = Volumes::new(disks::data_disks(found, cache_bytes));
    VOLUMES.set(volumes).map_err(|_| Errno(libc::EAGAIN))
}

/// Registers a disk's service with the core on which this thread runs.
extern "C" fn adopt(index: usize) -> ! {
    scheduler::begin();
    if let Some(volumes) = VOLUMES.get() {
        volumes.register(index);
    }
    scheduler::exit(0)
}

impl Volumes {
    fn new(disks: Vec<Arc<Disk>>) -> Self {
        let core = scheduler::current_core();
        for disk in &disks {
            disk.set_core(core);
        }
        let home = |_: &Arc<Disk>| Home {
            is_dedicated: AtomicBool::new(false),
            // Drivers register their services when they start.
            registered: AtomicU64::new(1 << core),
        };
        Self {
            homes: disks.iter().map(home).collect(),
            disks,
            mounted: SpinLock::new(Vec::new()),
            changing: Turn::new(),
        }
    }

    /// The disks, in the order of their numbers.
    pub fn disks(&self) -> &[Arc<Disk>] {
        &self.disks
    }

    /// The core that a disk belongs to, and whether for good.
    pub fn home(&self, disk: usize) -> Option<(usize, bool)> {
        let (disk, home) = self.disks.get(disk).zip(self.homes.get(disk))?;
        Some((disk.core(), home.is_dedicated.load(Ordering::Relaxed)))
    }

    /// The partitions of a disk.
    pub fn partitions(&self, disk: usize) -> impl Iterator<Item = &Partition> {
        self.disks
            .get(disk)
            .into_iter()
            .flat_map(|disk| disk.partitions())
    }

    fn register(&self, index: usize) {
        let (Some(disk), Some(home)) = (self.disks.get(index), self.homes.get(index)) else {
            return;
        };
        let core = scheduler::current_core();
        let bit = 1 << core;
        if let Some((irq, service)) = disk.cache.disk().interrupt(core)
            && home.registered.fetch_or(bit, Ordering::Relaxed) & bit == 0
        {
            scheduler::register_interrupt(irq, service);
        }
    }

    /// Gives a disk to a core for good. Disks that share an interrupt (those of one IDE channel) go together.
    ///
    /// # Errors
    /// `ENODEV`, `ENXIO` (no such core), `EBUSY` (given before), `EOPNOTSUPP` (it has no interrupt that could go there), `ENOMEM`.
    pub fn dedicate(&self, index: usize, core: usize) -> Result<()> {
        let (disk, home) = self
            .disks
            .get(index)
            .zip(self.homes.get(index))
            .ok_or(Errno(libc::ENODEV))?;
        let target = core_local::get(core).ok_or(Errno(libc::ENXIO))?;
        if home.is_dedicated.swap(true, Ordering::Relaxed) {
            return Err(Errno(libc::EBUSY));
        }
        let result = self.move_disk(index, disk, target);
        if result.is_err() {
            home.is_dedicated.store(false, Ordering::Relaxed);
        }
        result
    }

    fn move_disk(&self, index: usize, disk: &Disk, target: &'static CoreLocal) -> Result<()> {
        let core = target.index();
        let driver = disk.cache.disk();
        if core == disk.core() && driver.queue_count() == 1 {
            return Ok(());
        }
        let (irq, _) = driver.interrupt(core).ok_or(Errno(libc::EOPNOTSUPP))?;
        // Registered first, so that nothing that the line announces there finds nobody.
        if core == scheduler::current_core() {
            self.register(index);
        } else {
            scheduler::spawn_on(core, adopt, index, STACK_BYTES, Name::new(b"adopt"))
                .map_err(|_| Errno(libc::ENOMEM))?
                .join();
        }
        if !irq.move_to(target) {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        driver.keep_to(core);
        disk.set_core(core);
        // What the core before was to write is this one's now.
        write_behind::begin(core);
        Ok(())
    }

    /// Notes what the command line has mounted.
    pub(super) fn note_mounted(&self, requests: Vec<MountRequest>) {
        *self.mounted.lock() = requests;
    }

    fn check_unused(&self, request: &MountRequest) -> Result<()> {
        let mounted = self.mounted.lock();
        match mounted.iter().any(|other| other.overlaps(request)) {
            true => Err(Errno(libc::EBUSY)),
            false => Ok(()),
        }
    }

    /// The volume of a name such as `disk0` or `disk0.1`.
    fn volume(&self, request: &MountRequest) -> Result<Volume> {
        mount::volume(request, &self.disks)
            .map_or(Err(Errno(libc::ENODEV)), |(volume, _)| Ok(volume))
    }

    /// Length of a volume in bytes, whether it cannot be written, and where it is mounted.
    ///
    /// # Errors
    /// `ENODEV` when there is none of this name.
    pub fn facts(&self, name: &str) -> Result<(u64, bool, Option<MountRequest>)> {
        let request = request(name)?;
        let volume = self.volume(&request)?;
        let mounted = self.mounted.lock();
        let mount = mounted
            .iter()
            .find(|mount| mount.disk == request.disk && mount.partition == request.partition);
        Ok((volume.len_bytes(), volume.is_read_only(), mount.cloned()))
    }

    /// Reads bytes of a volume.
    ///
    /// # Errors
    /// `ENODEV`, `ENXIO` (not on the volume), `EIO`.
    pub fn read(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<()> {
        let volume = self.volume(&request(name)?)?;
        check_range(&volume, offset, buf.len())?;
        volume.read(offset, buf).map_err(|error| Errno(error.0))
    }

    /// Writes bytes of a volume of which nothing is mounted. They are on the medium after [`Volumes::flush`].
    ///
    /// # Errors
    /// As [`Volumes::read`]; `EBUSY` when it, or a part of it, is mounted; `EROFS`.
    pub fn write(&self, name: &str, offset: u64, data: &[u8]) -> Result<()> {
        let request = request(name)?;
        let volume = self.volume(&request)?;
        check_range(&volume, offset, data.len())?;
        let _turn = self.changing.take();
        self.check_unused(&request)?;
        volume.write(offset, data).map_err(|error| Errno(error.0))
    }

    /// Returns when all that was written to a volume is on the medium.
    ///
    /// # Errors
    /// `ENODEV`, `EIO`.
    pub fn flush(&self, name: &str) -> Result<()> {
        let volume = self.volume(&request(name)?)?;
        volume.flush().map_err(|error| Errno(error.0))
    }

    /// Mounts the file system of a volume at a path, an absolute one. Its directory is made where there is none.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn mount(&self, request: &MountRequest) -> core::result::Result<(), MountError> {
        if !request.path.starts_with('/') || request.path.contains('\0') {
            return Err(request.path_error(Errno(libc::EINVAL)));
        }
        let _turn = self.changing.take();
        if self.check_unused(request).is_err() {
            return Err(request.overlap());
        }
        let file_system: Arc<dyn FileSystem> = mount::open(request, &self.disks)?;
        let names = vfs::names().map_err(|errno| request.path_error(errno))?;
        mount::mount_at(names, request, file_system)?;
        self.mounted.lock().push(request.clone());
        Ok(())
    }

    /// Ends the use of the file system that is mounted at a path: everything is on the medium then, and the disk can go elsewhere.
    ///
    /// # Errors
    /// `EINVAL` when nothing is mounted there that could be unmounted, `EBUSY` while files in it are open or something else is mounted in
    /// it, `EIO`.
    pub fn unmount(&self, path: &str) -> Result<()> {
        let _turn = self.changing.take();
        let names = vfs::names()?;
        let path = path.trim_end_matches('/');
        let is_it = |mount: &MountRequest| mount.path.trim_end_matches('/') == path;
        if path.is_empty() || !self.mounted.lock().iter().any(is_it) {
            return Err(Errno(libc::EINVAL));
        }
        let result = names.unmount(path.as_bytes());
        if result != Err(Errno(libc::EBUSY)) {
            self.mounted.lock().retain(|mount| !is_it(mount));
        }
        result
    }
}

fn check_range(volume: &Volume, offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= volume.len_bytes() => Ok(()),
        _ => Err(Errno(libc::ENXIO)),
    }
}

/// The request for a volume of this name, wherever it would be mounted.
fn request(name: &str) -> Result<MountRequest> {
    let request =
        MountRequest::parse(&(name.to_string() + ":/")).map_err(|_| Errno(libc::ENODEV))?;
    // Numbers have one way to be written.
    match request.to_string() == name {
        true => Ok(request),
        false => Err(Errno(libc::ENODEV)),
    }
}
