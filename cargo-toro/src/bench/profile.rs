//! Where instructions go: by function, in a start or in requests. Blocks that the emulator executed are counted by their
//! address (see [`super::counter`]) and named by the symbols of the linked program.

use super::counter::{Block, Counter};
use super::http::loaded;
use super::load::Plan;
use super::options::{Options, Profile};
use super::report::grouped;
use super::subject::{Bench, describe};
use crate::failure::Failure;
use crate::image::{self, Function};
use crate::shell::Shell;
use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Requests before those that count.
const WARM_UP: usize = 100;
const SETTLE: Duration = Duration::from_millis(200);
/// How many functions are shown where nothing else is asked for.
pub(super) const TOP: usize = 25;
/// Below is the boot loader; what is outside the image else is the firmware's.
const LOADER_END: u64 = 0xa_0000;

/// Profiles a program and prints the table.
pub(super) fn run(options: &Profile, shell: &Shell) -> Result<()> {
    let bench = Bench::new(as_bench(options), *shell)?;
    let plugin = match bench.plugin() {
        Ok(plugin) => plugin,
        Err(reason) => bail!(Failure::new(
            reason,
            "install a C compiler, such as the package gcc"
        )),
    };
    let subject = bench.build(&options.program)?;
    let linked = std::fs::read(&subject.linked).context("cannot read the linked program")?;
    let functions = image::functions(&linked)?;
    let counter = Counter::with_blocks(bench.folder());
    let way = bench.way(&subject);
    let counts = if subject.is_service() {
        let machinery = bench.service_machine(&subject, way)?;
        let mut guest = machinery.start(Some((plugin, &counter)))?;
        guest.first_answer()?;
        match options.requests {
            None => Counts::new(&counter.blocks()?, &[]),
            Some(requests) => {
                let plan = Plan {
                    connections: 1,
                    requests,
                    is_kept_alive: !options.close,
                };
                loaded(
                    &mut guest,
                    Plan {
                        requests: WARM_UP,
                        ..plan
                    },
                )?;
                std::thread::sleep(SETTLE);
                let before = counter.blocks()?;
                loaded(&mut guest, plan)?;
                std::thread::sleep(SETTLE);
                Counts::new(&counter.blocks()?, &before)
            }
        }
    } else if options.requests.is_some() {
        bail!(Failure::new(
            format!(
                "`{}` publishes no port, so there is nothing to request",
                subject.name()
            ),
            "leave --requests away to profile its start"
        ));
    } else {
        let (_, end) = bench
            .plain_machine(&subject, way, None)?
            .run(Some((plugin, &counter)))?;
        shell.detail("Ended", describe(&end));
        Counts::new(&counter.blocks()?, &[])
    };
    let rows = if options.blocks {
        counts.by_block(&functions)
    } else {
        counts.by_function(&functions)
    };
    let requests = options.requests.map(|requests| (requests, "request"));
    print!("{}", table(&rows, options.top, requests));
    Ok(())
}

/// The functions of what was executed between two readings, for each of so many operations.
pub(super) fn between(
    before: &[Block],
    after: &[Block],
    linked: &Path,
    operations: usize,
) -> Result<String> {
    let linked = std::fs::read(linked).context("cannot read the linked program")?;
    let rows = Counts::new(after, before).by_function(&image::functions(&linked)?);
    Ok(table(&rows, TOP, Some((operations, "operation"))))
}

fn as_bench(options: &Profile) -> Options {
    let Profile {
        program,
        path,
        machine,
        ..
    } = options.clone();
    Options {
        program,
        path,
        runs: 1,
        json: None,
        machine,
    }
}

/// By address of a block: instructions, and how often it was executed.
struct Counts(HashMap<u64, (u64, u64)>);

impl Counts {
    /// What was executed between two readings.
    fn new(after: &[Block], before: &[Block]) -> Self {
        let mut counts = HashMap::<u64, (u64, u64)>::new();
        // A block keeps its place in the table, so the earlier reading is a beginning of the later one.
        for (index, block) in after.iter().enumerate() {
            let earlier = before.get(index).map_or(0, |block| block.executed);
            let executed = block.executed.wrapping_sub(earlier);
            if executed > 0 {
                let count = counts.entry(block.address).or_default();
                count.0 = count
                    .0
                    .wrapping_add(executed.wrapping_mul(block.instructions));
                count.1 = count.1.wrapping_add(executed);
            }
        }
        Self(counts)
    }

    /// A row for each function, the largest first; its calls are the executions of its first block.
    fn by_function(&self, functions: &[Function]) -> Vec<Row> {
        let mut rows = HashMap::<String, Row>::new();
        for (&address, &(instructions, executed)) in &self.0 {
            let (name, is_entry) = match function_at(functions, address) {
                Some(function) => (function.name.clone(), function.address == address),
                None => (outside(address).to_owned(), false),
            };
            let row = rows.entry(name.clone()).or_insert_with(|| Row {
                name,
                ..Row::default()
            });
            row.instructions += instructions;
            row.calls += if is_entry { executed } else { 0 };
        }
        sorted(rows.into_values().collect())
    }

