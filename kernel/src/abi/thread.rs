//! Threads (POSIX.1-2017, `pthread.h`): creation, joining, attributes, keys, names.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicU32, Ordering};

use super::{deadlock, errno};
use crate::error::Errno;
use crate::fault::{self, Stage};
use crate::scheduler::{self, Name, Thread, thread};
use crate::sync::SpinLock;

/// Stack of a thread whose creator does not say, in bytes (as musl has it; std always says).
const DEFAULT_STACK_BYTES: usize = 2 << 20;
const GUARD_BYTES: usize = 4096;

/// What lies in a `pthread_attr_t`.
#[repr(C)]
struct Attributes {
    stack_bytes: usize,
    stack_start: usize,
    guard_bytes: usize,
    is_detached: c_int,
    /// Cores to start on, a bit for each; 0 for any.
    cores: u64,
}

const _: () = assert!(size_of::<Attributes>() <= size_of::<libc::pthread_attr_t>());

struct Start {
    function: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
}

extern "C" fn thread_main(argument: usize) -> ! {
    scheduler::begin();
    // SAFETY: `pthread_create` made the box for this thread.
    let start = *unsafe { Box::from_raw(argument as *mut Start) };
    let result = (start.function)(start.argument);
    finish(result as usize)
}

/// Ends the running thread: destructors of thread-locals and of keys, then the thread itself.
fn finish(result: usize) -> ! {
    run_destructors();
    scheduler::exit(result)
}

