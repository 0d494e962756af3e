//! The end of a program, good and bad: its status, and what the report says.

use vm_tests::{Boot, Ended, Guest, Machine, Size};

fn ending(how: &str) -> Ended {
    Guest::new("test-faults")
        .args(&[how])
        .boot(Boot::Kernel)
        .run()
}

#[test]
fn the_status_of_main_is_the_status_of_the_machine() {
    ending("nothing").showing(0, &["after all"]);
    ending("code").with_status(42);
    ending("exit").with_status(255);
    ending("exit in thread").with_status(9);
    Guest::new("test-faults")
        .args(&["code"])
        .boot(Boot::Disk)
        .run()
        .with_status(42);
}

#[test]
fn an_error_of_main_is_shown() {
    ending("error").showing(1, &["Error: \"this is the error\""]);
}

#[test]
fn a_panic_of_main_is_101() {
    ending("panic").showing(101, &["thread 'main'", "panicked at", "this is the panic"]);
}

#[test]
fn a_panic_of_a_thread_ends_only_the_thread() {
    ending("panic in thread").showing(
        0,
        &[
            "thread 'worker'",
            "in a thread",
            "the thread ended with an error: true",
            "after all",
        ],
    );
}

#[test]
fn a_backtrace_of_std_has_names() {
    for (how, status) in [("panic", 101), ("panic in thread", 0)] {
        let guest = Guest::new("test-faults").args(&[how]);
        let console = guest.env("RUST_BACKTRACE=1").run().with_status(status);
        let (_, trace) = console.split_once("stack backtrace:").expect("a backtrace");
        assert!(trace.contains("test_faults::"), "{console}");
        assert!(trace.contains("core::panicking::panic_fmt"), "{console}");
    }
}

#[test]
fn an_abort_is_134() {
    let console = ending("abort").with_status(134);
    assert!(!console.contains("after all"), "{console}");
}

#[test]
fn a_null_pointer_is_reported_with_its_place() {
    let console = ending("null").showing(
        139,
        &[
            "page fault",
            "write at 0x8, a null pointer",
            "'main'",
            "rip",
            "backtrace:",
            "test_faults::main",
        ],
    );
    assert_first_frame(&console, "test_faults::write_null");
}

#[test]
fn a_null_pointer_cannot_be_read_where_the_kernel_looked_for_tables_itself() {
    for machine in [Machine::Microvm, Machine::Pc] {
        Guest::new("test-faults")
            .machine(machine)
            .args(&["null read"])
            .boot(Boot::Kernel)
            .run()
            .showing(139, &["read at 0x40e, a null pointer", "'main'"]);
    }
}

#[test]
fn a_fault_of_a_thread_ends_only_the_thread() {
    let faults = [
        ("null", "page fault: write at 0x8, a null pointer"),
        ("divide", "divide error"),
        ("illegal", "invalid opcode"),
        ("general", "general protection fault"),
        ("x87", "x87 floating-point error"),
        ("x87 late", "x87 floating-point error"),
    ];
    for (fault, reason) in faults {
        let console = ending(&format!("{fault} in thread"));
        let ended = format!("it ended by Some({reason:?})");
        console.showing(0, &[reason, "'worker'", "backtrace:", &ended, "after all"]);
    }
    ending("code write in thread").showing(0, &["it ended by Some(\"page fault: write at"]);
    ending("plain").showing(0, &["ended well: false", "after all"]);
}

#[test]
fn a_jump_astray_ends_only_the_thread() {
    ending("data run in thread").showing(
        0,
        &[
            "execution at",
            "test_faults::run_data",
            "it ended by Some(\"page fault: execution",
            "after all",
        ],
    );
}

#[test]
fn what_waits_for_a_function_that_faults_is_dropped() {
    let texts = [
        "first is dropped, panicking true",
        "ended well: false",
        "poisoned: true",
        "caught: true",
        "went on: true",
        "after all",
    ];
    ending("drops").showing(0, &texts);
}

#[test]
fn a_fault_frees_nothing_that_a_scoped_thread_borrows() {
    ending("scope").showing(0, &["sum 7000", "ended well: false", "after all"]);
}

#[test]
fn many_threads_fault_at_once() {
    let guest = Guest::new("test-faults").args(&["many"]).cores(4);
    let console = guest
        .run()
        .showing(0, &["50 faults, 95 digits", "after all"]);
    // Each report in one piece, whatever other cores report meanwhile.
    let reports = console.split("\ntoro: ").skip(1);
    let reports: Vec<_> = reports.filter(|text| text.contains("in thread")).collect();
    assert_eq!(reports.len(), 50, "{console}");
    for report in reports {
        let mut lines = report.lines();
        let is_whole = lines.next().is_some_and(|line| line.contains(" on core "))
            && lines.by_ref().take(4).all(|line| line.starts_with("  r"))
            && lines.any(|line| line.starts_with("   0: "));
        assert!(is_whole, "{report}\n{console}");
    }
}

/// Nobody knows what the kernel was about to change.
#[test]
fn a_fault_in_the_kernel_ends_the_machine() {
    let console = ending("memory of the kernel in thread").with_status(139);
    assert!(console.contains("a null pointer"), "{console}");
    assert!(!console.contains("after all"), "{console}");
}

#[test]
fn handlers_of_signals_repair_faults() {
    let texts = ["signal 4", "signal 8", "signal 11 at 0x8", "4 signals"];
    ending("signals").showing(0, &texts);
    ending("signal on its own stack").showing(3, &["signal 11 on another stack"]);
}

