//! Random numbers: the processor's generator where it has one, mixed with the time-stamp counter, spread by ChaCha20 (RFC 8439).
//!
//! A saved machine can go on more than once. So each block's key has something new in it: what the copies draw is not the same.

use core::arch::asm;

use super::{clock, cpu};
use crate::sync::{SpinGuard, SpinLock};

struct Generator {
    key: [u32; 8],
    counter: u64,
    block: [u32; 16],
    used_words: usize,
    has_key: bool,
    has_rdrand: bool,
}

static GENERATOR: SpinLock<Generator> = SpinLock::new(Generator {
    key: [0; 8],
    counter: 0,
    block: [0; 16],
    used_words: 16,
    has_key: false,
    has_rdrand: false,
});

/// Makes a key from `RDRAND` where it exists, and from the time that a few passes over the clock take; without it from the date, too.
fn new_key(has_rdrand: bool) -> [u32; 8] {
    let mut state = clock::tsc();
    if !has_rdrand {
        state ^= clock::wall_ns().rotate_left(32);
    }
    core::array::from_fn(|_| {
        state = state.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) ^ clock::tsc();
        let hardware = if has_rdrand { rdrand() } else { 0 };
        ((state ^ hardware) >> 16) as u32
    })
}

/// The generator, with a key: who first asks makes it, so that a start that needs no random numbers does not wait for one.
fn generator() -> SpinGuard<'static, Generator> {
    let generator = GENERATOR.lock();
    if generator.has_key {
        return generator;
    }
    // The date may take a while: nobody shall spin for it.
    drop(generator);
    let has_rdrand = has_rdrand();
    let key = new_key(has_rdrand);
    let mut generator = GENERATOR.lock();
    generator.has_rdrand = has_rdrand;
    for (slot, word) in generator.key.iter_mut().zip(key) {
        *slot ^= word;
    }
    generator.has_key = true;
    generator
}

fn has_rdrand() -> bool {
    cpu::cpuid(1).ecx & 1 << 30 != 0
}

fn rdrand() -> u64 {
    const MAX_TRIES: u32 = 10;
    for _ in 0..MAX_TRIES {
        let (value, is_valid): (u64, u8);
        // SAFETY: the caller checked that the instruction exists.
        unsafe {
            asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) is_valid, options(nomem, nostack))
        };
        if is_valid != 0 {
            return value;
        }
    }
    0
}

fn quarter_round(state: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
    for (x, y, z, bits) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[x] = state[x].wrapping_add(state[y]);
        state[z] = (state[z] ^ state[x]).rotate_left(bits);
    }
}

/// One ChaCha20 block (RFC 8439, section 2.3) with a 64-bit counter and no nonce.
fn chacha20_block(key: &[u32; 8], counter: u64) -> [u32; 16] {
    let mut initial = [0; 16];
    initial[..4].copy_from_slice(&[0x6170_7865, 0x3320_646E, 0x7962_2D32, 0x6B20_6574]);
    initial[4..12].copy_from_slice(key);
    initial[12] = counter as u32;
    initial[13] = (counter >> 32) as u32;
    let mut state = initial;
    for _ in 0..10 {
        for column in 0..4 {
            quarter_round(&mut state, [column, column + 4, column + 8, column + 12]);
        }
        for row in 0..4 {
            quarter_round(
                &mut state,
                [
                    row,
                    4 + (row + 1) % 4,
                    8 + (row + 2) % 4,
                    12 + (row + 3) % 4,
                ],
            );
        }
    }
    for (word, start) in state.iter_mut().zip(initial) {
        *word = word.wrapping_add(start);
    }
    state
}

/// A random number.
pub fn random_u64() -> u64 {
    let mut generator = generator();
    u64::from(generator.next()) << 32 | u64::from(generator.next())
}

/// A random number, of the processor's generator alone where it has one that answers: for what each start needs, since that goes a short
/// way.
pub fn hardware_or_random_u64() -> u64 {
    let hardware = if has_rdrand() { rdrand() } else { 0 };
    match hardware {
        0 => random_u64(),
        number => number,
    }
}

/// Fills `buffer` with random bytes.
pub fn fill(buffer: &mut [u8]) {
    let mut generator = generator();
    for chunk in buffer.chunks_mut(4) {
        let bytes = generator.next().to_le_bytes();
        chunk.copy_from_slice(&bytes[..chunk.len()]);
    }
}

impl Generator {
    /// Has all that comes now depend on `fresh`, too.
    fn stir(&mut self, fresh: u64) {
        self.key[0] ^= fresh as u32;
        self.key[1] ^= (fresh >> 32) as u32;
    }

    fn next(&mut self) -> u32 {
        if self.used_words == 16 {
            let hardware = if self.has_rdrand { rdrand() } else { 0 };
            self.stir(hardware ^ clock::tsc());
            // The first half of each block becomes the next key, so that what was handed out cannot be computed from the state.
            self.block = chacha20_block(&self.key, self.counter);
            self.counter += 1;
            self.key.copy_from_slice(&self.block[..8]);
            self.used_words = 8;
        }
        self.used_words += 1;
        core::mem::take(&mut self.block[self.used_words - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::{Generator, chacha20_block};

    #[test]
    fn the_block_function_is_chacha20() {
        // Keystream of the all-zero key and nonce (draft-agl-tls-chacha20poly1305-04, section 7).
        let block = chacha20_block(&[0; 8], 0);
        assert_eq!(block[0].to_le_bytes(), [0x76, 0xB8, 0xE0, 0xAD]);
        assert_eq!(block[15].to_le_bytes(), [0xB2, 0xEE, 0x65, 0x86]);
    }

    #[test]
    fn copies_of_a_generator_draw_different_numbers() {
        let generator = || Generator {
            key: [7; 8],
            counter: 3,
            block: [0; 16],
            used_words: 16,
            has_key: true,
            has_rdrand: false,
        };
        let (mut one, mut other) = (generator(), generator());
        let (ones, others) = ([(); 8].map(|()| one.next()), [(); 8].map(|()| other.next()));
        assert!(
            ones.iter().zip(&others).all(|(a, b)| a != b),
            "{ones:?} {others:?}"
        );
    }
}
