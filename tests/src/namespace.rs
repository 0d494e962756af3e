//! A network of the test's own with Linux in it: the test is run once more as a process in a new network namespace, where it may make
//! interfaces and nothing of the host's network is changed. Whoever is not root becomes it in a namespace of users.

use crate::program;
use std::io::Write;
use std::process::Command;

/// Says that this process is in the namespace.
const INSIDE: &str = "TORO_TEST_NAMESPACE";
/// Makes a failure of what would be skipped: set it where namespaces are known to work.
const DEMANDED: &str = "TORO_DEMAND_NAMESPACES";

/// Whether the test goes on: in the namespace it does. Elsewhere it is run there, and has been judged when this returns; where that is not
/// possible it is skipped, with a line on standard error that the test harness does not hide. `test` is the test's name as the harness
/// knows it, and `programs` are those that it boots: they are built outside.
///
/// # Panics
/// When the test fails.
pub fn enter(test: &str, programs: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let Some(words) = way_in() else {
        let reason = "it needs Linux with `ip`, `unshare`, /dev/net/tun, and the right to make network namespaces";
        assert!(std::env::var_os(DEMANDED).is_none(), "{reason}");
        // Not by `eprintln!`, which is shown of tests that fail only.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
        return false;
    };
    for program in programs {
        program::linked(program);
    }
    let status = Command::new("unshare")
        .args(words)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare was here a moment ago");
    assert!(status.success(), "{test} failed in its namespace: {status}");
    false
}

/// Words for `unshare` that are allowed here, if taps can be made behind them.
fn way_in() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--user", "--map-root-user"]];
    ways.into_iter().find(|words| {
        let mut command = Command::new("unshare");
        command.args(*words);
        command.args(["ip", "tuntap", "add", "dev", "toro0", "mode", "tap"]);
        command.output().is_ok_and(|output| output.status.success())
    })
}

/// Runs `ip` with words between blanks; what it says.
///
/// # Panics
/// When it fails.
pub fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output();
    let output = output.expect("the program ip");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