#[test]
fn faults_of_code_that_the_program_made_are_signals() {
    let texts = [
        "read 7",
        "signal 11 at its code: false",
        "read nothing: -1",
        "signal 4 at its code: true",
        "illegal: -1",
        "signal 8 at its code: true",
        "divided: -1",
        "in a thread: -1",
        "after all",
    ];
    ending("made code").showing(0, &texts);
}

#[test]
fn a_panic_unwinds_through_code_whose_frames_the_program_told_of() {
    let console = ending("panic through made code").with_status(134);
    assert!(console.contains("caught: true"), "{console}");
    assert!(!console.contains("not reached"), "{console}");
}

#[test]
fn a_fault_that_a_handler_passes_on_ends_its_thread() {
    let ended = ending("signal for who was there before").with_status(0);
    let count = |text: &str| ended.matches(text).count();
    assert_eq!(count("signal 11 is not mine"), 1, "{ended}");
    assert_eq!(count("ended well: false"), 2, "{ended}");
    assert_eq!(count("put back: true"), 1, "{ended}");
}

#[test]
fn a_signal_that_a_handler_passes_on_ends_the_program() {
    let ended = ending("signal for nobody").with_status(128 + 11);
    assert!(ended.contains("signal 11 is not mine"), "{ended}");
    assert!(!ended.contains("not reached"), "{ended}");
}

#[test]
fn a_handler_of_the_program_repairs_a_fault_and_a_service_survives_others() {
    let console = Guest::new("exceptions").run().showing(
        0,
        &[
            "divider: dropped what I held",
            "main: 'divider' ended by: divide error",
            "main: 'writer' ended by: page fault: write at 0x0, a null pointer",
            "main: 'illegal' ended by: invalid opcode",
            "handler: divide error at",
            "main: 42 / 0 is Ok(0), says the handler",
            "main: the service answered 4 times",
        ],
    );
    assert!(console.contains("exceptions::divide"), "{console}");
}

#[test]
fn a_stack_overflow_is_caught_and_named() {
    for (how, name) in [
        ("stack", "main"),
        ("stack in thread", "deep"),
        ("stack in unnamed thread", "<unknown>"),
    ] {
        let console = ending(how).with_status(134);
        let message = format!("\nthread '{name}' (");
        assert!(console.contains(&message), "{console}");
        for text in [
            ") has overflowed its stack\r\nfatal runtime error: stack overflow",
            "test_faults::overflow_the_stack",
        ] {
            assert!(console.contains(text), "{console}");
        }
    }
}

#[test]
fn a_division_by_zero_is_reported() {
    let console = ending("divide").showing(136, &["divide error"]);
    assert_first_frame(&console, "test_faults::divide_by_zero");
}

#[test]
fn an_illegal_instruction_is_reported() {
    let console = ending("illegal").showing(132, &["invalid opcode"]);
    assert_first_frame(&console, "test_faults::illegal_instruction");
}

#[test]
fn code_cannot_be_written() {
    let console = ending("code write").showing(139, &["page fault", "write at", "code"]);
    assert_first_frame(&console, "test_faults::write_to_code");
}

#[test]
fn constants_cannot_be_written() {
    let console = ending("constant write").showing(139, &["page fault", "write at"]);
    assert_first_frame(&console, "test_faults::write_to_constant");
}

#[test]
fn data_cannot_be_executed() {
    ending("data run").showing(139, &["page fault", "execution at", "test_faults::main"]);
}

#[test]
fn no_memory_left_is_an_error_the_program_can_handle() {
    let guest = Guest::new("test-faults")
        .args(&["memory"])
        .boot(Boot::Kernel);
    guest.memory(Size::mib(16)).run().showing(
        0,
        &[
            "pieces, then: memory allocation failed",
            "again: true",
            "after all",
        ],
    );
}

#[test]
fn the_kernel_lives_on_when_the_program_has_taken_all_memory() {
    for memory in [8, 32] {
        let folder = tempfile::tempdir().expect("a folder");
        let guest = Guest::new("test-faults")
            .args(&["calls without memory"])
            .disk_of(folder.path(), "/disk")
            .memory(Size::mib(memory))
            .boot(Boot::Kernel);
        let console = guest.run().with_status(0);
        let worked = console.lines().filter(|line| line.ends_with(", and then"));
        assert_eq!(worked.count(), 12, "{console}");
        assert!(!console.contains("error"), "{console}");
    }
}

#[test]
fn what_a_program_makes_when_memory_is_short_leaves_the_kernel_its_reserve() {
    let guest = Guest::new("test-faults")
        .args(&["growth without memory"])
        .boot(Boot::Kernel);
    let texts = ["files: ", "sockets: ", "then out of memory", "after all"];
    guest.memory(Size::mib(32)).run().showing(0, &texts);
}

#[test]
fn memory_that_runs_out_at_a_touch_is_reported() {
    for (how, function) in [
        ("touch", "touch_more_than_there_is"),
        ("touch in thread", "touch_more_than_there_is"),
        ("deep without memory", "overflow_the_stack"),
    ] {
        let guest = Guest::new("test-faults").args(&[how]).boot(Boot::Kernel);
        let console = guest.memory(Size::mib(32)).run().with_status(139);
        let texts = ["there is none left", "backtrace:", function];
        for text in texts {
            assert!(console.contains(text), "{how}: {text}: {console}");
        }
        assert!(!console.contains("failed"), "{how}: {console}");
    }
}

/// The report's innermost frame is in `function`.
#[track_caller]
fn assert_first_frame(console: &str, function: &str) {
    let frame = console
        .lines()
        .find(|line| line.trim_start().starts_with("0: "));
    assert!(
        frame.is_some_and(|frame| frame.contains(function)),
        "{console}"
    );
}
