//! Whether a program reads `/proc` or `/sys`, or what comes along with them: by the paths that stand in it.

/// How paths begin that say so.
const STARTS: [&[u8]; 6] = [
    b"/dev/fd",
    b"/etc/machine-id",
    b"/proc/",
    b"/sys/class/",
    b"/sys/devices/",
    b"/sys/kernel/",
];

/// How paths begin that are about the network.
const OF_NETWORK: [&[u8]; 3] = [b"/proc/net/", b"/proc/self/net/", b"/sys/class/net"];

/// Paths that stand in every program, as `std` has them: for backtraces, and for limits on processors. It does as well without.
const OF_STD: [&[u8]; 4] = [
    b"/proc/self/cgroup",
    b"/proc/self/exe",
    b"/proc/self/maps",
    b"/proc/self/mountinfo",
];

/// How the compiler writes the beginning of those in `std` as an operand of eight bytes: no letter follows.
const OPERAND: &[u8] = b"/proc/se";

/// Whether a path stands in a linked program that is not one of those that `std` has. What it is used for is not known, which at worst makes
/// the image larger.
pub(crate) fn names_proc(linked: &[u8]) -> bool {
    (0..linked.len())
        .filter(|at| linked[*at] == b'/')
        .map(|at| &linked[at..])
        .any(|rest| {
            let is_operand = rest
                .strip_prefix(OPERAND)
                .is_some_and(|behind| behind.first() != Some(&b'l'));
            STARTS.iter().any(|start| rest.starts_with(start))
                && !OF_STD.iter().any(|path| rest.starts_with(path))
                && !is_operand
        })
}

/// Whether a path about the network stands in a linked program: then the network is in its image, too.
pub(crate) fn names_proc_net(linked: &[u8]) -> bool {
    (0..linked.len())
        .filter(|at| linked[*at] == b'/')
        .any(|at| {
            OF_NETWORK
                .iter()
                .any(|start| linked[at..].starts_with(start))
        })
}

#[cfg(test)]
mod tests {
    use super::{names_proc, names_proc_net};

    #[test]
    fn paths_about_the_network_are_told_from_others() {
        assert!(names_proc_net(b"x/proc/net/devx"));
        assert!(names_proc_net(b"/sys/class/net"));
        assert!(!names_proc_net(
            b"/proc/meminfo/sys/class/thermal/proc/sys/net/core"
        ));
    }

    #[test]
    fn paths_of_std_do_not_count_and_others_do() {
        for without in [
            "",
            "/proc",
            "no /proc/self/exe available. Is /proc mounted?/proc/self/mapsfailed",
            "/proc/self/cgroup/proc/self/mountinfo/sys/fs/cgroup",
            "library/std/src/sys/thread/unix.rs",
            "\u{8}/proc/seI3\u{8}/proc/se",
        ] {
            assert!(!names_proc(without.as_bytes()), "{without}");
        }
        for with in [
            "/proc/meminfo",
            "x/proc/self/maps/proc/self/statusx",
            "/sys/devices/system/cpu/online",
            "x/etc/machine-id",
            "/dev/fd/3",
        ] {
            assert!(names_proc(with.as_bytes()), "{with}");
        }
    }
}
