//! libFuzzer's entry for answers of name servers: see README.md.
#![no_main]

extern crate alloc;

/// The kernel's reader of answers, alone.
#[allow(dead_code, reason = "it is used in part")]
#[path = "../../../kernel/src/network/dns/message.rs"]
mod message;

/// What went wrong, as the kernel has it (`kernel/src/network/dns/mod.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResolveError {
    NotFound,
    NoAddress,
    NoAnswer,
}

/// Reads an answer to a question. The first byte says to which, and how many records it has; the others are what the server says.
fn read(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let kind = match first & 1 {
        0 => message::Kind::A,
        _ => message::Kind::Aaaa,
    };
    let name = message::encode("www.example.com").expect("a name");
    let question = message::Question {
        id: 7,
        name: &name,
        kind,
    };
    let mut answer = question.write();
    (answer[2], answer[7]) = (0x80, first >> 1);
    answer.extend(rest);
    let _ = question.read_answer(&answer);
    let _ = question.read_answer(rest);
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| read(bytes));
