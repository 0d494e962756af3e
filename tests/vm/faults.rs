//! The end of a program, good and bad: its status, and what the report says.

use vm_tests::{Boot, Ended, Guest, Size};

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
    ending("null in thread").showing(
        139,
        &["a null pointer", "'worker'", "test_faults::write_null"],
    );
}

#[test]
fn a_stack_overflow_is_caught_and_named() {
    ending("stack").showing(
        139,
        &[
            "thread 'main' has overflowed its stack",
            "test_faults::overflow_the_stack",
        ],
    );
    ending("stack in thread").showing(
        139,
        &[
            "thread 'deep' has overflowed its stack",
            "test_faults::overflow_the_stack",
        ],
    );
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
