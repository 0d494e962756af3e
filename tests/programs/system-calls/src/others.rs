//! Calls by number that no crate here makes: time, memory, descriptors and scheduling, as other C libraries and runtimes make them.

use std::arch::asm;
use std::ptr::null;

/// A system call, by the instruction.
///
/// # Safety
/// 1. Number and arguments are as the call's manual page has them.
unsafe fn call(number: usize, values: [usize; 6]) -> isize {
    let mut result = number as isize;
    // SAFETY: (1).
    unsafe {
        asm!("syscall", inlateout("rax") result, in("rdi") values[0], in("rsi") values[1], in("rdx") values[2],
            in("r10") values[3], in("r8") values[4], in("r9") values[5], lateout("rcx") _, lateout("r11") _);
    }
    result
}

fn at<T>(place: &T) -> usize {
    std::ptr::from_ref(place) as usize
}

pub(crate) fn run() {
    // SAFETY: numbers of x86-64 (`asm/unistd_64.h`), and places that are large enough.
    unsafe {
        let made = |number, [a, b, c, d]: [usize; 4]| call(number, [a, b, c, d, 0, 0]);
        println!("time {}", made(201, [0; 4]) > 1_500_000_000);
        let mut cores = [99_u32; 2];
        let asked = made(309, [cores.as_mut_ptr() as usize, at(&cores[1]), 0, 0]);
        println!(
            "getcpu {asked} {}",
            cores[0] < 64 && std::hint::black_box(&cores)[1] < 64
        );
        let mut header = [7_u32, 0];
        let mut sets = [0_u32; 6];
        let place = header.as_mut_ptr() as usize;
        let refused = made(125, [place, sets.as_mut_ptr() as usize, 0, 0]);
        println!("capget {refused} {:x?}", std::hint::black_box(&header));
        println!("capset {}", {
            made(125, [place, sets.as_mut_ptr() as usize, 0, 0]);
            made(
                126,
                [place, std::hint::black_box(&sets).as_ptr() as usize, 0, 0],
            )
        });
        header[1] = 0x3FFF_FFFF;
        let nobody = made(125, [place, sets.as_mut_ptr() as usize, 0, 0]);
        println!(
            "capget of nobody {nobody} {}",
            std::hint::black_box(&header)[0]
        );
        let own = std::process::id() as usize;
        let one = made(290, [0; 4]) as usize;
        let other = made(290, [0; 4]) as usize;
        let copy = made(32, [one, 0, 0, 0]) as usize;
        let compare = |what, first, second| call(312, [own, own, what, first, second, 0]);
        println!(
            "kcmp {} {} {} {} {}",
            compare(0, one, copy),
            compare(0, one, other) > 0,
            compare(0, one, 9999),
            compare(1, 0, 0),
            compare(99, 0, 0)
        );
        let mut priority = [7_i32];
        println!(
            "getparam {} {:?}",
            made(143, [0, priority.as_mut_ptr() as usize, 0, 0]),
            std::hint::black_box(&priority)
        );
        println!(
            "priorities {} {} {}",
            made(146, [0; 4]),
            made(147, [0; 4]),
            made(146, [77, 0, 0, 0])
        );

        // Memory: one page, touched, that becomes three.
        let page = call(9, [0, 4096, 3, 0x22, usize::MAX, 0]) as usize;
        *(page as *mut u64) = 4711;
        let mut residence = [0_u8; 1];
        println!(
            "mincore {} {}",
            made(27, [page, 4096, residence.as_mut_ptr() as usize, 0]),
            std::hint::black_box(&residence)[0] & 1
        );
        println!(
            "mlock {} {}",
            made(149, [page, 4096, 0, 0]),
            made(150, [page, 4096, 0, 0])
        );
        println!("mlock2 {}", made(325, [page, 4096, 99, 0]));
        let moved = made(25, [page, 4096, 3 * 4096, 1]) as usize;
        println!(
            "mremap {} {}",
            *(moved as *const u64),
            *((moved + 8192) as *const u64)
        );

        // Descriptors.
        let name = c"memory";
        let file = made(319, [name.as_ptr() as usize, 0, 0, 0]) as usize;
        let text = b"0123456789";
        let part = [text.as_ptr() as usize, 10];
        println!("pwritev2 {}", call(328, [file, at(&part), 1, 5, 0, 0]));
        println!("preadv2 {}", call(327, [file, at(&part), 1, 100, 0, 0]));
        println!("flags {}", call(327, [file, at(&part), 1, 0, 0, 1 << 20]));
        println!(
            "fadvise {} {}",
            made(221, [file, 0, 0, 2]),
            made(221, [file, 0, 0, 99])
        );
        println!("readahead {}", made(187, [file, 0, 10, 0]));
        println!(
            "close_range {} {}",
            made(436, [50, 40, 0, 0]),
            made(436, [file, file, 0, 0])
        );
        println!("closed {}", made(3, [file, 0, 0, 0]));

        // Waiting and timers.
        let counter = made(290, [1, 0, 0, 0]) as usize;
        let mut set = [0_u64; 16];
        set[counter / 64] |= 1 << (counter % 64);
        // Linux writes what remains.
        let mut wait = [0_u64, 100];
        let span = [5_u64, 0];
        println!(
            "pselect {}",
            call(
                270,
                [counter + 1, set.as_mut_ptr() as usize, 0, 0, at(&span), 0]
            )
        );
        println!(
            "select {}",
            call(23, [0, 0, 0, 0, wait.as_mut_ptr() as usize, 0])
        );
        // `SIGEV_NONE`.
        let event = [0_u64, 1 << 32, 0, 0, 0, 0, 0, 0];
        let mut timer = -1_i32;
        println!(
            "timer_create {}",
            made(222, [1, at(&event), &raw mut timer as usize, 0])
        );
        let setting = [0_u64, 0, 1000, 0];
        let mut left = [0_u64; 4];
        println!(
            "timer_settime {}",
            made(223, [timer as usize, 0, at(&setting), 0])
        );
        println!(
            "timer_gettime {} {}",
            made(224, [timer as usize, left.as_mut_ptr() as usize, 0, 0]),
            std::hint::black_box(&left)[2] > 900
        );
        println!(
            "timer_delete {} {}",
            made(226, [timer as usize, 0, 0, 0]),
            made(226, [timer as usize, 0, 0, 0])
        );
        let mut alarm = [1_u64; 4];
        println!(
            "getitimer {} {:?}",
            made(36, [0, alarm.as_mut_ptr() as usize, 0, 0]),
            std::hint::black_box(&alarm)
        );
        println!(
            "signalfd4 {} {}",
            made(289, [usize::MAX, at(&0_u64), 16, 0]),
            made(289, [usize::MAX, at(&0_u64), 8, 0]) >= 0
        );
        println!(
            "set_tid_address {}",
            made(218, [null::<u8>() as usize, 0, 0, 0]) == made(186, [0; 4])
        );
    }
}
