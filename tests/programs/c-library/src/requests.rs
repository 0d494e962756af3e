//! Requests to files that go on by themselves: `aio_read` and its kin.

use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::{fs, io, mem, ptr};

fn request(descriptor: c_int, buf: &mut [u8], offset: i64) -> libc::aiocb {
    // SAFETY: a structure of integers and pointers, for which zeros are values.
    let mut block: libc::aiocb = unsafe { mem::zeroed() };
    block.aio_fildes = descriptor;
    block.aio_buf = buf.as_mut_ptr().cast();
    block.aio_nbytes = buf.len();
    block.aio_offset = offset;
    block.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
    block
}

fn error() -> Option<i32> {
    io::Error::last_os_error().raw_os_error()
}

/// Waits for a request; what came of it.
fn outcome(block: &mut libc::aiocb) -> (c_int, isize) {
    let all = [ptr::from_ref(block)];
    // SAFETY: a block that was given to these functions.
    unsafe {
        while libc::aio_error(block) == libc::EINPROGRESS {
            libc::aio_suspend(all.as_ptr(), 1, ptr::null());
        }
        (libc::aio_error(block), libc::aio_return(block))
    }
}

/// Content and places in files.
fn files() {
    let path = std::env::temp_dir().join(format!("requests-{}", std::process::id()));
    let file = fs::File::options()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .open(&path)
        .expect("a file");
    let descriptor = file.as_raw_fd();
    let mut text = *b"one two three";
    let mut write = request(descriptor, &mut text, 4);
    let mut sync = request(descriptor, &mut [], 0);
    // SAFETY: what the blocks lead to stays until they are done.
    unsafe {
        println!("aio_write {}", libc::aio_write(&mut write));
        println!("aio_fsync {}", libc::aio_fsync(libc::O_SYNC, &mut sync));
        println!(
            "aio_fsync of nothing {} {:?}",
            libc::aio_fsync(77, &mut sync),
            error()
        );
    }
    println!(
        "written {:?}, synced {:?}",
        outcome(&mut write),
        outcome(&mut sync)
    );
    println!("file {:?}", fs::read(&path).expect("the file"));
    for (offset, what) in [
        (8, "inside"),
        (100, "behind the end"),
        (-1, "before the start"),
    ] {
        let mut buf = [0; 6];
        let mut read = request(descriptor, &mut buf, offset);
        // SAFETY: as above.
        let asked = unsafe { libc::aio_read(&mut read) };
        println!("{what}: {asked} {:?}", outcome(&mut read));
        println!("{:?}", String::from_utf8_lossy(&buf));
    }
    let mut buf = [0; 4];
    let mut none = request(-1, &mut buf, 0);
    // SAFETY: as above.
    println!("no descriptor {}", unsafe { libc::aio_read(&mut none) });
    println!("{:?}", outcome(&mut none));
    let mut eager = request(descriptor, &mut buf, 0);
    eager.aio_reqprio = 1000;
    println!(
        "too eager {} {:?}",
        // SAFETY: as above.
        unsafe { libc::aio_read(&mut eager) },
        error()
    );
    lists(descriptor);
    drop(file);
    fs::remove_file(&path).expect("the file goes");
}

static VALUE: AtomicUsize = AtomicUsize::new(0);
static SENDER: std::sync::Mutex<Option<Sender<usize>>> = std::sync::Mutex::new(None);

extern "C" fn called(value: libc::sigval) {
    VALUE.store(value.sival_ptr as usize, Ordering::SeqCst);
    let sender = SENDER.lock().expect("one at a time").clone();
    let _ = sender
        .expect("somebody waits")
        .send(value.sival_ptr as usize);
}

/// `struct sigevent` with a function.
#[repr(C)]
struct Call {
    value: usize,
    signal: c_int,
    kind: c_int,
    function: extern "C" fn(libc::sigval),
    rest: [usize; 5],
}

