//! A QEMU that boots a disk and is gone when the test is.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far more than any boot takes, on the slowest of machines.
const DEADLINE: Duration = Duration::from_secs(180);

/// Exit status of QEMU after the kernel wrote 16 to its exit device.
const DONE: i32 = 16 * 2 + 1;

/// A running virtual machine and its files.
pub(crate) struct Machine {
    qemu: Child,
    serial: PathBuf,
    folder: PathBuf,
}

impl Machine {
    /// Boots `disk`; `name` is that of the test, `options` are QEMU's, where `DISK` stands for the
    /// file of the disk.
    pub(crate) fn boot(name: &str, disk: &[u8], options: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&folder).unwrap();
        let image = folder.join("disk.img");
        let serial = folder.join("serial");
        fs::write(&image, disk).unwrap();
        fs::write(&serial, b"").unwrap();
        let options = options.replace("DISK", image.to_str().unwrap());
        let qemu = Command::new("qemu-system-x86_64")
            .args("-accel tcg -display none -monitor none -no-reboot -nic none".split(' '))
            .args("-device isa-debug-exit,iobase=0xf4,iosize=4".split(' '))
            .arg("-serial")
            .arg(format!("file:{}", serial.display()))
            .args(options.split(' '))
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-x86_64 must be installed");
        Self {
            qemu,
            serial,
            folder,
        }
    }

    /// Waits until the kernel is done, and gives what it sent.
    pub(crate) fn serial_at_end(mut self) -> Vec<u8> {
        let status = self.wait(|machine| machine.qemu.try_wait().unwrap());
        let serial = self.serial();
        assert_eq!(
            status.code(),
            Some(DONE),
            "{}",
            String::from_utf8_lossy(&serial)
        );
        serial
    }

    /// Waits for a line on COM1, which is not the end of the machine.
    pub(crate) fn line(mut self) -> String {
        self.wait(|machine| {
            let text = String::from_utf8_lossy(&machine.serial()).into_owned();
            text.ends_with("\r\n")
                .then_some(text)
                .filter(|text| text.trim() != "")
        })
    }

    fn serial(&self) -> Vec<u8> {
        fs::read(&self.serial).unwrap()
    }

    fn wait<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            let text = self.serial();
            assert!(
                start.elapsed() < DEADLINE,
                "too slow: {}",
                String::from_utf8_lossy(&text)
            );
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
