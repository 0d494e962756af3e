//! The command line: what the image and the loader ask of the kernel (grammar and words: ARCHITECTURE.md).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use log::LevelFilter;

use crate::arch::x86_64::aml::Resources;
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

impl From<Resources> for VirtioMmioDevice {
    fn from(device: Resources) -> Self {
        let Resources {
            phys,
            len_bytes,
            interrupt,
        } = device;
        Self {
            phys,
            len_bytes,
            interrupt,
        }
    }
}

/// The words that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Argument,
    Mount,
    Network,
    Network6,
    Environment,
    Directory,
    VirtioMmio,
    Placement,
    Log,
    Preemption,
    Terminal,
    Exit,
}

/// What they begin with.
static WORDS: [(&[u8], Word); 12] = [
    (b"arg=", Word::Argument),
    (b"mount=", Word::Mount),
    (b"net=", Word::Network),
    (b"net6=", Word::Network6),
    (b"env=", Word::Environment),
    (b"directory=", Word::Directory),
    (b"virtio_mmio.device=", Word::VirtioMmio),
    (b"placement=", Word::Placement),
    (b"log=", Word::Log),
    (b"preempt=", Word::Preemption),
    (b"terminal=", Word::Terminal),
    (b"exit=", Word::Exit),
];

/// The value of a word.
pub type Value = Cow<'static, str>;

/// What was asked for. What a start needs is read at once; lists and paths stay in the text until somebody wants them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The image's own and the loader's, which has the last word.
    texts: [&'static [u8]; 2],
    /// Which words there are, a bit each.
    present: u16,
    has_unknown: bool,
    /// Kernel messages of this level and above are shown.
    pub log_level: LevelFilter,
    /// On which core threads start whose creator does not choose one.
    pub placement: Placement,
    /// Threads that compute for long are interrupted for others.
    pub has_preemption: bool,
    /// Columns and rows of the terminal at the serial line.
    pub terminal_size: Option<(u16, u16)>,
    /// Port of the emulator's exit device.
    pub exit_port: Option<u16>,
}

impl CommandLine {
    /// Reads the image's own command line and then the loader's.
    ///
    /// Each start comes along here, so it goes a short way, and nothing is copied.
    pub fn parse(image: &'static [u8], loader: &'static [u8]) -> Self {
        let mut this = Self {
            texts: [image, loader],
            present: 0,
            has_unknown: false,
            log_level: LevelFilter::Warn,
            placement: Placement::LeastLoaded,
            has_preemption: true,
            terminal_size: None,
            exit_port: None,
        };
        for text in this.texts {
            for word in (Words { rest: text }) {
                let is_understood = this.read(&word).is_some();
                this.has_unknown |= !is_understood;
            }
        }
        this
    }

    /// Calls a function with each value of `mount=`: disk and path. Here and below, bytes that are not UTF-8 are replaced.
    pub fn each_mount(&self, found: &mut dyn FnMut(Value)) {
        self.each(Word::Mount, found);
    }

    /// Whether there are any.
    pub fn has_mounts(&self) -> bool {
        self.has(Word::Mount)
    }

    /// Whether the command line says anything to the program: arguments, environment or directory.
    pub fn has_words_for_program(&self) -> bool {
        let words = Word::Argument.bit() | Word::Environment.bit() | Word::Directory.bit();
        self.present & words != 0
    }

    /// `NAME=VALUE` for the program's environment.
    pub fn environment(&self) -> Vec<Value> {
        self.values(Word::Environment)
    }