/// Several at once.
fn lists(descriptor: c_int) {
    let (mut first, mut second, mut third) = (*b"11", *b"22", [0; 3]);
    let mut one = request(descriptor, &mut first, 0);
    let mut two = request(descriptor, &mut second, 2);
    let mut three = request(descriptor, &mut third, 1);
    (one.aio_lio_opcode, two.aio_lio_opcode) = (libc::LIO_WRITE, libc::LIO_WRITE);
    three.aio_lio_opcode = libc::LIO_READ;
    let list = [&raw mut one, ptr::null_mut(), &raw mut two, &raw mut three];
    // SAFETY: blocks and buffers stay until all are done.
    let answer = unsafe { libc::lio_listio(libc::LIO_WAIT, list.as_ptr(), 4, ptr::null_mut()) };
    println!("a list {answer}");
    println!(
        "{:?} {:?} {:?}",
        outcome(&mut one),
        outcome(&mut two),
        outcome(&mut three)
    );
    println!("{:?}", String::from_utf8_lossy(&third));

    let mut wrong = request(-1, &mut first, 0);
    wrong.aio_lio_opcode = libc::LIO_READ;
    let list = [&raw mut wrong];
    // SAFETY: as above.
    let answer = unsafe { libc::lio_listio(libc::LIO_WAIT, list.as_ptr(), 1, ptr::null_mut()) };
    println!(
        "a wrong one {answer} {:?} {:?}",
        error(),
        outcome(&mut wrong)
    );

    let (sender, told) = channel();
    *SENDER.lock().expect("one at a time") = Some(sender);
    let mut event = Call {
        value: 4711,
        signal: 0,
        kind: libc::SIGEV_THREAD,
        function: called,
        rest: [0; 5],
    };
    let list = [&raw mut one, &raw mut two];
    let event: *mut libc::sigevent = (&raw mut event).cast();
    // SAFETY: as above; the event is laid out as C has it.
    let answer = unsafe { libc::lio_listio(libc::LIO_NOWAIT, list.as_ptr(), 2, event) };
    println!("told later {answer}: {:?}", told.recv());
    println!("{:?} {:?}", outcome(&mut one), outcome(&mut two));
}

/// The value that came with a signal.
static SIGNALLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn signalled(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the system gives it.
    let value = unsafe { (*info).si_value().sival_ptr as usize };
    SIGNALLED.store(value, Ordering::SeqCst);
}

/// Pipes: a request waits, others wait behind it.
fn pipes() {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let (mut first, mut second) = ([0; 4], [0; 4]);
    let mut one = request(ends[0], &mut first, 0);
    let mut two = request(ends[0], &mut second, 0);
    let all = [&raw const one, &raw const two];
    let soon = libc::timespec {
        tv_sec: 0,
        tv_nsec: 2_000_000,
    };
    // SAFETY: blocks and buffers stay until they are done; the handler only stores.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = signalled as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR2, &action, ptr::null_mut());
        one.aio_sigevent.sigev_notify = libc::SIGEV_SIGNAL;
        one.aio_sigevent.sigev_signo = libc::SIGUSR2;
        one.aio_sigevent.sigev_value.sival_ptr = 99 as *mut c_void;
        println!(
            "two reads {} {}",
            libc::aio_read(&mut one),
            libc::aio_read(&mut two)
        );
        println!(
            "nothing comes {} {:?}",
            libc::aio_suspend(all.as_ptr(), 2, &soon),
            error()
        );
        println!("in progress {}", libc::aio_error(&one) == libc::EINPROGRESS);
        println!(
            "the second is taken back {}",
            libc::aio_cancel(ends[0], &mut two)
        );
        println!("{:?}", outcome(&mut two));
        println!("again {}", libc::aio_cancel(ends[0], &mut two));
        println!(
            "of another {} {:?}",
            libc::aio_cancel(ends[1], &mut two),
            error()
        );
        println!(
            "of none {} {:?}",
            libc::aio_cancel(-1, ptr::null_mut()),
            error()
        );
        println!("write {}", libc::write(ends[1], c"abc".as_ptr().cast(), 3));
        println!("read {:?} {:?}", outcome(&mut one), &first);
        while SIGNALLED.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        println!("with the signal came {}", SIGNALLED.load(Ordering::SeqCst));
        println!("all done {}", libc::aio_cancel(ends[0], ptr::null_mut()));
        for size in [libc::fcntl(ends[0], libc::F_GETPIPE_SZ), 5000, 100, 1 << 20] {
            println!(
                "pipe of {size}: {} {}",
                libc::fcntl(ends[1], libc::F_SETPIPE_SZ, size),
                libc::fcntl(ends[0], libc::F_GETPIPE_SZ)
            );
        }
        libc::fcntl(ends[1], libc::F_SETFL, libc::O_NONBLOCK);
        let many = vec![0u8; 1 << 21];
        println!(
            "takes {}",
            libc::write(ends[1], many.as_ptr().cast(), many.len())
        );
        println!(
            "too small {} {:?}",
            libc::fcntl(ends[0], libc::F_SETPIPE_SZ, 65536),
            error()
        );
        libc::close(ends[0]);
        libc::close(ends[1]);
    }
}

pub(crate) fn steps() {
    files();
    pipes();
}
