//! What the command line and the console bring to the program.

use vm_tests::{Boot, Guest};

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
        assert!(console.contains(r#"folder Ok("/")"#), "{console}");
        guest.send("end\n");
        guest.end().showing(0, &["done"]);
    }
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
    guest.send("end\n");
    guest.end().showing(0, &["done"]);
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

#[test]
fn the_power_button_ends_the_program() {
    let guest = guest().start();
    guest.wait_for("ready");
    guest.power_button();
    let ended = guest.end();
    assert!(!ended.console.contains("toro:"), "{}", ended.console);
}
