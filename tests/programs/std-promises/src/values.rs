//! Numbers and texts as text, random state, time, the environment.

use crate::{Kind, show};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) fn steps() {
    for value in [
        0.1 + 0.2,
        1e21,
        1e-7,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        123_456_789.125,
    ] {
        println!(
            "{value} {value:?} {value:e} {value:.3} {value:+010.2} {}",
            value as f32
        );
    }
    for text in [
        "1e308",
        "1e309",
        "0.1",
        "-0",
        "nan",
        "inf",
        "1_0",
        "",
        "1e-400",
        "123456789012345678901234567890",
    ] {
        show!(text, text.parse::<f64>().map_err(|error| error.to_string()));
        show!(text, text.parse::<i32>().map_err(|error| error.to_string()));
    }
    show!("sin", (1.0_f64.sin() * 1e12) as i64);
    show!("powi", 1.5_f64.powi(10));
    show!("sqrt", 2.0_f64.sqrt());
    show!(
        "rounding",
        [
            2.5_f64.round(),
            -2.5_f64.floor(),
            2.5_f64.round_ties_even(),
            2.7_f64.trunc(),
            1e16_f64.fract()
        ]
    );
    show!("mul_add", 2.0_f64.mul_add(3.0, 4.0));
    show!("i128", i128::MAX.wrapping_mul(3) / 7);
    show!("u128", u128::MAX.to_string());
    show!(
        "cases",
        "Straße ΑΣ ß İ".to_uppercase() + &"ΑΣ İ ẞ".to_lowercase()
    );
    show!(
        "graphic",
        ['ä', '\u{301}', '\t', '\u{200b}', '😀'].map(|c| c.escape_debug().to_string())
    );
    show!("utf-8", String::from_utf8_lossy(b"a\xff\xf0\x9f\x98b"));
    show!(
        "width",
        format!("{:>8}|{:^8}|{:<8}|{:*^7}", "é", "é", "é", 1)
    );

    let map: HashMap<_, _> = (0..1000).map(|n| (n, n * n)).collect();
    show!("map", (map.len(), map[&999], map.contains_key(&1000)));
    let orders: HashSet<Vec<i32>> = (0..4)
        .map(|_| (0..100).collect::<HashSet<_>>().into_iter().collect())
        .collect();
    show!("states differ", orders.len() > 1);
    let tree: BTreeMap<_, _> = "the quick brown fox"
        .split(' ')
        .map(|w| (w, w.len()))
        .collect();
    show!("tree", tree);

    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(5));
    show!("slept", start.elapsed() >= Duration::from_millis(5));
    show!(
        "monotonic",
        (0..1000).all(|_| {
            let a = Instant::now();
            Instant::now() >= a
        })
    );
    show!(
        "in this century",
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .is_ok_and(|since| since.as_secs() > 1_700_000_000)
    );
    show!(
        "before 1970",
        UNIX_EPOCH
            .checked_sub(Duration::from_secs(86400))
            .map(|time| time.duration_since(UNIX_EPOCH).is_err())
    );
    show!(
        "far",
        Instant::now()
            .checked_add(Duration::from_secs(u64::MAX))
            .is_none()
    );
    show!("duration", Duration::from_secs_f64(1.000_000_001));

    // SAFETY: no other thread runs.
    unsafe {
        std::env::set_var("PROMISE", "kept=yes");
        show!("variable", std::env::var("PROMISE"));
        std::env::remove_var("PROMISE");
    }
    show!("removed", std::env::var("PROMISE"));
    show!("arguments", std::env::args().count());
    show!("temporary", std::env::temp_dir().is_dir());
    show!(
        "executable",
        std::env::current_exe().is_ok_and(|path| path.is_absolute())
    );
    show!(
        "consts",
        (
            std::env::consts::OS,
            std::env::consts::ARCH,
            std::env::consts::FAMILY
        )
    );
    show!("paths", std::env::split_paths("/a:/b:").collect::<Vec<_>>());
    show!("joined", std::env::join_paths(["/a", "/b"]).ok());
    show!(
        "cores",
        std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 1)
    );
    show!(
        "no such program",
        std::process::Command::new("no-such-program")
            .status()
            .map(|_| ())
            .kind()
    );
    show!("process", std::process::id() > 0);
    show!(
        "error text",
        std::io::Error::from_raw_os_error(2).to_string()
    );
    show!(
        "error text",
        std::io::Error::from_raw_os_error(98).to_string()
    );
    for number in 0..134 {
        show!(
            number,
            std::io::Error::from_raw_os_error(number).to_string()
        );
    }
    show!(
        "layout",
        std::alloc::Layout::from_size_align(usize::MAX, 8).is_err()
    );
    let layout = std::alloc::Layout::from_size_align(1 << 45, 4096).expect("a layout");
    // SAFETY: the layout is not empty.
    show!(
        "too much",
        // SAFETY: the layout is not empty; what is not null is never used, and the program ends soon.
        std::hint::black_box(unsafe { std::alloc::alloc(layout) }).is_null()
    );
    show!("reserve", Vec::<u8>::new().try_reserve(1 << 45).is_err());
    for align in [1, 16, 64, 4096, 1 << 16] {
        let layout = std::alloc::Layout::from_size_align(100, align).expect("a layout");
        // SAFETY: the layout is not empty; the memory is given back with it.
        unsafe {
            let memory = std::alloc::alloc_zeroed(layout);
            let grown = std::alloc::realloc(memory, layout, 10_000);
            let is_zero = std::slice::from_raw_parts(grown, 100)
                .iter()
                .all(|byte| *byte == 0);
            show!("aligned", (align, grown.addr() % align, is_zero));
            std::alloc::dealloc(
                grown,
                std::alloc::Layout::from_size_align(10_000, align).expect("a layout"),
            );
        }
    }
}