    /// The program's arguments, without its name: those of the loader take the place of the image's.
    pub fn arguments(&self) -> Vec<Value> {
        let mut values = Vec::new();
        let is_in = |text: &&'static [u8]| {
            each_value(text, Word::Argument, &mut |value| values.push(value));
            !values.is_empty()
        };
        self.texts.iter().rev().copied().find(is_in);
        values
    }

    /// The directory in which the program starts, in place of the root.
    pub fn directory(&self) -> Option<Value> {
        self.last(Word::Directory)
    }

    /// The value of `net=`, the last if there are several; empty if there is none.
    pub fn network(&self) -> Value {
        self.last(Word::Network).unwrap_or_default()
    }

    /// The same of `net6=`.
    pub fn network6(&self) -> Value {
        self.last(Word::Network6).unwrap_or_default()
    }

    /// Devices of virtio on the memory bus. A word that does not tell of one is ignored with a warning.
    pub fn virtio_mmio(&self) -> Vec<VirtioMmioDevice> {
        let mut devices = Vec::new();
        for value in self.values(Word::VirtioMmio) {
            match parse_virtio_mmio(value.as_bytes()) {
                Some(device) => devices.push(device),
                None => log::warn!("command line: `{value}` tells of no virtio device"),
            }
        }
        devices
    }

    /// Whether there are words that mean nothing here.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }

    /// These words.
    pub fn unknown(&self) -> Vec<String> {
        let mut reader = self.clone();
        let words = self.texts.into_iter().flat_map(|text| Words { rest: text });
        words
            .filter(|word| reader.read(word).is_none())
            .map(|word| string(&word))
            .collect()
    }

    fn has(&self, word: Word) -> bool {
        self.present & word.bit() != 0
    }

    /// The last value of a word.
    fn last(&self, wanted: Word) -> Option<Value> {
        let mut last = None;
        self.each(wanted, &mut |value| last = Some(value));
        last
    }

    /// The values of a word, in their order.
    fn values(&self, wanted: Word) -> Vec<Value> {
        let mut values = Vec::new();
        self.each(wanted, &mut |value| values.push(value));
        values
    }

    fn each(&self, wanted: Word, found: &mut dyn FnMut(Value)) {
        if self.has(wanted) {
            self.texts
                .iter()
                .for_each(|text| each_value(text, wanted, found));
        }
    }

    /// Reads one word; `None` if it is not understood.
    fn read(&mut self, word: &[u8]) -> Option<()> {
        let (word, value) = understand(word)?;
        match word {
            Word::Placement => self.placement = Placement::named(&string(value))?,
            Word::Log => self.log_level = string(value).parse().ok()?,
            Word::Preemption => {
                self.has_preemption = match value {
                    b"on" => true,
                    b"off" => false,
                    _ => return None,
                }
            }
            Word::Terminal => {
                let (columns, rows) = split_once(value, b'x')?;
                let number = |text| u16::try_from(parse_number(text)?).ok().filter(|&n| n != 0);
                self.terminal_size = Some((number(columns)?, number(rows)?));
            }
            Word::Exit => self.exit_port = Some(u16::try_from(parse_number(value)?).ok()?),
            _ => {}
        }
        self.present |= word.bit();
        Some(())
    }
}

impl Word {
    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// Which word it is, and its value; `None` for one that means nothing.
#[inline(never)]
fn understand(word: &[u8]) -> Option<(Word, &[u8])> {
    let (found, value) = WORDS.iter().find_map(|&(start, found)| {
        let (head, value) = word.split_at_checked(start.len())?;
        head.iter().eq(start).then_some((found, value))
    })?;
    let makes_sense = match found {
        Word::Environment => value.contains(&b'='),
        Word::Directory => value.starts_with(b"/"),
        _ => true,
    };
    makes_sense.then_some((found, value))
}

/// Calls a function with each value that a word has in a text. What has no quotes is not copied: each start reads some.
#[inline(never)]
fn each_value(text: &'static [u8], wanted: Word, found: &mut dyn FnMut(Value)) {
    for word in (Words { rest: text }) {
        let value = match &word {
            Cow::Borrowed(word) => value_of(word, wanted).map(String::from_utf8_lossy),
            Cow::Owned(word) => value_of(word, wanted).map(|value| Cow::Owned(string(value))),
        };
        if let Some(value) = value {
            found(value);
        }
    }
}

/// The value of a word, if it is the wanted one.
fn value_of(word: &[u8], wanted: Word) -> Option<&[u8]> {
    let (found, value) = understand(word)?;
    (found == wanted).then_some(value)
}

fn string(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// What is before and behind the first of a character.
fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|&byte| byte == separator)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// What is before and behind the first of an ASCII character in a value. One function for all: each start reads some.
#[inline(never)]
pub fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == separator)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

