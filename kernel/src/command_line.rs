//! The command line: what the image and the loader ask of the kernel (grammar and words: ARCHITECTURE.md).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use log::LevelFilter;

use crate::scheduler::Placement;

/// A virtio device on the memory bus, as the loader describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioMmioDevice {
    /// Physical address of its registers.
    pub phys: u64,
    /// Size of the window in bytes.
    pub len_bytes: u64,
    /// Its interrupt.
    pub interrupt: u32,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Values of `mount=`: disk and path.
    pub mounts: Vec<String>,
    /// The words `net=` and `net6=`; see [`CommandLine::network`].
    pub networks: Vec<String>,
    /// `NAME=VALUE` for the program's environment.
    pub environment: Vec<String>,
    /// The directory in which the program starts, in place of the root.
    pub directory: Option<String>,
    /// The program's arguments, without its name.
    pub arguments: Vec<String>,
    /// Kernel messages of this level and above are shown.
    pub log_level: LevelFilter,
    /// On which core threads start whose creator does not choose one.
    pub placement: Placement,
    /// Threads that compute for long are interrupted for others.
    pub has_preemption: bool,
    /// Port of the emulator's exit device.
    pub exit_port: Option<u16>,
    /// Devices of virtio on the memory bus.
    pub virtio_mmio: Vec<VirtioMmioDevice>,
    /// Words that mean nothing here.
    pub unknown: Vec<String>,
}

impl CommandLine {
    /// Reads the image's own command line and then the loader's.
    pub fn parse(image: &str, loader: &str) -> Self {
        let mut this = Self {
            mounts: Vec::new(),
            networks: Vec::new(),
            environment: Vec::new(),
            directory: None,
            arguments: Vec::new(),
            log_level: LevelFilter::Warn,
            placement: Placement::LeastLoaded,
            has_preemption: true,
            exit_port: None,
            virtio_mmio: Vec::new(),
            unknown: Vec::new(),
        };
        this.read(image);
        this.read(loader);
        this
    }

    /// The value of `net=` or `net6=`, the last if there are several; empty if there is none.
    pub fn network(&self, name: &str) -> &str {
        let mut last_first = self.networks.iter().rev();
        let found = last_first.find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default()
    }

    fn read(&mut self, text: &str) {
        let mut arguments = Vec::new();
        for word in (Words { rest: text }) {
            if let Some(argument) = word.strip_prefix("arg=") {
                arguments.push(argument.to_string());
            } else if !self.read_word(&word) {
                self.unknown.push(word);
            }
        }
        if !arguments.is_empty() {
            self.arguments = arguments;
        }
    }

    /// Reads one word; whether it was understood.
    fn read_word(&mut self, word: &str) -> bool {
        let Some((name, value)) = word.split_once('=') else {
            return false;
        };
        match name {
            "mount" => self.mounts.push(value.to_string()),
            "net" | "net6" => self.networks.push(word.to_string()),
            "placement" => match Placement::named(value) {
                Some(rule) => self.placement = rule,
                None => return false,
            },
            "env" if value.contains('=') => self.environment.push(value.to_string()),
            "directory" if value.starts_with('/') => self.directory = Some(value.to_string()),
            "log" => match value.parse() {
                Ok(level) => self.log_level = level,
                Err(_) => return false,
            },
            "preempt" => match value {
                "on" => self.has_preemption = true,
                "off" => self.has_preemption = false,
                _ => return false,
            },
            "exit" => match parse_number(value).and_then(|n| u16::try_from(n).ok()) {
                Some(port) => self.exit_port = Some(port),
                None => return false,
            },
            "virtio_mmio.device" => match parse_virtio_mmio(value) {
                Some(device) => self.virtio_mmio.push(device),
                None => return false,
            },
            _ => return false,
        }
        true
    }
}

/// A number, decimal or hexadecimal with `0x`, with `K` or `M` for powers of 1024.
fn parse_number(text: &str) -> Option<u64> {
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    number.ok()?.checked_mul(factor)
}

/// `SIZE@BASE:IRQ` or `SIZE@BASE:IRQ:ID`, as Linux reads it (Documentation/admin-guide/kernel-parameters.txt).
fn parse_virtio_mmio(text: &str) -> Option<VirtioMmioDevice> {
    let (size, rest) = text.split_once('@')?;
    let mut parts = rest.split(':');
    Some(VirtioMmioDevice {
        len_bytes: parse_number(size)?,
        phys: parse_number(parts.next()?)?,
        interrupt: u32::try_from(parse_number(parts.next()?)?).ok()?,
    })
}

/// Words of a command line, with quotes and escapes resolved.
struct Words<'a> {
    rest: &'a str,
}

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let text = self.rest.trim_start_matches(' ');
        if text.is_empty() {
            return None;
        }
        let mut word = String::new();
        let mut is_quoted = false;
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => is_quoted = !is_quoted,
                '\\' if is_quoted => word.extend(chars.next()),
                ' ' if !is_quoted => break,
                _ => word.push(c),
            }
        }
        self.rest = chars.as_str();
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandLine, VirtioMmioDevice};
    use log::LevelFilter;

    #[test]
    fn the_loader_overrides_the_image_and_adds_to_its_lists() {
        let line = CommandLine::parse(
            "net=off env=A=1 mount=disk0:/ arg=x arg=y",
            "net=dhcp env=B=2 arg=z log=debug",
        );
        assert_eq!((line.network("net"), line.network("net6")), ("dhcp", ""));
        assert_eq!(line.environment, ["A=1", "B=2"]);
        assert_eq!(line.mounts, ["disk0:/"]);
        assert_eq!(line.arguments, ["z"]);
        assert_eq!(line.log_level, LevelFilter::Debug);
    }

    #[test]
    fn preemption_can_be_switched_off_and_on() {
        assert!(CommandLine::parse("", "").has_preemption);
        assert!(!CommandLine::parse("preempt=off", "").has_preemption);
        assert!(CommandLine::parse("preempt=off", "preempt=on").has_preemption);
        let line = CommandLine::parse("preempt=never", "");
        assert_eq!(line.unknown, ["preempt=never"]);
    }

    #[test]
    fn quotes_keep_spaces_and_escapes() {
        let line = CommandLine::parse("", r#"env="A=b \"c\" \\d" "arg=two words" arg="#);
        assert_eq!(line.environment, [r#"A=b "c" \d"#]);
        assert_eq!(line.arguments, ["two words", ""]);
    }

    #[test]
    fn a_directory_is_a_path_from_the_root() {
        let line = CommandLine::parse("directory=/web", "directory=x");
        assert_eq!(line.directory.as_deref(), Some("/web"));
        assert_eq!(line.unknown, ["directory=x"]);
    }

    #[test]
    fn words_that_mean_nothing_are_kept_apart() {
        let line = CommandLine::parse("quiet root=/dev/vda", "exit=banana env=X");
        assert_eq!(
            line.unknown,
            ["quiet", "root=/dev/vda", "exit=banana", "env=X"]
        );
    }

    #[test]
    fn virtio_devices_are_read_as_linux_reads_them() {
        let line = CommandLine::parse(
            "",
            "virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=512@0xfeb00e00:12:3",
        );
        assert_eq!(
            line.virtio_mmio,
            [
                VirtioMmioDevice {
                    phys: 0xD000_0000,
                    len_bytes: 4096,
                    interrupt: 5
                },
                VirtioMmioDevice {
                    phys: 0xFEB0_0E00,
                    len_bytes: 512,
                    interrupt: 12
                },
            ]
        );
    }
}
