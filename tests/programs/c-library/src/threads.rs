//! Barriers, joining with a limit, attributes, alarms and signals that are read.

use std::ffi::{c_int, c_void};
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use std::thread;

unsafe extern "C" {
    fn pthread_tryjoin_np(thread: libc::pthread_t, result: *mut *mut c_void) -> c_int;
    fn pthread_timedjoin_np(
        thread: libc::pthread_t,
        result: *mut *mut c_void,
        time: *const libc::timespec,
    ) -> c_int;
    fn pthread_setcancelstate(state: c_int, old: *mut c_int) -> c_int;
    fn pthread_attr_getdetachstate(
        attributes: *const libc::pthread_attr_t,
        state: *mut c_int,
    ) -> c_int;
    fn alarm(seconds: u32) -> u32;
}

struct Shared(std::cell::UnsafeCell<libc::pthread_barrier_t>);
// SAFETY: a barrier is for threads.
unsafe impl Sync for Shared {}

pub(crate) fn steps() {
    barriers();
    once();
    joins();
    attributes();
    robust();
    keys();
    timers();
    descriptors();
}

/// What is done once counts as done when the function has returned, and not when it was left by a panic.
fn once() {
    unsafe extern "C-unwind" {
        fn pthread_once(
            control: *mut libc::pthread_once_t,
            function: extern "C-unwind" fn(),
        ) -> c_int;
    }
    static CALLS: AtomicU32 = AtomicU32::new(0);
    extern "C-unwind" fn function() {
        if CALLS.fetch_add(1, Ordering::Relaxed) < 2 {
            std::panic::resume_unwind(Box::new("not yet"));
        }
    }
    let mut control = libc::PTHREAD_ONCE_INIT;
    let place = &raw mut control as usize;
    for _ in 0..4 {
        // SAFETY: the integer lives until the thread has ended.
        let attempt = thread::spawn(move || unsafe { pthread_once(place as *mut _, function) });
        println!(
            "once {:?} {}",
            attempt.join().ok(),
            CALLS.load(Ordering::Relaxed)
        );
    }
}

/// Values of threads: none for a new key, whatever an older one of that number had.
fn keys() {
    // SAFETY: keys of ours, whose values nobody follows.
    unsafe {
        let mut key = 0;
        let made = libc::pthread_key_create(&raw mut key, None);
        let set = libc::pthread_setspecific(key, 8 as *const c_void);
        println!("key {made} {set} {:?}", libc::pthread_getspecific(key));
        let deleted = libc::pthread_key_delete(key);
        let mut other = 0;
        let made = libc::pthread_key_create(&raw mut other, None);
        println!("{deleted} {made} {:?}", libc::pthread_getspecific(other));
        libc::pthread_key_delete(other);
    }
}

struct Mutex(std::cell::UnsafeCell<libc::pthread_mutex_t>);
// SAFETY: a mutex is for threads.
unsafe impl Sync for Mutex {}

impl Mutex {
    fn lock(&self) -> c_int {
        // SAFETY: it is initialised.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    fn try_lock(&self) -> c_int {
        // SAFETY: it is initialised.
        unsafe { libc::pthread_mutex_trylock(self.0.get()) }
    }

    fn unlock(&self) -> c_int {
        // SAFETY: it is initialised.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) }
    }

    fn consistent(&self) -> c_int {
        // SAFETY: it is initialised.
        unsafe { libc::pthread_mutex_consistent(self.0.get()) }
    }
}

