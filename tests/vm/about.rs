//! What programs read in `/proc` and `/sys` about themselves and the machine.

use vm_tests::{Boot, Guest, Nic, Size};

#[test]
fn a_program_reads_about_itself_and_the_machine() {
    let guest = Guest::new("test-about")
        .nic(Nic::None)
        .boot(Boot::Kernel)
        .memory(Size::mib(64))
        .cores(2)
        .env("A=b")
        .args(&["one", "two words"]);
    guest.run().showing(
        0,
        &[
            r#"command "/program\0one\0two words\0""#,
            r#"environment "A=b\0""#,
            "file \"/dev/program\"",
            "starts like an ELF true",
            "process \"1\"",
            r#"group "0::/\n""#,
            "numbers 52",
            "in \"/\"",
            "sizes 7",
            r#"mounted ["/", "/dev", "/proc", "/sys", "/proc/net", "/sys/class"]"#,
            "length 0",
            r#"open files Some(["1048576", "1048576", "files"])"#,
            "page Some([0, 16, 0, 0, 0, 0, 0, 0])",
            "closed true",
            "threads Some(\"2\")",
            r#"user Some("0\t0\t0\t0")"#,
            "ignored Some(\"0000000000001000\")",
            r#"names {"main\n", "waits\n"}"#,
            "ended true",
            "left 1",
            r#"code Some(("r-xp", "/dev/program"))"#,
            r#"variable Some(("rw-p", "/dev/program"))"#,
            r#"stack Some(("rw-p", "[stack]"))"#,
            "nothing None",
            r#""/tmp/open file", "/proc/1/fd"]"#,
            "then 4",
            "total Some(true)",
            "free true",
            "processors 2",
            "sse2 true",
            "lines of cores 3",
            "booted true",
            r#"/sys/devices/system/cpu/online "0-1\n""#,
            r#"/sys/devices/system/cpu/possible "0-1\n""#,
            r#"/proc/sys/kernel/hostname "toro\n""#,
            r#"/proc/sys/net/core/somaxconn "4096\n""#,
            r#"/proc/sys/fs/pipe-max-size "1048576\n""#,
            "times 2",
            "random true",
            "same boot true 37",
            r#"interfaces ["lo"]"#,
            r#"listed ["lo"]"#,
            "counted true",
            r#"kind "772\n""#,
            r#"address "00:00:00:00:00:00\n""#,
            "routes 1",
            "own true",
            r#"system Some("ID=toro")"#,
            r#"user Some("root")"#,
            r#"home Some("/")"#,
            r#"web ["web", "Web,,,", "/srv", ""] 44"#,
            r#"members 44 ["root", "web"] true"#,
            "broken true",
            "users 2",
            r#"own home Some("/root")"#,
            "no such Some(NotFound)",
            "nobody Some(NotFound)",
            "closed Some(NotFound)",
            "averages Some(5)",
            "written Some(ReadOnlyFilesystem)",
            "made Some(ReadOnlyFilesystem)",
            "no folder true",
            "about: done",
        ],
    );
}