    /// A row for each block, the largest first.
    fn by_block(&self, functions: &[Function]) -> Vec<Row> {
        let rows = self.0.iter().map(|(&address, &(instructions, calls))| {
            let place = match function_at(functions, address) {
                Some(function) => format!("{}+{:#x}", function.name, address - function.address),
                None => outside(address).to_owned(),
            };
            Row {
                name: format!("{address:#x} {place}"),
                instructions,
                calls,
            }
        });
        sorted(rows.collect())
    }
}

/// One line of the table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    name: String,
    instructions: u64,
    calls: u64,
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| {
        b.instructions
            .cmp(&a.instructions)
            .then_with(|| a.name.cmp(&b.name))
    });
    rows
}

/// The function that `address` is in; assembly without a size belongs to the label before it.
fn function_at(functions: &[Function], address: u64) -> Option<&Function> {
    let end = functions.iter().map(|function| function.end).max()?;
    let following = functions.partition_point(|function| function.address <= address);
    functions
        .get(following.checked_sub(1)?)
        .filter(|_| address < end)
}

fn outside(address: u64) -> &'static str {
    if address < LOADER_END {
        "[boot loader]"
    } else {
        "[firmware]"
    }
}

/// The `top` rows, for each of so many operations of a kind if there are any.
fn table(rows: &[Row], top: usize, operations: Option<(usize, &str)>) -> String {
    let total: u64 = rows.iter().map(|row| row.instructions).sum();
    let divisor = operations.map_or(1, |(count, _)| count.max(1)) as f64;
    let decimals = if operations.is_some() { 1 } else { 0 };
    let number = |count: u64| grouped(&format!("{:.decimals$}", count as f64 / divisor));
    let mut text = format!(
        "{:>14} {:>6} {:>12} {:>10}  function\n",
        "instructions", "share", "calls", "each"
    );
    for row in rows.iter().take(top) {
        let share = 100.0 * row.instructions as f64 / total.max(1) as f64;
        let (calls, each) = match row.calls {
            0 => ("–".into(), "–".into()),
            calls => (
                number(calls),
                grouped(&(row.instructions / calls).to_string()),
            ),
        };
        let (instructions, name) = (number(row.instructions), &row.name);
        let _ = writeln!(
            text,
            "{instructions:>14} {share:>5.1}% {calls:>12} {each:>10}  {name}"
        );
    }
    let _ = writeln!(
        text,
        "{:>14} 100.0%  in all{}",
        number(total),
        operations.map_or(String::new(), |(_, kind)| format!(", per {kind}"))
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn functions() -> Vec<Function> {
        let function = |address, end, name: &str| Function {
            address,
            end,
            name: name.into(),
        };
        vec![
            function(0x20_0000, 0x20_0010, "start"),
            function(0x20_0040, 0x20_0080, "copy"),
        ]
    }

    fn block(address: u64, instructions: u64, executed: u64) -> Block {
        Block {
            address,
            instructions,
            executed,
        }
    }

    fn row(name: &str, instructions: u64, calls: u64) -> Row {
        Row {
            name: name.into(),
            instructions,
            calls,
        }
    }

    #[test]
    fn blocks_are_added_by_function() {
        let blocks = [
            block(0x20_0000, 2, 1),
            block(0x20_0040, 3, 10),
            block(0x20_0044, 5, 100),
            // The emulator may translate a block a second time.
            block(0x20_0040, 3, 1),
            block(0x7c00, 4, 1),
            block(0xf_fff0, 1, 1),
            block(0x7ff_0000, 8, 1),
        ];
        let expected = [
            row("copy", 533, 11),
            row("[firmware]", 9, 0),
            row("[boot loader]", 4, 0),
            row("start", 2, 1),
        ];
        assert_eq!(
            Counts::new(&blocks, &[]).by_function(&functions()),
            expected
        );
    }

    #[test]
    fn only_what_is_executed_between_two_readings_counts() {
        let before = [block(0x20_0000, 2, 5), block(0x20_0040, 3, 7)];
        let after = [
            block(0x20_0000, 2, 5),
            block(0x20_0040, 3, 9),
            block(0x20_0050, 1, 4),
        ];
        let expected = [
            row("0x200040 copy+0x0", 6, 2),
            row("0x200050 copy+0x10", 4, 4),
        ];
        assert_eq!(
            Counts::new(&after, &before).by_block(&functions()),
            expected
        );
    }

    #[test]
    fn code_between_functions_belongs_to_the_one_before() {
        let functions = functions();
        let name =
            |address| function_at(&functions, address).map(|function| function.name.as_str());
        assert_eq!(name(0x20_0020), Some("start"));
        assert_eq!(name(0x20_007f), Some("copy"));
        assert_eq!(name(0x20_0080), None);
        assert_eq!(name(0x1f_ffff), None);
    }

    #[test]
    fn the_table_is_per_request() {
        let text = table(
            &[row("copy", 3000, 20), row("start", 1000, 0)],
            1,
            Some((10, "request")),
        );
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .collect();
        assert_eq!(lines[1], ["300.0", "75.0%", "2.0", "150", "copy"]);
        assert_eq!(
            lines[2],
            ["400.0", "100.0%", "in", "all,", "per", "request"]
        );
    }
}
