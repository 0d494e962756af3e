//! Tests that need a network of their own: they run in a network namespace, with a tap that leads to the machine.

use std::path::Path;
use std::process::{Command, Stdio};

/// Says that this process is in the namespace.
const INSIDE: &str = "TORO_TEST_NAMESPACE";

/// The tap, the host's address on it, and the guest's.
pub const TAP: &str = "toro0";
/// See there.
pub const HOST: &str = "10.79.0.1";
/// See there.
pub const GUEST: &str = "10.79.0.2";

/// Runs `work` of the test of this full name in a process and a namespace of their own, with a tap of so many queues. Hosts that do not let
/// users have namespaces and taps leave the test out, with a word.
///
/// # Panics
/// When the test fails there.
pub fn run(test: &str, queues: u32, work: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        make_tap(queues);
        return work();
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net"]);
        command
    };
    let try_it = ["ip", "tuntap", "add", "dev", TAP, "mode", "tap"];
    let tried = unshare().args(try_it).stderr(Stdio::null()).status();
    if !Path::new("/dev/net/tun").exists() || !tried.is_ok_and(|status| status.success()) {
        eprintln!("{test} is left out: this host gives no network namespace with a tap");
        return;
    }
    let this = std::env::current_exe().expect("a test has a file");
    let output = unshare()
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(text.contains("1 passed"), "there is no such test: {text}");
}

fn make_tap(queues: u32) {
    let queues = if queues > 1 { " multi_queue" } else { "" };
    for words in [
        "link set lo up".to_owned(),
        format!("tuntap add dev {TAP} mode tap{queues}"),
        format!("addr add {HOST}/24 dev {TAP}"),
        format!("link set {TAP} up"),
    ] {
        let status = Command::new("ip").args(words.split(' ')).status();
        assert!(status.is_ok_and(|status| status.success()), "ip {words}");
    }
}
