//! The command line: what the image and the loader ask of the kernel (grammar and words: ARCHITECTURE.md).

use alloc::borrow::Cow;
use alloc::string::String;
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
    /// The words `virtio_mmio.device=`; see [`CommandLine::virtio_mmio`].
    virtio_mmio: Vec<u8>,
    /// Words that mean nothing here.
    pub unknown: Vec<String>,
}

impl CommandLine {
    /// Reads the image's own command line and then the loader's. Bytes that are not UTF-8 are replaced.
    ///
    /// Each start comes along here, so it goes a short way: by bytes, and without a copy of what is only looked at.
    pub fn parse(image: &[u8], loader: &[u8]) -> Self {
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

    /// Devices of virtio on the memory bus. A word that does not tell of one is ignored with a warning.
    pub fn virtio_mmio(&self) -> Vec<VirtioMmioDevice> {
        let mut devices = Vec::new();
        for word in (Words {
            rest: &self.virtio_mmio,
        }) {
            match split_once(&word, b'=').and_then(|(_, value)| parse_virtio_mmio(value)) {
                Some(device) => devices.push(device),
                None => log::warn!("command line: `{}` tells of no device", string(&word)),
            }
        }
        devices
    }

    fn read(&mut self, text: &[u8]) {
        let mut has_arguments = false;
        for word in (Words { rest: text }) {
            match self.read_word(&word, &mut has_arguments) {
                Some(()) => {}
                None => self.unknown.push(string(&word)),
            }
        }
    }

    /// Reads one word; `None` if it was not understood. The first argument of a text replaces those of the text before it.
    fn read_word(&mut self, word: &[u8], has_arguments: &mut bool) -> Option<()> {
        let (name, value) = split_once(word, b'=')?;
        match name {
            b"arg" => {
                if !core::mem::replace(has_arguments, true) {
                    self.arguments.clear();
                }
                self.arguments.push(string(value));
            }
            b"mount" => self.mounts.push(string(value)),
            b"net" | b"net6" => self.networks.push(string(word)),
            b"placement" => self.placement = Placement::named(&string(value))?,
            b"env" if value.contains(&b'=') => self.environment.push(string(value)),
            b"directory" if value.starts_with(b"/") => self.directory = Some(string(value)),
            b"log" => self.log_level = string(value).parse().ok()?,
            b"preempt" => {
                self.has_preemption = match value {
                    b"on" => true,
                    b"off" => false,
                    _ => return None,
                }
            }
            b"exit" => self.exit_port = Some(u16::try_from(parse_number(value)?).ok()?),
            b"virtio_mmio.device" => {
                // Room for some words at once.
                self.virtio_mmio.reserve(word.len() + 256);
                self.virtio_mmio.extend_from_slice(word);
                self.virtio_mmio.push(b' ');
            }
            _ => return None,
        }
        Some(())
    }
}

fn string(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// What is before and behind the first of a character.
fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|&byte| byte == separator)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// A number, decimal or hexadecimal with `0x`, with `K` or `M` for powers of 1024.
fn parse_number(text: &[u8]) -> Option<u64> {
    let (digits, factor) = match text {
        [digits @ .., b'K' | b'k'] => (digits, 1 << 10),
        [digits @ .., b'M' | b'm'] => (digits, 1 << 20),
        digits => (digits, 1),
    };
    let (digits, radix) = match digits {
        [b'0', b'x', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    let mut number = Some(0_u64).filter(|_| !digits.is_empty())?;
    for &digit in digits {
        let digit = char::from(digit).to_digit(radix)?;
        number = number
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))?;
    }
    number.checked_mul(factor)
}

/// `SIZE@BASE:IRQ` or `SIZE@BASE:IRQ:ID`, as Linux reads it (Documentation/admin-guide/kernel-parameters.txt).
fn parse_virtio_mmio(text: &[u8]) -> Option<VirtioMmioDevice> {
    let (size, rest) = split_once(text, b'@')?;
    let (base, rest) = split_once(rest, b':')?;
    let interrupt = split_once(rest, b':').map_or(rest, |(interrupt, _id)| interrupt);
    Some(VirtioMmioDevice {
        len_bytes: parse_number(size)?,
        phys: parse_number(base)?,
        interrupt: u32::try_from(parse_number(interrupt)?).ok()?,
    })
}

/// Words of a command line, with quotes and escapes resolved.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        let start = self.rest.iter().position(|&byte| byte != b' ')?;
        let text = self.rest.get(start..)?;
        let end = text
            .iter()
            .position(|byte| matches!(byte, b' ' | b'"'))
            .unwrap_or(text.len());
        if text.get(end) != Some(&b'"') {
            let (word, rest) = text.split_at_checked(end)?;
            self.rest = rest;
            return Some(Cow::Borrowed(word));
        }
        let mut word = Vec::new();
        let mut is_quoted = false;
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\\' if is_quoted => word.extend(bytes.next()),
                b' ' if !is_quoted => break,
                _ => word.push(byte),
            }
        }
        self.rest = bytes.as_slice();
        Some(Cow::Owned(word))
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandLine, VirtioMmioDevice, parse_number};
    use log::LevelFilter;

    fn parse(image: &str, loader: &str) -> CommandLine {
        CommandLine::parse(image.as_bytes(), loader.as_bytes())
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        for (text, number) in [
            ("0", Some(0)),
            ("0xF4", Some(0xF4)),
            ("0xf4", Some(0xF4)),
            ("4K", Some(4096)),
            ("0x2M", Some(2 << 20)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("0x1000000000000000M", None),
            ("", None),
            ("K", None),
            ("0x", None),
            ("1f", None),
            ("-1", None),
        ] {
            assert_eq!(parse_number(text.as_bytes()), number, "{text}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_replaced() {
        let line = CommandLine::parse(b"", b"env=A=\xFF arg=\"\xE4 b\"");
        assert_eq!(line.environment, ["A=\u{FFFD}"]);
        assert_eq!(line.arguments, ["\u{FFFD} b"]);
    }

    #[test]
    fn the_loader_overrides_the_image_and_adds_to_its_lists() {
        let line = parse(
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
        assert!(parse("", "").has_preemption);
        assert!(!parse("preempt=off", "").has_preemption);
        assert!(parse("preempt=off", "preempt=on").has_preemption);
        let line = parse("preempt=never", "");
        assert_eq!(line.unknown, ["preempt=never"]);
    }

    #[test]
    fn quotes_keep_spaces_and_escapes() {
        let line = parse("", r#"env="A=b \"c\" \\d" "arg=two words" arg="#);
        assert_eq!(line.environment, [r#"A=b "c" \d"#]);
        assert_eq!(line.arguments, ["two words", ""]);
        // Quotes may begin inside of a word, and a word may end with the text.
        let line = parse("  arg=\"", "arg=a\" b\"c  arg=d ");
        assert_eq!(line.arguments, ["a bc", "d"]);
    }

    #[test]
    fn a_directory_is_a_path_from_the_root() {
        let line = parse("directory=/web", "directory=x");
        assert_eq!(line.directory.as_deref(), Some("/web"));
        assert_eq!(line.unknown, ["directory=x"]);
    }

    #[test]
    fn words_that_mean_nothing_are_kept_apart() {
        let line = parse("quiet root=/dev/vda", "exit=banana env=X");
        assert_eq!(
            line.unknown,
            ["quiet", "root=/dev/vda", "exit=banana", "env=X"]
        );
    }

    #[test]
    fn virtio_devices_are_read_as_linux_reads_them() {
        let line = parse(
            "",
            "virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@:5 virtio_mmio.device=512@0xfeb00e00:12:3",
        );
        assert_eq!(
            line.virtio_mmio(),
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