/// A decimal number in a value; one function for all, too.
#[inline(never)]
pub fn decimal(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// A number, decimal or hexadecimal with `0x`, with `K` or `M` for powers of 1024.
fn parse_number(text: &[u8]) -> Option<u64> {
    let (digits, factor) = match text {
        [digits @ .., unit] if unit | 0x20 == b'k' => (digits, 1 << 10),
        [digits @ .., unit] if unit | 0x20 == b'm' => (digits, 1 << 20),
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
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        let text = self.rest;
        let mut len = 0;
        while let Some(&byte) = text.get(len)
            && byte != b' '
        {
            if byte == b'"' {
                return Some(Cow::Owned(self.quoted()));
            }
            len += 1;
        }
        let (word, rest) = text.split_at_checked(len)?;
        self.rest = rest;
        (len != 0).then_some(Cow::Borrowed(word))
    }
}

impl Words<'_> {
    /// The next word, which has quotes.
    fn quoted(&mut self) -> Vec<u8> {
        let mut word = Vec::new();
        let mut is_quoted = false;
        let mut bytes = self.rest.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\\' if is_quoted => word.extend(bytes.next()),
                b' ' if !is_quoted => break,
                _ => word.push(byte),
            }
        }
        self.rest = bytes.as_slice();
        word
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandLine, VirtioMmioDevice, parse_number};
    use log::LevelFilter;

    fn parse(image: &'static str, loader: &'static str) -> CommandLine {
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
        assert_eq!(line.environment(), ["A=\u{FFFD}"]);
        assert_eq!(line.arguments(), ["\u{FFFD} b"]);
    }

    #[test]
    fn the_loader_overrides_the_image_and_adds_to_its_lists() {
        let line = parse(
            "net=off env=A=1 mount=disk0:/ arg=x arg=y",
            "net=dhcp env=B=2 arg=z log=debug",
        );
        assert_eq!(line.network(), "dhcp");
        assert_eq!(line.network6(), "");
        assert_eq!(line.environment(), ["A=1", "B=2"]);
        let mut mounts = Vec::new();
        line.each_mount(&mut |value| mounts.push(value));
        assert_eq!(mounts, ["disk0:/"]);
        assert_eq!(line.arguments(), ["z"]);
        assert_eq!(line.log_level, LevelFilter::Debug);
    }

    #[test]
    fn preemption_can_be_switched_off_and_on() {
        assert!(parse("", "").has_preemption);
        assert!(!parse("preempt=off", "").has_preemption);
        assert!(parse("preempt=off", "preempt=on").has_preemption);
        let line = parse("preempt=never", "");
        assert_eq!(line.unknown(), ["preempt=never"]);
    }

    #[test]
    fn a_terminal_has_columns_and_rows() {
        assert_eq!(parse("", "").terminal_size, None);
        let line = parse("terminal=80x25", "terminal=132x43");
        assert_eq!(line.terminal_size, Some((132, 43)));
        for wrong in [
            "terminal=80",
            "terminal=0x25",
            "terminal=80x",
            "terminal=80x65536",
            "terminal=80x25x1",
        ] {
            assert_eq!(parse(wrong, "").unknown(), [wrong]);
            assert_eq!(parse(wrong, "").terminal_size, None);
        }
    }

    #[test]
    fn quotes_keep_spaces_and_escapes() {
        let line = parse("", r#"env="A=b \"c\" \\d" "arg=two words" arg="#);
        assert_eq!(line.environment(), [r#"A=b "c" \d"#]);
        assert_eq!(line.arguments(), ["two words", ""]);
        // Quotes may begin inside of a word, and a word may end with the text.
        let line = parse("  arg=\"", "arg=a\" b\"c  arg=d ");
        assert_eq!(line.arguments(), ["a bc", "d"]);
    }

    #[test]
    fn a_directory_is_a_path_from_the_root() {
        let line = parse("directory=/web", "directory=x");
        assert_eq!(line.directory().as_deref(), Some("/web"));
        assert_eq!(line.unknown(), ["directory=x"]);
    }

    #[test]
    fn words_that_mean_nothing_are_kept_apart() {
        let line = parse("quiet root=/dev/vda", "exit=banana env=X");
        assert_eq!(
            line.unknown(),
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
