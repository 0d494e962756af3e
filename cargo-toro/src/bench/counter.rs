//! Counts guest instructions with a plugin in QEMU (benches/instructions.c), which is compiled when first used.
//!
//! The plugin counts into a file that it maps into memory, so counts can be read while the guest runs.

use crate::folder::Fingerprint;
use crate::qemu;
use crate::shell::{Shell, quoted};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The plugin's source: an installed tool has it too.
const SOURCE: &str = include_str!("../../../benches/instructions.c");

/// Layout of the file, in 64-bit words; see the source.
const MAGIC: u64 = 0x0054_4e43_4f52_4f54;
const HEADER_WORDS: usize = 64;
const CPUS: std::ops::Range<usize> = 4..62;
const BETWEEN: usize = 3;
const ELAPSED: usize = 62;
const PROCESSOR: usize = 63;
const BLOCK_WORDS: usize = 3;
/// Blocks that a table has room for: a program has some ten thousand, and the emulator may translate one again.
const BLOCKS: usize = 1 << 18;

/// The compiled plugin.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    path: PathBuf,
}

impl Plugin {
    /// Compiles the plugin unless that was done before. The inner error says why there is none on this host.
    pub(super) fn ready(shell: &Shell) -> Result<Result<Self, String>> {
        if !cfg!(unix) {
            return Ok(Err(
                "instructions are not counted on this host system".into()
            ));
        }
        let version = qemu::version()?;
        if !knows_plugins()? {
            return Ok(Err("this QEMU was built without plugins".into()));
        }
        let interface = interface_version(&version);
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(SOURCE.as_bytes());
        fingerprint.add(&[interface]);
        let folder = cache_folder();
        let path = folder.join(format!("instructions-{:016x}.so", fingerprint.value()));
        if !path.is_file() {
            shell.status("Compiling", "the plugin that counts instructions");
            if let Err(reason) = compile(&path, interface, shell)? {
                return Ok(Err(reason));
            }
        }
        Ok(Ok(Self { path }))
    }
}

/// Whether this QEMU has the option `-plugin`.
fn knows_plugins() -> Result<bool> {
    let output = Command::new(qemu::qemu())
        .arg("-help")
        .output()
        .context("cannot ask QEMU for its options")?;
    Ok(String::from_utf8_lossy(&output.stdout).contains("\n-plugin "))
}

/// The version of the plugin interface to ask this QEMU for.
fn interface_version(version: &str) -> u8 {
    let major = version.split_whitespace().find_map(|word| {
        let (major, _) = word.split_once('.')?;
        major.parse::<u32>().ok()
    });
    // QEMU 9.0 refuses version 1; what is used here is in both.
    if major.is_some_and(|major| major >= 9) {
        2
    } else {
        1
    }
}

fn cache_folder() -> PathBuf {
    let folder = |variable| {
        std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("toro")
}

fn compile(path: &Path, interface: u8, shell: &Shell) -> Result<Result<(), String>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let make = || -> Result<_> {
        std::fs::create_dir_all(folder)?;
        Ok(tempfile::Builder::new()
            .prefix("plugin")
            .tempdir_in(folder)?)
    };
    let scratch = make().with_context(|| format!("cannot write to {}", folder.display()))?;
    let (source, object) = (
        scratch.path().join("instructions.c"),
        scratch.path().join("instructions.so"),
    );
    crate::parts::replace(&source, SOURCE.as_bytes())?;
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command.args([
        "-O2",
        "-shared",
        "-fPIC",
        &format!("-DPLUGIN_API={interface}"),
    ]);
    if cfg!(target_os = "macos") {
        command.args(["-undefined", "dynamic_lookup"]);
    }
    command.arg("-o").arg(&object).arg(&source);
    shell.command(&command);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            return Ok(Err(format!(
                "instructions are counted by a plugin in C, and the compiler `{}` cannot be started: {error}",
                compiler.to_string_lossy()
            )));
        }
    };
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed:\n{}", quoted(&command), messages.trim());
    }
    std::fs::rename(&object, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Ok(()))
}

/// The counts of one machine.
#[derive(Debug)]
pub(super) struct Counter {
    path: PathBuf,
    block_count: usize,
    /// The two blocks between which time is taken, in place of all counts.
    span: Option<[u64; 2]>,
    /// What each instruction waits, in rounds of an empty loop.
    delay: u32,
}

