//! Making an image from a folder, against the tools that make ext2 from folders on Linux.

use super::check_interrupt;
use super::report::{Figure, Report, Unit};
use super::statistics::median;
use super::subject::Bench;
use crate::disks::{self, Request};
use crate::shell::Shell;
use crate::values::Size;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const FILES: usize = 10_000;
/// In all files; the sizes go from 0 to twice the mean.
const CONTENT: Size = Size::mib(500);
const IMAGE: Size = Size::mib(640);
const BLOCK_BYTES: u64 = 4096;
const FILES_IN_FOLDER: usize = 100;
/// How much faster than they.
const LIMIT: f64 = 1.0;
const MILLISECONDS: f64 = 1e3;

/// A tool, with its words before and after the name of the image. Both are given the size, as they cannot work it out.
struct Tool {
    name: &'static str,
    package: &'static str,
    words: fn(&Path, &Path) -> Vec<OsString>,
}

const TOOLS: [Tool; 2] = [
    Tool {
        name: "mke2fs",
        package: "e2fsprogs",
        words: |folder, image| {
            let blocks = IMAGE.bytes / BLOCK_BYTES;
            let fixed = ["-q", "-F", "-t", "ext2", "-b", "4096", "-N", "16384", "-d"];
            let mut words: Vec<OsString> = fixed.map(Into::into).to_vec();
            words.extend([folder.into(), image.into(), blocks.to_string().into()]);
            words
        },
    },
    Tool {
        name: "genext2fs",
        package: "genext2fs",
        words: |folder, image| {
            let blocks = IMAGE.bytes / BLOCK_BYTES;
            let fixed = ["-q", "-B", "4096", "-N", "16384", "-b"];
            let mut words: Vec<OsString> = fixed.map(Into::into).to_vec();
            words.extend([blocks.to_string().into(), "-d".into()]);
            words.extend([folder.into(), image.into()]);
            words
        },
    },
];

/// Measures all tools, in turn.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let shell = &bench.shell;
    shell.status(
        "Making",
        format_args!("a folder of {FILES} files, {CONTENT}"),
    );
    let folder = bench.folder().join("files");
    fill(&folder).context("cannot make the files")?;
    let image = bench.folder().join("made.img");
    let (present, missing): (Vec<_>, Vec<_>) = TOOLS.iter().partition(|tool| is_there(tool));
    let mut own = Vec::new();
    let mut others = vec![Vec::new(); present.len()];
    for run in 1..=bench.options.runs {
        shell.status("Measuring", format_args!("{run} of {}", bench.options.runs));
        own.push(timed(&image, || make(bench, &folder, &image))?);
        for (tool, times) in present.iter().zip(&mut others) {
            times.push(timed(&image, || run_tool(tool, &folder, &image))?);
        }
    }
    let name = format!("image of {FILES} files, {CONTENT}");
    let Some(own) = median(&own) else {
        return Ok(());
    };
    for (tool, times) in present.iter().zip(&others) {
        let Some(time) = median(times) else { continue };
        let figure = Figure::new(&name, own * MILLISECONDS, Unit::Milliseconds);
        report.add(figure.against(tool.name, time * MILLISECONDS, Some(LIMIT)));
    }
    for tool in missing {
        let why = format!(
            "there is no `{}` here: install the package {}",
            tool.name, tool.package
        );
        let figure = Figure::new(&name, own * MILLISECONDS, Unit::Milliseconds);
        report.add(figure.note(why));
    }
    Ok(())
}

/// Folders of equal numbers of files of many sizes.
fn fill(folder: &Path) -> std::io::Result<()> {
    let mean = CONTENT.bytes as usize / FILES;
    let content: Vec<u8> = (0..2 * mean).map(|at| (at % 251) as u8 + 1).collect();
    for number in 0..FILES {
        let folder = folder.join(format!("{:03}", number / FILES_IN_FOLDER));
        if number % FILES_IN_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        // A pair of files has twice the mean.
        let part = (number / 2 * 7919) % (2 * mean);
        let len = if number % 2 == 0 {
            part
        } else {
            2 * mean - part
        };
        fs::write(folder.join(format!("{number:05}")), &content[..len])?;
    }
    Ok(())
}

fn is_there(tool: &Tool) -> bool {
    let output = Command::new(tool.name).arg("-V").output();
    !output.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Seconds that making an image takes. What was written before is on the host's disk or gone when the time begins.
fn timed(image: &Path, make: impl FnOnce() -> Result<()>) -> Result<f64> {
    check_interrupt()?;
    match fs::remove_file(image) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    make()?;
    let elapsed = start.elapsed();
    let len = File::open(image)?.metadata()?.len();
    if len < CONTENT.bytes {
        bail!("an image of {len} bytes cannot hold all files");
    }
    Ok(elapsed.as_secs_f64())
}

fn make(bench: &Bench, folder: &Path, image: &Path) -> Result<()> {
    let request = Request {
        size: Some(IMAGE),
        ..Request::default()
    };
    let shell = Shell {
        quiet: true,
        ..bench.shell
    };
    disks::make(image, folder, &request, &shell)?;
    Ok(())
}

fn run_tool(tool: &Tool, folder: &Path, image: &Path) -> Result<()> {
    let mut command = Command::new(tool.name);
    command.args((tool.words)(folder, image));
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", tool.name))?;
    if !output.status.success() {
        bail!(
            "{}: {}",
            tool.name,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
