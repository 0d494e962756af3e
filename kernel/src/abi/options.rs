//! Options of command lines (POSIX.1-2017, `getopt`; glibc: getopt(3) for the long ones).

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering::Relaxed};

use crate::devices::console;

/// The argument of the option that was found last.
#[unsafe(no_mangle)]
static optarg: AtomicPtr<c_char> = AtomicPtr::new(null_mut());
/// The argument that is looked at next; 0 begins anew.
#[unsafe(no_mangle)]
static optind: AtomicI32 = AtomicI32::new(1);
/// Whether faults are told on the console.
#[unsafe(no_mangle)]
static opterr: AtomicI32 = AtomicI32::new(1);
/// The option that is unknown or lacks its argument.
#[unsafe(no_mangle)]
static optopt: AtomicI32 = AtomicI32::new(b'?' as i32);

/// How far into an argument with several letters, and the arguments that are no options and were passed over.
#[derive(Clone, Copy)]
struct Progress {
    letter: usize,
    skipped: (usize, usize),
}

struct Shared(UnsafeCell<Progress>);

// SAFETY: the functions are called by one thread, as C has it.
unsafe impl Sync for Shared {}

static PROGRESS: Shared = Shared(UnsafeCell::new(Progress {
    letter: 0,
    skipped: (1, 1),
}));

/// `struct option` of `getopt.h`.
#[repr(C)]
pub(super) struct LongOption {
    name: *const c_char,
    /// 0 none, 1 needed, 2 possible.
    has_argument: c_int,
    /// Where the value goes; null to have it returned.
    flag: *mut c_int,
    value: c_int,
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    /// Options may stand behind other arguments, which are moved to the end.
    Permute,
    /// The first other argument ends the options.
    Stop,
    /// Other arguments are options of the number 1.
    Mixed,
}

/// The arguments, which are put in another order.
struct Arguments<'a>(&'a mut [*mut c_char]);

impl Arguments<'_> {
    fn text(&self, index: usize) -> &[u8] {
        match self.0.get(index) {
            // SAFETY: arguments are C strings.
            Some(&text) if !text.is_null() => unsafe { CStr::from_ptr(text) }.to_bytes(),
            _ => &[],
        }
    }

    fn is_option(&self, index: usize) -> bool {
        let text = self.text(index);
        text.len() > 1 && text[0] == b'-'
    }

    /// Moves the arguments that were passed over behind those that were looked at since.
    fn move_skipped(&mut self, progress: &mut Progress, next: usize) {
        let (first, end) = progress.skipped;
        if first < end && end < next && next <= self.0.len() {
            self.0[first..next].rotate_left(end - first);
        }
        progress.skipped = (first + next.saturating_sub(end), next);
    }
}

fn complain(program: &[u8], what: &[&[u8]]) {
    if opterr.load(Relaxed) != 0 {
        console::write(&[program, b": ", &what.concat(), b"\n"].concat());
    }
}