impl Counter {
    /// Counts into a new file in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("instructions"),
            block_count: 0,
            span: None,
            delay: 0,
        }
    }

    /// Counts, and has each instruction take so many rounds of an empty loop more, of 0.3 ns or so each.
    pub(super) fn slowed(folder: &Path, rounds: u32) -> Self {
        Self {
            delay: rounds,
            ..Self::new(folder)
        }
    }

    /// Takes the time from the first execution of one address to that of another one, and counts nothing.
    pub(super) fn between(folder: &Path, from: u64, to: u64) -> Self {
        Self {
            span: Some([from, to]),
            ..Self::new(folder)
        }
    }

    /// Counts for each block of instructions too.
    pub(super) fn with_blocks(folder: &Path) -> Self {
        Self {
            block_count: BLOCKS,
            ..Self::new(folder)
        }
    }

    /// The words that make QEMU count.
    pub(super) fn arguments(&self, plugin: &Plugin) -> [OsString; 2] {
        let escaped = |path: &Path| path.display().to_string().replace(',', ",,");
        let mut option = format!("{},out={}", escaped(&plugin.path), escaped(&self.path));
        if self.block_count > 0 {
            option += &format!(",blocks={}", self.block_count);
        }
        if let Some([from, to]) = self.span {
            option += &format!(",from={from:#x},to={to:#x}");
        }
        if self.delay > 0 {
            option += &format!(",slow={}", self.delay);
        }
        ["-plugin".into(), option.into()]
    }

    /// Instructions that all CPUs have executed so far.
    pub(super) fn total(&self) -> Result<u64> {
        let header = self.header()?;
        Ok(header[CPUS]
            .iter()
            .fold(0, |sum, &count| sum.wrapping_add(count)))
    }

    /// What was between the two addresses.
    pub(super) fn span(&self) -> Result<Span> {
        let header = self.header()?;
        if header[ELAPSED] == 0 {
            bail!("the guest has not come to the second address");
        }
        Ok(Span {
            elapsed: Duration::from_nanos(header[ELAPSED]),
            processor: Duration::from_nanos(header[PROCESSOR]),
            blocks: header[BETWEEN],
        })
    }

    /// The blocks that were translated so far.
    pub(super) fn blocks(&self) -> Result<Vec<Block>> {
        let header = self.header()?;
        let [_, known, lost, ..] = header.as_slice() else {
            bail!("the counts are cut short")
        };
        if *lost > 0 {
            bail!("{lost} blocks of instructions found no place in the table");
        }
        let count = usize::try_from(*known)
            .unwrap_or(usize::MAX)
            .min(self.block_count);
        let words = self.read(HEADER_WORDS, count * BLOCK_WORDS)?;
        Ok(words
            .chunks_exact(BLOCK_WORDS)
            .map(|block| Block {
                address: block[0],
                instructions: block[1],
                executed: block[2],
            })
            .collect())
    }

    fn header(&self) -> Result<Vec<u64>> {
        let header = self.read(0, HEADER_WORDS)?;
        if header[0] != MAGIC {
            bail!("QEMU has not begun to count instructions");
        }
        Ok(header)
    }

    fn read(&self, first: usize, count: usize) -> Result<Vec<u64>> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(first as u64 * 8))?;
            let mut bytes = vec![0; count * 8];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().context("cannot read the instruction counts")?;
        let (words, _) = bytes.as_chunks();
        Ok(words.iter().map(|word| u64::from_ne_bytes(*word)).collect())
    }
}

/// From one address to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Time on the host's clock.
    pub(super) elapsed: Duration,
    /// Time of the virtual processor's thread.
    pub(super) processor: Duration,
    /// Blocks that the emulator translated.
    pub(super) blocks: u64,
}

/// Instructions that are executed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Of the first instruction.
    pub(super) address: u64,
    /// How many.
    pub(super) instructions: u64,
    /// How often.
    pub(super) executed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(words: &[u64]) -> (tempfile::TempDir, Counter) {
        let folder = tempfile::tempdir().unwrap();
        let counter = Counter::with_blocks(folder.path());
        let bytes: Vec<_> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        std::fs::write(&counter.path, bytes).unwrap();
        (folder, counter)
    }

    fn header(blocks: u64, lost: u64) -> Vec<u64> {
        let mut words = vec![MAGIC, blocks, lost, 0, 100, 20];
        words.resize(HEADER_WORDS, 0);
        words
    }

    #[test]
    fn the_magic_is_that_of_the_source() {
        assert!(SOURCE.contains(&format!("#define MAGIC {MAGIC:#x}ull")));
    }

    #[test]
    fn the_interface_goes_by_qemus_version() {
        assert_eq!(
            interface_version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"),
            1
        );
        assert_eq!(interface_version("QEMU emulator version 8.2.2"), 1);
        assert_eq!(interface_version("QEMU emulator version 9.0.0"), 2);
        assert_eq!(interface_version("QEMU emulator version 10.1.0"), 2);
    }

    #[test]
    fn counts_of_all_cpus_are_added() {
        assert_eq!(counted(&header(0, 0)).1.total().unwrap(), 120);
    }

    #[test]
    fn times_are_no_counts() {
        let mut words = header(0, 0);
        assert!(counted(&words).1.span().is_err());
        (words[ELAPSED], words[PROCESSOR], words[BETWEEN]) = (9_000_000, 7_000_000, 5);
        let (_folder, counter) = counted(&words);
        let span = Span {
            elapsed: Duration::from_millis(9),
            processor: Duration::from_millis(7),
            blocks: 5,
        };
        assert_eq!(counter.span().unwrap(), span);
        assert_eq!(counter.total().unwrap(), 120);
    }

    #[test]
    fn blocks_are_read_as_far_as_they_are_known() {
        let mut words = header(1, 0);
        words.extend([0x10_0000, 5, 7, 0x20_0000, 1, 1]);
        let block = Block {
            address: 0x10_0000,
            instructions: 5,
            executed: 7,
        };
        assert_eq!(counted(&words).1.blocks().unwrap(), [block]);
    }

    #[test]
    fn missing_counts_are_an_error() {
        assert!(counted(&[0; HEADER_WORDS]).1.total().is_err());
        assert!(counted(&[MAGIC]).1.total().is_err());
        assert!(counted(&header(0, 3)).1.blocks().is_err());
        let mut blocks_cut_off = header(9, 0);
        blocks_cut_off.extend([1, 1, 1]);
        assert!(counted(&blocks_cut_off).1.blocks().is_err());
    }
}