/// Runs the destructors of the running thread's thread-locals and keys.
pub(super) fn run_destructors() {
    run_thread_local_destructors();
    run_key_destructors();
    run_thread_local_destructors();
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_create(
    handle: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    function: extern "C" fn(*mut c_void) -> *mut c_void,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: null, or attributes that `pthread_attr_init` filled in.
    let attributes = unsafe { attributes.cast::<Attributes>().as_ref() };
    let stack_bytes = attributes.map_or(DEFAULT_STACK_BYTES, |a| a.stack_bytes);
    deadlock::watch();
    // Only a program with threads has one that can end by a fault alone.
    fault::set_stage(Stage::Thread, fault::end_thread);
    let start = Box::into_raw(Box::new(Start { function, argument }));
    let chosen = attributes.map_or(0, |a| a.cores & all_cores());
    let wanted = (chosen != 0).then(|| chosen.trailing_zeros() as usize);
    match scheduler::spawn_on(
        wanted
            .or_else(|| thread::current().next_core.take())
            .unwrap_or_else(scheduler::place),
        thread_main,
        start as usize,
        stack_bytes,
        thread::current().name().inherited(),
    ) {
        Ok(thread) => {
            // The handle is a reference of its own, until the thread is joined or detached.
            if attributes.is_some_and(|a| a.is_detached != 0) {
                // SAFETY: the caller's pointer to a result.
                unsafe { *handle = Arc::as_ptr(&thread) as libc::pthread_t };
            } else {
                // SAFETY: as above.
                unsafe { *handle = Arc::into_raw(thread) as libc::pthread_t };
            }
            0
        }
        Err(_) => {
            // SAFETY: the box was not given to a thread.
            drop(unsafe { Box::from_raw(start) });
            libc::EAGAIN
        }
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_join(
    handle: libc::pthread_t,
    result: *mut *mut c_void,
) -> c_int {
    if handle as *const Thread == core::ptr::from_ref(thread::current()) {
        return libc::EDEADLK;
    }
    // SAFETY: a handle from `pthread_create`, which is joined once.
    let thread = unsafe { Arc::from_raw(handle as *const Thread) };
    let value = thread.join();
    if !result.is_null() {
        // SAFETY: the caller's pointer to a result.
        unsafe { *result = value as *mut c_void };
    }
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_detach(handle: libc::pthread_t) -> c_int {
    // SAFETY: a handle from `pthread_create`, which is detached once and not joined.
    drop(unsafe { Arc::from_raw(handle as *const Thread) });
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_exit(result: *mut c_void) -> ! {
    finish(result as usize)
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_self() -> libc::pthread_t {
    core::ptr::from_ref(thread::current()) as libc::pthread_t
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_setname_np(
    handle: libc::pthread_t,
    name: *const c_char,
) -> c_int {
    // SAFETY: a live handle and a C string.
    let (thread, name) = unsafe { (&*(handle as *const Thread), CStr::from_ptr(name)) };
    if name.count_bytes() > 15 {
        return libc::ERANGE;
    }
    thread.set_name(Name::new(name.to_bytes()));
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_getname_np(
    handle: libc::pthread_t,
    out: *mut c_char,
    len: usize,
) -> c_int {
    // SAFETY: a live handle.
    let name = unsafe { &*(handle as *const Thread) }.name();
    if len <= name.as_bytes().len() {
        return libc::ERANGE;
    }
    // SAFETY: `out` has `len` bytes, more than the name.
    unsafe {
        out.copy_from_nonoverlapping(name.as_bytes().as_ptr().cast(), name.as_bytes().len());
        *out.add(name.as_bytes().len()) = 0;
    }
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_attr_init(out: *mut libc::pthread_attr_t) -> c_int {
    let attributes = Attributes {
        stack_bytes: DEFAULT_STACK_BYTES,
        stack_start: 0,
        guard_bytes: GUARD_BYTES,
        is_detached: 0,
        cores: 0,
    };
    // SAFETY: the caller's attributes, which are large enough.
    unsafe { out.cast::<Attributes>().write(attributes) };
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_attr_destroy(_: *mut libc::pthread_attr_t) -> c_int {
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_attr_setstacksize(
    out: *mut libc::pthread_attr_t,
    bytes: usize,
) -> c_int {
    if bytes < 16384 {
        return libc::EINVAL;
    }
    // SAFETY: attributes that `pthread_attr_init` filled in.
    unsafe { (*out.cast::<Attributes>()).stack_bytes = bytes };
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_attr_setdetachstate(
    out: *mut libc::pthread_attr_t,
    state: c_int,
) -> c_int {
    // SAFETY: attributes that `pthread_attr_init` filled in.
    unsafe { (*out.cast::<Attributes>()).is_detached = state };
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_getattr_np(
    handle: libc::pthread_t,
    out: *mut libc::pthread_attr_t,
) -> c_int {
    // SAFETY: a live handle.
    let (stack_start, stack_bytes) = unsafe { &*(handle as *const Thread) }.stack();
    let attributes = Attributes {
        stack_bytes,
        stack_start,
        guard_bytes: GUARD_BYTES,
        is_detached: 0,
        cores: 0,
    };
    // SAFETY: the caller's attributes, which are large enough.
    unsafe { out.cast::<Attributes>().write(attributes) };
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_attr_getstack(
    attributes: *const libc::pthread_attr_t,
    start: *mut *mut c_void,
    bytes: *mut usize,
) -> c_int {
    // SAFETY: attributes that were filled in, and the caller's pointers to results.
    unsafe {
        let attributes = &*attributes.cast::<Attributes>();
        *start = attributes.stack_start as *mut c_void;
        *bytes = attributes.stack_bytes;
    }
    0
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_attr_getguardsize(
    attributes: *const libc::pthread_attr_t,
    bytes: *mut usize,
) -> c_int {
    // SAFETY: attributes that were filled in, and the caller's pointer to a result.
    unsafe { *bytes = (*attributes.cast::<Attributes>()).guard_bytes };
    0
}

type Destructor = unsafe extern "C" fn(*mut c_void);

/// Keys in use, with their destructors.
static KEYS: SpinLock<Vec<Option<Option<Destructor>>>> = SpinLock::new(Vec::new());
/// As many keys as there can be (`PTHREAD_KEYS_MAX`).
const MAX_KEYS: usize = 1024;
/// How often each key was made: values that threads gave to an older one of this number are not the new one's.
static TIMES_MADE: [AtomicU32; MAX_KEYS] = [const { AtomicU32::new(0) }; MAX_KEYS];
/// Destructors may set values again; after so many rounds they are forgotten (`PTHREAD_DESTRUCTOR_ITERATIONS`).
const DESTRUCTOR_ROUNDS: usize = 4;

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_key_create(
    out: *mut libc::pthread_key_t,
    destructor: Option<Destructor>,
) -> c_int {
    let mut keys = KEYS.lock();
    let index = keys.iter().position(Option::is_none).unwrap_or(keys.len());
    if index >= MAX_KEYS {
        return libc::EAGAIN;
    }
    if index == keys.len() {
        keys.push(None);
    }
    keys[index] = Some(destructor);
    TIMES_MADE[index].fetch_add(1, Ordering::Relaxed);
    // SAFETY: the caller's pointer to a result.
    unsafe { *out = index as libc::pthread_key_t };
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_key_delete(key: libc::pthread_key_t) -> c_int {
    match KEYS.lock().get_mut(key as usize) {
        Some(slot @ Some(_)) => {
            *slot = None;
            0
        }
        _ => libc::EINVAL,
    }
}

/// The running thread's values.
fn specific() -> &'static mut Vec<(usize, u32)> {
    // SAFETY: the values are the running thread's alone; callers keep the reference for one statement, with no call in between.
    unsafe { &mut *thread::current().specific.get() }
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_setspecific(
    key: libc::pthread_key_t,
    value: *const c_void,
) -> c_int {
    let index = key as usize;
    let Some(times) = TIMES_MADE.get(index) else {
        return libc::EINVAL;
    };
    let len = specific().len();
    if index >= len {
        specific().resize(index + 1, (0, 0));
    }
    specific()[index] = (value as usize, times.load(Ordering::Relaxed));
    0
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_getspecific(key: libc::pthread_key_t) -> *mut c_void {
    value_of(key as usize) as *mut c_void
}

/// The running thread's value of a key.
fn value_of(index: usize) -> usize {
    match (specific().get(index), TIMES_MADE.get(index)) {
        (Some(&(value, made)), Some(times)) if times.load(Ordering::Relaxed) == made => value,
        _ => 0,
    }
}

fn run_key_destructors() {
    for _ in 0..DESTRUCTOR_ROUNDS {
        let mut ran_any = false;
        for index in 0..specific().len() {
            let value = value_of(index);
            specific()[index] = (0, 0);
            let destructor = KEYS.lock().get(index).copied().flatten().flatten();
            if let Some(destructor) = destructor.filter(|_| value != 0) {
                // SAFETY: the program gave the function for the values of this key.
                unsafe { destructor(value as *mut c_void) };
                ran_any = true;
            }
        }
        if !ran_any {
            break;
        }
    }
}

/// Registers the destructor of a thread-local of the running thread (Itanium C++ ABI, section 3.3.6, as glibc has it for threads).
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn __cxa_thread_atexit_impl(
    destructor: Destructor,
    object: *mut c_void,
    _image: *mut c_void,
) -> c_int {
    // SAFETY: the list is the running thread's alone.
    unsafe { (*thread::current().destructors.get()).push((destructor, object as usize)) };
    0
}

fn run_thread_local_destructors() {
    loop {
        // SAFETY: the list is the running thread's alone, and the reference ends with the statement.
        let Some((destructor, object)) = (unsafe { (*thread::current().destructors.get()).pop() })
        else {
            return;
        };
        // SAFETY: the program registered the function for this object.
        unsafe { destructor(object as *mut c_void) };
    }
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn sched_yield() -> c_int {
    scheduler::yield_now();
    0
}

/// A bit for each core; there are at most 64.
fn all_cores() -> u64 {
    u64::MAX >> (64 - scheduler::core_count())
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sched_getaffinity(
    _: libc::pid_t,
    bytes: usize,
    mask: *mut libc::cpu_set_t,
) -> c_int {
    // The mask is of 64-bit words; cores are at most 64.
    if bytes < 8 {
        return errno::set(Errno(libc::EINVAL));
    }
    let cores = all_cores();
    // SAFETY: the caller's mask of `bytes` bytes.
    unsafe {
        mask.cast::<u8>().write_bytes(0, bytes);
        mask.cast::<u64>().write_unaligned(cores);
    }
    0
}

/// Whether two handles are of the same thread.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_equal(first: libc::pthread_t, second: libc::pthread_t) -> c_int {
    c_int::from(first == second)
}

/// Stacks have one guard page: what asks for more is refused.
#[unsafe(no_mangle)]
pub(super) extern "C" fn pthread_attr_setguardsize(
    _: *mut libc::pthread_attr_t,
    bytes: usize,
) -> c_int {
    if bytes <= GUARD_BYTES {
        0
    } else {
        libc::EINVAL
    }
}

#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_attr_getstacksize(
    attributes: *const libc::pthread_attr_t,
    bytes: *mut usize,
) -> c_int {
    // SAFETY: attributes that were filled in, and the caller's pointer to a result.
    unsafe { *bytes = (*attributes.cast::<Attributes>()).stack_bytes };
    0
}

/// Threads stay on the core where they are: a set that has it is content, another one is refused.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sched_setaffinity(
    _: libc::pid_t,
    bytes: usize,
    mask: *const libc::cpu_set_t,
) -> c_int {
    if bytes < 8 {
        return errno::set(Errno(libc::EINVAL));
    }
    // SAFETY: the caller's mask of `bytes` bytes.
    let cores = unsafe { mask.cast::<u64>().read_unaligned() };
    if cores >> thread::current().core() & 1 != 0 {
        0
    } else {
        errno::set(Errno(libc::EPERM))
    }
}

/// Whether threads to come are detached.
///
/// # Safety
/// `attributes` were filled in, `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_attr_getdetachstate(
    attributes: *const libc::pthread_attr_t,
    out: *mut c_int,
) -> c_int {
    // SAFETY: the caller's.
    unsafe { *out = (*attributes.cast::<Attributes>()).is_detached };
    0
}

/// Threads have stacks of the kernel's, with a guard page: a stack of the program's own is refused.
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setstack(_: *mut c_void, _start: *mut c_void, _bytes: usize) -> c_int {
    libc::ENOTSUP
}

/// See [`pthread_attr_setstack`].
#[unsafe(no_mangle)]
extern "C" fn pthread_attr_setstackaddr(_: *mut c_void, _start: *mut c_void) -> c_int {
    libc::ENOTSUP
}

/// Tells where a stack ends, at its upper end.
///
/// # Safety
/// `attributes` were filled in, `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_attr_getstackaddr(
    attributes: *const libc::pthread_attr_t,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: the caller's.
    unsafe {
        let attributes = &*attributes.cast::<Attributes>();
        *out = (attributes.stack_start + attributes.stack_bytes) as *mut c_void;
    }
    0
}

/// Says on which cores threads to come may run; they start on the first of them and stay there.
///
/// # Safety
/// `out` was filled in, `bytes` bytes of the mask can be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_attr_setaffinity_np(
    out: *mut libc::pthread_attr_t,
    bytes: usize,
    mask: *const libc::cpu_set_t,
) -> c_int {
    if bytes < 8 || mask.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: the caller's mask of `bytes` bytes, and attributes.
    unsafe {
        let cores = mask.cast::<u64>().read_unaligned();
        if cores & all_cores() == 0 {
            return libc::EINVAL;
        }
        (*out.cast::<Attributes>()).cores = cores;
    }
    0
}

/// Tells on which cores threads to come may run.
///
/// # Safety
/// `attributes` were filled in, `bytes` bytes of the mask can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn pthread_attr_getaffinity_np(
    attributes: *const libc::pthread_attr_t,
    bytes: usize,
    mask: *mut libc::cpu_set_t,
) -> c_int {
    if bytes < 8 || mask.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: the caller's mask of `bytes` bytes, and attributes.
    unsafe {
        let chosen = (*attributes.cast::<Attributes>()).cores;
        mask.cast::<u8>().write_bytes(0, bytes);
        let cores = if chosen == 0 { all_cores() } else { chosen };
        mask.cast::<u64>().write_unaligned(cores);
    }
    0
}
