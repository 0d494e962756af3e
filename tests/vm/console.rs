//! What the command line and the console bring to the program.

use vm_tests::{Boot, Guest, Wishes};

fn guest() -> Guest {
    Guest::new("test-console")
}

#[test]
fn arguments_and_variables_arrive_as_they_were() {
    for boot in [Boot::Disk, Boot::Kernel] {
        let mut guest = guest()
            .boot(boot)
            .args(&[
                "one",
                "two words",
                "",
                r#"a "quote" and \"#,
                "--",
                "net=off",
            ])
            .env("GREETING=good morning")
            .env("EMPTY=")
            .start();
        let console = guest.wait_for("ready");
        let arguments =
            r#"arguments ["one", "two words", "", "a \"quote\" and \\", "--", "net=off"]"#;
        assert!(console.contains(arguments), "{console}");
        assert!(
            console.contains("variable GREETING=good morning\r\n"),
            "{console}"
        );
        assert!(console.contains("variable EMPTY=\r\n"), "{console}");
        // As of Linux's first process.
        assert!(console.contains("variable HOME=/\r\n"), "{console}");
        assert!(console.contains(r#"folder Ok("/")"#), "{console}");
        guest.send("end\n");
        guest.end().showing(0, &["done"]);
    }
}

#[test]
fn the_home_is_the_root_unless_another_is_given() {
    let homes = |guest: Guest| {
        let mut guest = guest.boot(Boot::Kernel).start();
        let console = guest.wait_for("ready");
        guest.send("end\n");
        guest.end().showing(0, &["done"]);
        let homes = console
            .lines()
            .filter(|line| line.starts_with("variable HOME="));
        homes.map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(homes(guest()), ["variable HOME=/"]);
    assert_eq!(homes(guest().env("HOME=/data")), ["variable HOME=/data"]);
}

#[test]
fn what_is_typed_reaches_the_program() {
    let mut guest = guest().start();
    guest.wait_for("ready");
    guest.send("hello\n");
    guest.wait_for(r#"you said "hello""#);
    guest.send("two ");
    guest.send("parts\nand more\n");
    guest.wait_for(r#"you said "two parts""#);
    guest.wait_for(r#"you said "and more""#);
    guest.send("tty\n");
    guest.wait_for("say it to the terminal");
    guest.send("directly\n");
    guest.wait_for(r#"on the terminal "directly\n", Ok(9)"#);
    guest.send("end\n");
    guest.end().showing(0, &["done"]);
}

#[test]
fn a_program_is_told_how_large_the_terminal_is() {
    let mut guest = guest().terminal(132, 43).start();
    guest.wait_for("ready");
    guest.send("raw\n");
    guest.wait_for("43 rows, 132 columns");
    guest.wait_for("type\r\n");
    guest.send("q");
    guest.wait_for("typed [113], then 0");
    guest.send("end\n");
    guest.end().showing(0, &["done"]);
}

#[test]
fn a_raw_terminal_gives_each_byte_as_it_comes() {
    let mut guest = guest().start();
    guest.wait_for("ready");
    guest.send("raw\n");
    guest.wait_for("settings 0 0");
    guest.wait_for("25 rows, 80 columns");
    let shown = guest.wait_for("type\r\n");
    let wishes = guest.wishes().expect("it has asked");
    // The terminal is told, and does not show it.
    assert!(!wishes.is_by_lines && !wishes.is_shown && !wishes.has_interrupts);
    assert!(!shown.contains("toro;keys"), "{shown}");
    guest.send("a\r\x1b[Aq");
    guest.wait_for("typed [97, 13, 27, 91, 65, 113], then 0");
    assert_eq!(guest.wishes(), Some(Wishes::default()));
    // By lines again.
    guest.send("hello\r");
    guest.wait_for(r#"you said "hello""#);
    guest.send("end\n");
    guest.end().showing(0, &["done"]);
}

/// The keyboard is typed on line by line, and what is typed shows on the screen.
#[test]
fn what_is_typed_on_the_keyboard_reaches_the_program() {
    let guest = guest().start();
    guest.wait_for("ready");
    guest.press(&[
        "shift-h",
        "e",
        "x",
        "backspace",
        "y",
        "1",
        "spc",
        "shift-1",
        "ret",
    ]);
    guest.wait_for(r#"you said "Hey1 !""#);
    guest.screen_with("\nHey1 !\n");
    guest.press(&["e", "n", "d", "ret"]);
    guest.end().showing(0, &["done"]);
}

#[test]
fn the_end_of_the_input_is_typed_too() {
    let guest = guest().start();
    guest.wait_for("ready");
    guest.press(&["a", "ret", "ctrl-d"]);
    guest.end().showing(0, &["you said \"a\"", "done"]);
}

#[test]
fn the_end_of_the_input_comes_by_the_serial_line_too() {
    let mut guest = guest().start();
    guest.wait_for("ready");
    // The first end is one of the terminal's, the second one that of the lines.
    guest.send("tty\n");
    guest.wait_for("say it to the terminal");
    guest.send("\x04");
    guest.wait_for(r#"on the terminal "", Ok(0)"#);
    guest.send("a \x16\x04 b\nwithout its end\x04\x04");
    guest.end().showing(
        0,
        &[
            r#"you said "a \u{4} b""#,
            r#"you said "without its end""#,
            "done",
        ],
    );
}

#[test]
fn single_keys_come_from_keyboard_and_serial_line() {
    let mut guest = Guest::new("keyboard").start();
    guest.wait_for("Press keys");
    guest.press(&["a"]);
    guest.wait_for("Character('a')");
    guest.press(&["shift-b"]);
    guest.wait_for("shift + Character('B')");
    guest.press(&["ctrl-alt-up"]);
    guest.wait_for("control + alt + Up");
    guest.press(&["f5"]);
    guest.wait_for("Function(5)");
    guest.press(&["delete"]);
    guest.wait_for("Delete");
    guest.send("z");
    guest.wait_for("Character('z')");
    guest.send("\x1b[B");
    guest.wait_for("Down");
    guest.press(&["esc"]);
    guest.end().showing(0, &["Good bye"]);
}

#[test]
fn the_power_button_is_an_event_for_who_wants_it() {
    let guest = Guest::new("keyboard").start();
    guest.wait_for("Press keys");
    guest.power_button();
    guest.end().showing(7, &["The power button says good bye."]);
}

#[test]
fn a_reset_ends_the_run() {
    let mut guest = Guest::new("keyboard").start();
    guest.wait_for("Press keys");
    guest.send("\x1b[24~");
    guest.end().showing(0, &["Resetting."]);
}

#[test]
fn moves_of_the_cursor_and_clearing_reach_the_screen() {
    let guest = Guest::new("keyboard").start();
    guest.wait_for("Press keys");
    let screen = guest.screen_with("Press keys");
    let mut lines = screen.lines();
    assert_eq!(lines.next(), Some(""), "{screen}");
    let title = lines.next().unwrap_or_default();
    assert_eq!(title.find("keyboard"), Some(5), "{screen}");
    guest.press(&["esc"]);
    guest.end().showing(0, &["Good bye"]);
}

/// More than the kernel's buffer holds.
#[test]
fn a_long_input_is_not_lost() {
    let mut guest = guest().start();
    guest.wait_for("ready");
    let lines: Vec<_> = (0..6)
        .map(|index| format!("{index} {}", "x".repeat(60)))
        .collect();
    for line in &lines {
        guest.send(&format!("{line}\n"));
    }
    guest.send("end\n");
    let console = guest.end().with_status(0);
    for line in &lines {
        assert!(
            console.contains(&format!("you said {line:?}")),
            "{line} is missing:\n{console}"
        );
    }
}

/// Crates that hand signals on set a handler before they note what it shall do.
#[test]
fn the_power_button_gives_a_handler_time_that_was_just_set() {
    let mut guest = guest().start();
    guest.wait_for("ready");
    guest.send("late\n");
    guest.wait_for("set");
    guest.power_button();
    guest.end().showing(0, &["interrupted, known: true"]);
}

#[test]
fn the_power_button_ends_the_program() {
    let guest = guest().start();
    guest.wait_for("ready");
    guest.power_button();
    let ended = guest.end();
    assert!(!ended.console.contains("toro:"), "{}", ended.console);
}
