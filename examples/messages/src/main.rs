//! A pipeline over four cores. Each stage has a core of its own and its data to itself: no lock anywhere, and a slow stage slows down those
//! before it instead of filling the memory.

use std::time::Duration;

use toro::core::{Builder, statistics};
use toro::message::{Receiver, Sender, channel};

/// A line to be counted, and what came of it.
struct Line {
    number: usize,
    text: String,
}

struct Counted {
    number: usize,
    words: usize,
    core: usize,
}

const LINES: usize = 1000;

fn main() -> toro::Result<()> {
    let (finished, results) = channel::<Counted>(16)?;
    let mut stages = Vec::new();
    let mut counters = Vec::new();
    // Cores 1 and 2 count words; each has its own channel, of 8 slots.
    for core in [1, 2] {
        let (to, lines) = channel::<Line>(8)?;
        let finished = finished.clone();
        let stage = Builder::new(core).name(format!("count {core}"));
        counters.push(stage.spawn(move || count_words(lines, &finished))?);
        stages.push(to);
    }
    drop(finished);
    let summary = Builder::new(3).name("sum").spawn(move || sum(results))?;

    // Core 0 reads. `send` waits while the slots are full; the sleeping cores are interrupted only if they halt.
    for number in 0..LINES {
        let text = "words ".repeat(number % 7 + 1);
        stages[number % 2].send(Line { number, text })?;
    }
    // The channels end with their senders, stage after stage.
    drop(stages);
    for counter in counters {
        let _ = counter.join();
    }
    let (words, by_core) = summary.join().expect("a sum");
    println!("{LINES} lines have {words} words");
    for (core, lines) in by_core.iter().enumerate().filter(|(_, lines)| **lines > 0) {
        println!("  core {core} counted {lines} lines");
    }

    // Who sends too much is told so, and gets the message back.
    let (sender, receiver) = channel(2)?;
    sender.try_send("first")?;
    sender.try_send("second")?;
    if let Err(full) = sender.try_send("third") {
        println!("`{}` has to wait: {}", full.message, full.error);
    }
    drop(sender);
    println!(
        "received: {}",
        receiver.into_iter().collect::<Vec<_>>().join(", ")
    );

    // A core that waits for messages halts.
    let before = statistics(3)?.halted;
    let (sender, receiver) = channel::<()>(1)?;
    let waits = toro::core::spawn_on(3, move || receiver.receive())?;
    std::thread::sleep(Duration::from_millis(200));
    let halted = statistics(3)?.halted - before;
    println!(
        "a core that waited halted: {}",
        halted > Duration::from_millis(100)
    );
    drop(sender);
    if let Ok(Err(end)) = waits.join() {
        println!("and was told the end: {end}");
    }
    Ok(())
}

fn count_words(lines: Receiver<Line>, finished: &Sender<Counted>) {
    let core = toro::core::current();
    for Line { number, text } in lines {
        let words = text.split_whitespace().count();
        if finished
            .send(Counted {
                number,
                words,
                core,
            })
            .is_err()
        {
            return;
        }
    }
}

/// All words, and how many lines each core has counted.
fn sum(results: Receiver<Counted>) -> (usize, Vec<usize>) {
    let mut by_core = vec![0; toro::core::count()];
    let mut was_seen = vec![false; LINES];
    let mut all = 0;
    for Counted {
        number,
        words,
        core,
    } in results
    {
        assert!(!was_seen[number], "line {number} came twice");
        was_seen[number] = true;
        all += words;
        by_core[core] += 1;
    }
    (all, by_core)
}