/// # Safety
/// 1. `arguments` are `count` C strings, `letters` is one, `long` is null or ends with an option without a name.
/// 2. No other thread looks for options.
unsafe fn next_option(
    count: c_int,
    arguments: *mut *mut c_char,
    letters: *const c_char,
    long: *const LongOption,
    long_index: *mut c_int,
    is_long_only: bool,
) -> c_int {
    // SAFETY: (2).
    let progress = unsafe { &mut *PROGRESS.0.get() };
    // SAFETY: (1).
    let (mut all, mut letters) = unsafe {
        let count = usize::try_from(count).unwrap_or(0);
        let all = core::slice::from_raw_parts_mut(arguments, count);
        (Arguments(all), CStr::from_ptr(letters).to_bytes())
    };
    optarg.store(null_mut(), Relaxed);
    if optind.load(Relaxed) <= 0 {
        optind.store(1, Relaxed);
        *progress = Progress {
            letter: 0,
            skipped: (1, 1),
        };
    }
    let mut next = optind.load(Relaxed) as usize;
    if next == 1 && progress.letter == 0 {
        progress.skipped = (1, 1);
    }
    let order = match letters.first() {
        Some(b'+') => Order::Stop,
        Some(b'-') => Order::Mixed,
        _ if super::environment::value(b"POSIXLY_CORRECT").is_some() => Order::Stop,
        _ => Order::Permute,
    };
    if matches!(letters.first(), Some(b'+' | b'-')) {
        letters = &letters[1..];
    }
    let is_quiet = letters.first() == Some(&b':');
    let missing = if is_quiet { b':' } else { b'?' };
    let program = all.text(0).to_vec();
    let complain = |what: &[&[u8]]| {
        if !is_quiet {
            complain(&program, what);
        }
    };
    if progress.letter == 0 {
        if order == Order::Permute {
            all.move_skipped(progress, next);
            while next < all.0.len() && !all.is_option(next) {
                next += 1;
            }
            progress.skipped.1 = next;
        }
        if all.text(next) == b"--" && next < all.0.len() {
            next += 1;
            all.move_skipped(progress, next);
            optind.store(
                if order == Order::Permute {
                    progress.skipped.0 as c_int
                } else {
                    next as c_int
                },
                Relaxed,
            );
            return -1;
        }
        if next >= all.0.len() {
            let end = if order == Order::Permute {
                progress.skipped.0
            } else {
                next
            };
            optind.store(end as c_int, Relaxed);
            return -1;
        }
        if !all.is_option(next) {
            if order == Order::Stop {
                optind.store(next as c_int, Relaxed);
                return -1;
            }
            optarg.store(all.0[next], Relaxed);
            optind.store(next as c_int + 1, Relaxed);
            return 1;
        }
        let text = all.text(next);
        let dashes = if text.starts_with(b"--") { 2 } else { 1 };
        let is_letter = text.len() == 2 && letters.contains(&text[1]);
        if !long.is_null() && (dashes == 2 || is_long_only && !is_letter) {
            let text = text.to_vec();
            let rest = &text[dashes..];
            let name_len = rest
                .iter()
                .position(|&byte| byte == b'=')
                .unwrap_or(rest.len());
            // SAFETY: (1).
            let found = unsafe { find_long(long, &rest[..name_len]) };
            // With one dash it may be letters.
            if dashes == 2 || !matches!(found, Found::None) || !letters.contains(&rest[0]) {
                optind.store(next as c_int + 1, Relaxed);
                optopt.store(0, Relaxed);
                let (index, option) = match found {
                    Found::One(index, option) => (index, option),
                    Found::None => {
                        complain(&[b"unrecognized option '", &text, b"'"]);
                        return c_int::from(b'?');
                    }
                    Found::Several => {
                        complain(&[b"option '", &text, b"' is ambiguous"]);
                        return c_int::from(b'?');
                    }
                };
                if name_len < rest.len() {
                    if option.has_argument == 0 {
                        complain(&[
                            b"option '",
                            &text[..dashes + name_len],
                            b"' doesn't allow an argument",
                        ]);
                        optopt.store(option.value, Relaxed);
                        return c_int::from(b'?');
                    }
                    // SAFETY: inside of the argument.
                    let value = unsafe { all.0[next].add(dashes + name_len + 1) };
                    optarg.store(value, Relaxed);
                } else if option.has_argument == 1 {
                    let Some(&value) = all.0.get(next + 1) else {
                        complain(&[b"option '", &text, b"' requires an argument"]);
                        optopt.store(option.value, Relaxed);
                        return c_int::from(missing);
                    };
                    optarg.store(value, Relaxed);
                    optind.store(next as c_int + 2, Relaxed);
                }
                if !long_index.is_null() {
                    // SAFETY: the caller's place.
                    unsafe { long_index.write(index as c_int) };
                }
                if option.flag.is_null() {
                    return option.value;
                }
                // SAFETY: the program's place (1).
                unsafe { option.flag.write(option.value) };
                return 0;
            }
        }
        progress.letter = 1;
    }
    // A letter.
    let text = all.text(next).to_vec();
    let letter = text.get(progress.letter).copied().unwrap_or(b'?');
    progress.letter += 1;
    let is_last = progress.letter >= text.len();
    let place = letters
        .iter()
        .position(|&known| known == letter && letter != b':');
    let mut end = next + usize::from(is_last);
    let colons = place.map_or(0, |place| {
        letters[place + 1..]
            .iter()
            .take_while(|&&byte| byte == b':')
            .count()
    });
    let mut result = c_int::from(letter);
    if place.is_none() {
        optopt.store(c_int::from(letter), Relaxed);
        complain(&[b"invalid option -- '", &[letter], b"'"]);
        result = c_int::from(b'?');
    } else if colons > 0 {
        end = next + 1;
        if !is_last {
            // SAFETY: inside of the argument.
            optarg.store(unsafe { all.0[next].add(progress.letter) }, Relaxed);
        } else if colons == 1 {
            match all.0.get(end) {
                Some(&value) => {
                    optarg.store(value, Relaxed);
                    end += 1;
                }
                None => {
                    optopt.store(c_int::from(letter), Relaxed);
                    complain(&[b"option requires an argument -- '", &[letter], b"'"]);
                    result = c_int::from(missing);
                }
            }
        }
    }
    if end > next {
        progress.letter = 0;
    }
    optind.store(end as c_int, Relaxed);
    result
}

enum Found<'a> {
    One(usize, &'a LongOption),
    None,
    Several,
}

/// An option by its name or the beginning of it.
///
/// # Safety
/// 1. `long` ends with an option without a name.
unsafe fn find_long<'a>(long: *const LongOption, name: &[u8]) -> Found<'a> {
    let mut found = Found::None;
    for index in 0.. {
        // SAFETY: (1).
        let option = unsafe { &*long.add(index) };
        if option.name.is_null() {
            break;
        }
        // SAFETY: (1).
        let known = unsafe { CStr::from_ptr(option.name) }.to_bytes();
        if known == name {
            return Found::One(index, option);
        }
        if known.starts_with(name) {
            found = match found {
                Found::None => Found::One(index, option),
                Found::One(_, other)
                    if other.has_argument == option.has_argument
                        && other.flag == option.flag
                        && other.value == option.value =>
                {
                    found
                }
                _ => Found::Several,
            };
        }
    }
    found
}

/// The next option: its letter, `?` for one that is none, -1 at the end.
///
/// # Safety
/// `arguments` are `count` C strings, `letters` is one; no other thread looks for options.
#[unsafe(no_mangle)]
unsafe extern "C" fn getopt(
    count: c_int,
    arguments: *mut *mut c_char,
    letters: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe {
        next_option(
            count,
            arguments,
            letters,
            core::ptr::null(),
            null_mut(),
            false,
        )
    }
}

/// As [`getopt`], with options of several letters behind two dashes.
///
/// # Safety
/// As there; `long` ends with an option without a name, `index` is null or can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getopt_long(
    count: c_int,
    arguments: *mut *mut c_char,
    letters: *const c_char,
    long: *const LongOption,
    index: *mut c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { next_option(count, arguments, letters, long, index, false) }
}

/// As [`getopt_long`], with one dash or two.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
unsafe extern "C" fn getopt_long_only(
    count: c_int,
    arguments: *mut *mut c_char,
    letters: *const c_char,
    long: *const LongOption,
    index: *mut c_int,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { next_option(count, arguments, letters, long, index, true) }
}