/// Mutexes whose holder ends.
fn robust() {
    // SAFETY: zeros, until it is initialised.
    let mutex = Mutex(std::cell::UnsafeCell::new(unsafe { zeroed() }));
    // SAFETY: attributes and a mutex of ours.
    unsafe {
        let mut attributes: libc::pthread_mutexattr_t = zeroed();
        libc::pthread_mutexattr_init(&raw mut attributes);
        let robust = libc::PTHREAD_MUTEX_ROBUST;
        let result = libc::pthread_mutexattr_setrobust(&raw mut attributes, robust);
        let wrong = libc::pthread_mutexattr_setrobust(&raw mut attributes, 77);
        println!("robust {result} {wrong}");
        libc::pthread_mutex_init(mutex.0.get(), &raw const attributes);
    }
    println!("{} {}", mutex.lock(), mutex.unlock());
    let is_held = AtomicU32::new(0);
    thread::scope(|scope| {
        let ended = scope.spawn(|| mutex.lock()).join();
        println!("{ended:?} {} {}", mutex.lock(), mutex.try_lock());
        println!(
            "{} {} {}",
            mutex.consistent(),
            mutex.consistent(),
            mutex.unlock()
        );
        println!("{} {}", mutex.lock(), mutex.unlock());
        // One waits while the other ends.
        let holder = scope.spawn(|| {
            let result = mutex.lock();
            is_held.store(1, Ordering::Release);
            thread::sleep(std::time::Duration::from_millis(50));
            result
        });
        while is_held.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        println!("{}", mutex.lock());
        println!("{:?}", holder.join());
        // What it guards is not put right.
        println!("{} {} {}", mutex.unlock(), mutex.lock(), mutex.unlock());
    });
}

fn barriers() {
    // SAFETY: zeros, until it is initialised.
    let barrier = Shared(std::cell::UnsafeCell::new(unsafe { zeroed() }));
    let (rounds, last) = (AtomicU32::new(0), AtomicU32::new(0));
    // SAFETY: the barrier is initialised, and ended when nobody waits.
    unsafe {
        println!("{}", libc::pthread_barrier_init(barrier.0.get(), null(), 0));
        println!("{}", libc::pthread_barrier_init(barrier.0.get(), null(), 4));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let barrier = &barrier;
                    for round in 0..50 {
                        assert!(rounds.load(Ordering::SeqCst) / 4 >= round);
                        rounds.fetch_add(1, Ordering::SeqCst);
                        if libc::pthread_barrier_wait(barrier.0.get())
                            == libc::PTHREAD_BARRIER_SERIAL_THREAD
                        {
                            last.fetch_add(1, Ordering::SeqCst);
                        }
                        assert!(rounds.load(Ordering::SeqCst) >= (round + 1) * 4);
                    }
                });
            }
        });
        println!(
            "{} {}",
            rounds.load(Ordering::SeqCst),
            last.load(Ordering::SeqCst)
        );
        println!("{}", libc::pthread_barrier_destroy(barrier.0.get()));
    }
}

static GATE: AtomicU32 = AtomicU32::new(0);

extern "C" fn wait_at_gate(argument: *mut c_void) -> *mut c_void {
    while GATE.load(Ordering::SeqCst) == 0 {
        thread::sleep(std::time::Duration::from_millis(1));
    }
    argument
}

fn joins() {
    // SAFETY: places for results, threads that are joined once.
    unsafe {
        let mut thread = 0;
        println!(
            "{}",
            libc::pthread_create(&raw mut thread, null(), wait_at_gate, 7 as *mut c_void)
        );
        println!("{}", pthread_tryjoin_np(thread, null_mut()));
        let long_ago = libc::timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        println!(
            "{}",
            pthread_timedjoin_np(thread, null_mut(), &raw const long_ago)
        );
        GATE.store(1, Ordering::SeqCst);
        let far = libc::timespec {
            tv_sec: 1 << 40,
            tv_nsec: 0,
        };
        let mut result = null_mut();
        println!(
            "{} {result:?}",
            pthread_timedjoin_np(thread, &raw mut result, &raw const far)
        );
        println!("{result:?}");
        let mut old = -1;
        println!("{} {old}", pthread_setcancelstate(1, &raw mut old));
        println!("{} {old}", pthread_setcancelstate(0, &raw mut old));
    }
}

fn attributes() {
    // SAFETY: attributes that are initialised, places for results.
    unsafe {
        let mut attributes: libc::pthread_attr_t = zeroed();
        libc::pthread_attr_init(&raw mut attributes);
        let mut state = -1;
        libc::pthread_attr_setdetachstate(&raw mut attributes, libc::PTHREAD_CREATE_DETACHED);
        println!(
            "{} {state}",
            pthread_attr_getdetachstate(&raw const attributes, &raw mut state)
        );
        println!("{state}");
        let mut parameter = libc::sched_param { sched_priority: 5 };
        let mut policy = -1;
        println!(
            "{}",
            libc::pthread_getschedparam(libc::pthread_self(), &raw mut policy, &raw mut parameter)
        );
        println!("{policy} {}", parameter.sched_priority);
        let mut mutex: libc::pthread_mutexattr_t = zeroed();
        libc::pthread_mutexattr_init(&raw mut mutex);
        println!("{}", libc::pthread_mutexattr_setpshared(&raw mut mutex, 1));
        let mut lock: libc::pthread_rwlockattr_t = zeroed();
        println!("{}", libc::pthread_rwlockattr_init(&raw mut lock));
        println!("{}", libc::pthread_rwlockattr_setkind_np(&raw mut lock, 2));
        let mut kind = 0;
        libc::pthread_rwlockattr_getkind_np(&raw const lock, &raw mut kind);
        println!("{kind}");
        println!("{} {}", libc::mlock(null(), 0), libc::munlock(null(), 0));
    }
}

