//! Registers and shared memory of VMware's pvscsi, as the public drivers describe them (there is no data sheet).

/// Window of BAR 0.
pub(super) const WINDOW_BYTES: usize = 0x5000;

/// A command, then its words, one by one.
pub(super) const COMMAND: usize = 0x0000;
pub(super) const COMMAND_DATA: usize = 0x0004;
pub(super) const RESET_ADAPTER: u32 = 1;
pub(super) const SET_UP_RINGS: u32 = 3;
/// What became of the last command; -1 when there is none such.
pub(super) const COMMAND_STATUS: usize = 0x0008;
/// Interrupt causes; writing ones clears. And which are on.
pub(super) const INTERRUPT_STATUS: usize = 0x100C;
pub(super) const INTERRUPT_MASK: usize = 0x2010;
pub(super) const INTERRUPT_COMPLETIONS: u32 = 3;
/// There are requests: others, and such that read or write.
pub(super) const KICK_OTHER: usize = 0x3014;
pub(super) const KICK_DATA: usize = 0x4018;

/// What the command for setting up rings takes: numbers of pages, the page of the state, 32 pages of requests, 32 of completions.
pub(super) const SET_UP_WORDS: usize = 132;

// In memory, a page each: the state of the rings, requests, completions; and one for sense data and answers.
pub(super) const PAGE_BYTES: usize = 4096;
pub(super) const REQUESTS_AT: usize = PAGE_BYTES;
pub(super) const COMPLETIONS_AT: usize = 2 * PAGE_BYTES;
pub(super) const SENSE_AT: usize = 3 * PAGE_BYTES;
pub(super) const ANSWER_AT: usize = SENSE_AT + 1024;
pub(super) const MEMORY_BYTES: usize = 4 * PAGE_BYTES;

// The state: counters of requests given, of completions made and taken.
pub(super) const REQUESTS_GIVEN: usize = 0;
pub(super) const COMPLETIONS_MADE: usize = 12;
pub(super) const COMPLETIONS_TAKEN: usize = 16;

pub(super) const REQUEST_BYTES: usize = 128;
pub(super) const REQUESTS: u32 = 32;
pub(super) const COMPLETION_BYTES: usize = 32;
pub(super) const COMPLETIONS: u32 = 128;

// Directions of a request's data.
pub(super) const NO_DATA: u32 = 1 << 2;
pub(super) const TO_HOST: u32 = 1 << 3;
pub(super) const TO_DEVICE: u32 = 1 << 4;
