//! The program's life: arguments, environment, `main`, exit.

use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, Ordering};

use super::environment::environ;
use super::{signal, stdio, syscall, thread};
use crate::arch::x86_64::power;
use crate::command_line::Value;
use crate::devices::power_button;
use crate::devices::xen::shutdown;
use crate::epitaph;
use crate::error::{Errno, Result};
use crate::scheduler;
use crate::start::command_line;
use crate::storage::vfs::{self, namespace::LastLink};
use crate::sync::{OnceCell, SpinLock};

/// Exit status of `abort`, as a shell reports SIGABRT.
const STATUS_ABORTED: c_int = 128 + 6;

/// Exit status of a program that the power button ends, as a shell reports SIGINT.
const STATUS_INTERRUPTED: c_int = 128 + 2;

type Initialiser = extern "C" fn(c_int, *const *const c_char, *const *const c_char);
type ExitFunction = unsafe extern "C" fn(*mut c_void);

unsafe extern "C" {
    fn main(argc: c_int, argv: *const *const c_char) -> c_int;
    static toro_init_array_start: Initialiser;
    static toro_init_array_end: Initialiser;
    static toro_fini_array_start: extern "C" fn();
    static toro_fini_array_end: extern "C" fn();
}

static EXIT_FUNCTIONS: SpinLock<Vec<(ExitFunction, usize)>> = SpinLock::new(Vec::new());
static IS_EXITING: AtomicBool = AtomicBool::new(false);
/// What the network does when the program ends.
static FAREWELL: OnceCell<fn()> = OnceCell::new();

/// The program's name, which it may change as it may its other arguments.
static NAME: [AtomicU8; 9] = {
    let mut name = [const { AtomicU8::new(0) }; 9];
    let mut at = 0;
    while at < name.len() {
        name[at] = AtomicU8::new(b"/program\0"[at]);
        at += 1;
    }
    name
};

/// Its arguments where the command line has nothing for it, with the null at the end: most programs start so, and nothing is made for them.
static ONLY_NAME: [AtomicPtr<c_char>; 2] = [
    AtomicPtr::new((&raw const NAME).cast_mut().cast()),
    AtomicPtr::new(null_mut()),
];

/// What is in the environment of a program to which nothing is said of it, as in that of Linux's first process: root's home as `/etc/passwd` has it.
static HOME: [u8; 7] = *b"HOME=/\0";
static ONLY_HOME: [AtomicPtr<c_char>; 2] = [
    AtomicPtr::new((&raw const HOME).cast_mut().cast()),
    AtomicPtr::new(null_mut()),
];

/// Makes C strings of `strings` that live for ever, and a null-ended array of them with `first` before them, if there is one. A zero byte
/// cannot come from the command line; if it does, the text ends there for who reads it.
#[inline(never)]
fn c_strings(first: Option<*mut c_char>, strings: Vec<Value>) -> *mut *mut c_char {
    let mut pointers: Vec<_> = first.into_iter().collect();
    for text in strings {
        let mut bytes = text.into_owned().into_bytes();
        bytes.push(0);
        pointers.push(bytes.leak().as_mut_ptr().cast());
    }
    pointers.push(null_mut());
    pointers.leak().as_mut_ptr()
}

/// What the program does when the power button is pressed, if it has said so.
static ON_POWER_BUTTON: AtomicPtr<()> = AtomicPtr::new(null_mut());

/// Has `function` called when the power button is pressed.
pub(super) fn set_on_power_button(function: extern "C" fn()) {
    ON_POWER_BUTTON.store(function as *mut (), Ordering::Release);
}

/// The power button is an interrupt from the keyboard: the program is told if it wants to be (by `SIGINT`, or else by `SIGTERM`), and
/// ended if not.
extern "C" fn on_power_button(_: usize) -> ! {
    scheduler::begin();
    log::info!("the power button was pressed");
    let function = ON_POWER_BUTTON.load(Ordering::Acquire);
    if !function.is_null() {
        // SAFETY: only `set_on_power_button` stores here.
        unsafe { core::mem::transmute::<*mut (), extern "C" fn()>(function)() };
        // The function may have used thread-locals.
        thread::run_destructors();
        scheduler::exit(0)
    }
    let signals = [libc::SIGINT, libc::SIGTERM];
    let wanted = || signals.into_iter().find(|&s| signal::is_wanted(s));
    if wanted().is_some() {
        signal::let_handlers_settle();
    }
    match wanted() {
        // The thread blocks nothing, and these signals exist.
        Some(wanted) => drop(signal::send_from_outside(wanted)),
        None => _exit(STATUS_INTERRUPTED),
    }
    scheduler::exit(0)
}