static SEEN: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: what the kernel gave.
    unsafe {
        VALUE.store((*info).si_value().sival_ptr as usize, Ordering::SeqCst);
        CODE.store((*info).si_code, Ordering::SeqCst);
    }
    SEEN.fetch_add(1, Ordering::SeqCst);
}

fn seen_at_least(count: i32) {
    while SEEN.load(Ordering::SeqCst) < count {
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn timers() {
    // SAFETY: a handler, structures of integers and pointers, places for results.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGALRM, &raw const action, null_mut());
        libc::sigaction(libc::SIGUSR1, &raw const action, null_mut());
        println!("{} {}", alarm(100), alarm(0));
        let soon = libc::itimerval {
            it_interval: libc::timeval {
                tv_sec: 0,
                tv_usec: 2000,
            },
            it_value: libc::timeval {
                tv_sec: 0,
                tv_usec: 1000,
            },
        };
        println!(
            "{}",
            libc::setitimer(libc::ITIMER_REAL, &raw const soon, null_mut())
        );
        seen_at_least(3);
        let never: libc::itimerval = zeroed();
        println!(
            "{}",
            libc::setitimer(libc::ITIMER_REAL, &raw const never, null_mut())
        );
        println!("alarms came");

        let mut event: libc::sigevent = zeroed();
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_value.sival_ptr = 0x1234 as *mut c_void;
        let mut timer: libc::timer_t = zeroed();
        println!(
            "{}",
            libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer)
        );
        let once = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000,
            },
        };
        SEEN.store(0, Ordering::SeqCst);
        println!(
            "{}",
            libc::timer_settime(timer, 0, &raw const once, null_mut())
        );
        seen_at_least(1);
        println!(
            "{:#x} {}",
            VALUE.load(Ordering::SeqCst),
            CODE.load(Ordering::SeqCst) == libc::SI_TIMER
        );
        let mut left: libc::itimerspec = zeroed();
        println!(
            "{} {}",
            libc::timer_gettime(timer, &raw mut left),
            left.it_value.tv_nsec
        );
        println!("{}", libc::timer_delete(timer));
    }
}

fn descriptors() {
    // SAFETY: sets, structures of integers, buffers of the lengths that are told.
    unsafe {
        let mut set: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGUSR2);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, null_mut());
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK);
        println!("{}", descriptor >= 0);
        let mut info: libc::signalfd_siginfo = zeroed();
        println!("{}", libc::read(descriptor, (&raw mut info).cast(), 128));
        libc::kill(libc::getpid(), libc::SIGUSR2);
        let mut poll = libc::pollfd {
            fd: descriptor,
            events: libc::POLLIN,
            revents: 0,
        };
        println!("{} {}", libc::poll(&raw mut poll, 1, -1), poll.revents);
        println!(
            "{} {}",
            libc::read(descriptor, (&raw mut info).cast(), 128),
            info.ssi_signo
        );
        println!("{}", libc::poll(&raw mut poll, 1, 0));
        // One that comes while a thread waits for it.
        let waiter = thread::spawn(move || {
            let mut poll = libc::pollfd {
                fd: descriptor,
                events: libc::POLLIN,
                revents: 0,
            };
            libc::poll(&raw mut poll, 1, -1)
        });
        thread::sleep(std::time::Duration::from_millis(10));
        libc::kill(libc::getpid(), libc::SIGUSR2);
        println!("{}", waiter.join().unwrap());
        println!("{}", libc::read(descriptor, (&raw mut info).cast(), 128));
        libc::close(descriptor);
    }
}
