//! What calls of the kernel do when the program has taken all memory: they work, or say so; and all is well when it is given back.
//!
//! What is called here allocates nothing in `std`, whose way with a want of memory is to abort.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::ptr::null_mut;

/// From large ones, so that it does not take for ever, to the smallest; of the small ones each size that the kernel tells apart, about.
const SIZES: [usize; 31] = [
    4 << 20,
    256 << 10,
    16 << 10,
    4096,
    4064,
    2704,
    2032,
    1616,
    1344,
    1152,
    1008,
    896,
    768,
    640,
    512,
    448,
    384,
    320,
    256,
    224,
    192,
    160,
    128,
    112,
    96,
    80,
    64,
    48,
    32,
    16,
    1,
];
/// Larger ones are not given back for a call.
const SMALL: usize = 4096;

/// All the memory there is, as objects of `malloc`: of each size a list, linked by the objects' first words.
struct Hoard([*mut Object; SIZES.len()]);

struct Object(*mut Object);

impl Hoard {
    fn take_all() -> Self {
        let mut hoard = Self([null_mut(); SIZES.len()]);
        for (list, size) in hoard.0.iter_mut().zip(SIZES) {
            loop {
                // SAFETY: any size may be asked for.
                let object = unsafe { libc::malloc(size) }.cast::<Object>();
                if object.is_null() {
                    break;
                }
                // SAFETY: allocated just now, with 16 bytes at least.
                unsafe { object.write(Object(*list)) };
                *list = object;
            }
        }
        hoard
    }

    /// Gives back as many small objects of each size.
    fn give(&mut self, count: usize) {
        for (list, _) in self
            .0
            .iter_mut()
            .zip(SIZES)
            .filter(|(_, size)| *size <= SMALL)
        {
            (0..count).for_each(|_| give_one(list));
        }
    }
}

fn give_one(list: &mut *mut Object) {
    let object = *list;
    if !object.is_null() {
        // SAFETY: an object of the list, which leaves it.
        unsafe {
            *list = (*object).0;
            libc::free(object.cast());
        }
    }
}

impl Drop for Hoard {
    fn drop(&mut self) {
        for list in &mut self.0 {
            while !list.is_null() {
                give_one(list);
            }
        }
    }
}

type Call = fn() -> io::Result<()>;

const CALLS: [(&str, Call); 12] = [
    ("a file of /proc", || {
        for path in [
            "/proc/meminfo",
            "/proc/self/maps",
            "/proc/cpuinfo",
            "/proc/self/exe",
        ] {
            File::open(path)?.read_exact(&mut [0; 20])?;
        }
        Ok(())
    }),
    ("a file in memory", || write_and_remove("/file")),
    ("a file on the disk", || write_and_remove("/disk/file")),
    ("a directory in memory", || {
        make_and_remove("/directory", "/directory/link")
    }),
    ("a directory on the disk", || {
        make_and_remove("/disk/directory", "/disk/directory/link")
    }),
    ("a listing", || {
        let mut found = [0; 1024];
        let directory = File::open("/disk")?;
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&directory);
        // SAFETY: the buffer is as long as is said.
        let len = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                descriptor,
                found.as_mut_ptr(),
                found.len(),
            )
        };
        if len < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }),
    ("a pipe", || {
        let (mut from, mut to) = io::pipe()?;
        to.write_all(&[7; 4000])?;
        from.read_exact(&mut [0; 4000])
    }),
    ("a pair of sockets", || {
        let (mut from, mut to) = UnixStream::pair()?;
        to.write_all(&[7; 4000])?;
        from.read_exact(&mut [0; 4000])
    }),
    ("a datagram", || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // It may be lost.
        socket.set_nonblocking(true)?;
        socket.send_to(&[7; 1000], socket.local_addr()?)?;
        let _ = socket.recv(&mut [0; 1000]);
        // To the network: somebody answers that nobody is there, or nobody does.
        let _ = socket.send_to(&[7; 1000], (Ipv4Addr::new(10, 0, 2, 2), 9));
        Ok(())
    }),
    ("a listener", || {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.set_nonblocking(true)
    }),
    ("events", || {
        // SAFETY: no pointers; what was made is closed, what was not is no descriptor.
        unsafe {
            let (all, one) = (libc::epoll_create1(0), libc::eventfd(0, 0));
            let error = io::Error::last_os_error();
            libc::close(one);
            libc::close(all);
            if all < 0 || one < 0 {
                Err(error)
            } else {
                Ok(())
            }
        }
    }),
    ("a mapping", || {
        // SAFETY: a mapping of its own, a part of which goes first, which makes two of it.
        unsafe {
            let start = libc::mmap(
                null_mut(),
                1 << 20,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if start == libc::MAP_FAILED {
                return Err(io::Error::last_os_error());
            }
            let part = libc::munmap(start.byte_add(8192), 4096);
            if part != 0 || libc::munmap(start, 1 << 20) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }),
];

fn write_and_remove(path: &str) -> io::Result<()> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let mut use_it = || {
        (0..20).try_for_each(|_| file.write_all(&[7; 4096]))?;
        file.sync_all()?;
        file.rewind()?;
        file.read_exact(&mut [0; 512])
    };
    let used = use_it();
    fs::remove_file(path)?;
    used
}

fn make_and_remove(directory: &str, link: &str) -> io::Result<()> {
    fs::create_dir(directory)?;
    let linked = std::os::unix::fs::symlink("elsewhere", link);
    if linked.is_ok() {
        fs::remove_file(link)?;
    }
    fs::remove_dir(directory)?;
    linked
}

/// Makes each call with all memory taken, and with a little more of it each time.
pub(crate) fn calls() {
    const TIMES: usize = 16;
    for (name, call) in CALLS {
        // What it needs for ever, such as a place in a table, it has from here on.
        if let Err(error) = call() {
            println!("{name}: {error}");
        }
        let mut refused = 0;
        for count in 0..TIMES {
            let mut hoard = Hoard::take_all();
            hoard.give(count);
            let result = call();
            drop(hoard);
            match result.map_err(|error| error.kind()) {
                Ok(()) => {}
                Err(ErrorKind::OutOfMemory | ErrorKind::StorageFull) => refused += 1,
                Err(kind) => println!("{name}: {kind}"),
            }
        }
        match call() {
            Ok(()) => println!(
                "{name} worked {} times of {TIMES}, and then",
                TIMES - refused
            ),
            Err(error) => println!("{name}: afterwards {error}"),
        }
    }
}

/// Makes files and descriptors without end, each time until there is no memory for more.
pub(crate) fn growth() {
    /// Makes the one of that number.
    type Make = fn(usize) -> io::Result<()>;
    let kinds: [(&str, Make); 2] = [
        ("files", |number| {
            let mut name = *b"/many/00000000";
            for (place, digit) in name[6..].iter_mut().rev().zip(0..) {
                *place = b'0' + (number / 10_usize.pow(digit) % 10) as u8;
            }
            let path = std::str::from_utf8(&name).map_err(|_| ErrorKind::InvalidInput)?;
            File::create(path).map(drop)
        }),
        ("sockets", |_| {
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map(std::mem::forget)
        }),
    ];
    fs::create_dir("/many").expect("a directory");
    for (name, make) in kinds {
        let hoard = Hoard::take_all();
        let (made, error) = (0..)
            .find_map(|number| make(number).err().map(|error| (number, error)))
            .expect("an end");
        drop(hoard);
        println!(
            "{name}: {}, then {}",
            if made == 0 { "none" } else { "some" },
            error.kind()
        );
    }
}