/// Makes a directory the current one.
fn start_in(path: &str) -> Result<()> {
    let entry = vfs::resolve(path.as_bytes(), LastLink::Follow)?;
    vfs::set_current(entry)
}

/// Runs the program and ends the machine with its status.
pub fn run() -> ! {
    let has_button = power::acpi().is_some_and(|acpi| power_button::watch(acpi, on_power_button));
    if !has_button {
        shutdown::watch(on_power_button);
    }
    stdio::open();
    syscall::initialise();
    let line = command_line();
    let mut argc = 1;
    let mut argv: *mut *mut c_char = (&raw const ONLY_NAME).cast_mut().cast();
    let mut environment: *mut *mut c_char = (&raw const ONLY_HOME).cast_mut().cast();
    if line.has_words_for_program() {
        if let Some(path) = line.directory()
            && let Err(Errno(number)) = start_in(&path)
        {
            epitaph::fatal(format_args!(
                "the program cannot start in {path} (errno {number})"
            ));
        }
        let arguments = line.arguments();
        argc += arguments.len() as c_int;
        argv = c_strings(Some((&raw const NAME).cast_mut().cast()), arguments);
        let variables = line.environment();
        let has_home = variables.iter().any(|text| text.starts_with("HOME="));
        let home = (!has_home).then_some((&raw const HOME).cast_mut().cast());
        environment = c_strings(home, variables);
    }
    let argv = argv.cast_const().cast::<*const c_char>();
    environ.store(environment, Ordering::Relaxed);
    // SAFETY: the linker script puts an array of functions between the two symbols; std's ones want these arguments, as glibc's do.
    unsafe {
        let mut function = &raw const toro_init_array_start;
        while function < &raw const toro_init_array_end {
            (*function)(argc, argv, environment.cast_const().cast());
            function = function.add(1);
        }
        exit(main(argc, argv))
    }
}

/// Ends the program: destructors, exit functions, then the machine.
#[unsafe(no_mangle)]
pub(super) extern "C" fn exit(status: c_int) -> ! {
    if !IS_EXITING.swap(true, Ordering::Relaxed) {
        thread::run_destructors();
        loop {
            let Some((function, argument)) = EXIT_FUNCTIONS.lock().pop() else {
                break;
            };
            // SAFETY: the program registered the function with this argument.
            unsafe { function(argument as *mut c_void) };
        }
        // SAFETY: the linker script puts an array of functions between the two symbols.
        unsafe {
            let mut function = &raw const toro_fini_array_end;
            while function > &raw const toro_fini_array_start {
                function = function.sub(1);
                (*function)();
            }
        }
    }
    _exit(status)
}

/// Ends the machine at once; disks are unmounted.
#[unsafe(no_mangle)]
pub(super) extern "C" fn _exit(status: c_int) -> ! {
    leave();
    epitaph::end(status as u8)
}

/// What the program has sent and written still arrives.
pub(in crate::abi) fn leave() {
    if let Some(say_farewell) = FAREWELL.get() {
        say_farewell();
    }
    if let Err(error) = crate::storage::vfs::unmount_all() {
        log::error!("not all that was written is on the disks: {error:?}");
    }
}

/// Has `function` called when the machine ends, once. Who has nothing to say has it not linked.
pub(super) fn set_farewell(function: fn()) {
    let _ = FAREWELL.set(function);
}

/// Ends the machine because the program is wrong. The kernel is not, so disks are unmounted.
#[unsafe(no_mangle)]
pub(super) extern "C" fn abort() -> ! {
    _exit(STATUS_ABORTED)
}

/// Has `function` called when the program ends.
pub(super) fn at_exit(function: fn()) {
    extern "C" fn call(function: *mut c_void) {
        // SAFETY: `at_exit` registered the pointer, a function without arguments.
        unsafe { core::mem::transmute::<*mut c_void, fn()>(function)() }
    }
    EXIT_FUNCTIONS.lock().push((call, function as usize));
}

#[unsafe(no_mangle)]
extern "C" fn atexit(function: extern "C" fn()) -> c_int {
    extern "C" fn call(function: *mut c_void) {
        // SAFETY: `atexit` registered the pointer, a function without arguments.
        unsafe { core::mem::transmute::<*mut c_void, extern "C" fn()>(function)() }
    }
    EXIT_FUNCTIONS.lock().push((call, function as usize));
    0
}

#[unsafe(no_mangle)]
extern "C" fn __cxa_atexit(
    function: ExitFunction,
    argument: *mut c_void,
    _image: *mut c_void,
) -> c_int {
    EXIT_FUNCTIONS.lock().push((function, argument as usize));
    0
}
