//! Short texts made shorter: bytes that do not occur in them stand for pairs of bytes that occur often, and those pairs may hold such bytes
//! in turn (byte pair encoding; Gage, "A new algorithm for data compression", The C Users Journal 12(2), 1994). Each text can be read alone
//! and without memory, which is why names of functions are kept like this.

/// What each byte stands for: for a pair, or for itself where the pair's first byte is the byte.
pub(super) type Pairs = [[u8; 2]; 256];

/// Pairs within pairs; the kernel goes no deeper.
const MAX_DEPTH: u8 = 16;
/// A pair that occurs less often is not worth its place in the table.
const MIN_COUNT: u32 = 4;
/// As many pairs are chosen each time that all are counted.
const PAIRS_AT_ONCE: usize = 8;

/// Makes texts shorter, and gives the table to read them by.
pub(super) fn shorten(texts: &mut [Vec<u8>]) -> Pairs {
    let mut pairs: Pairs = std::array::from_fn(|byte| [byte as u8, 0]);
    let mut depths = [0_u8; 256];
    let mut is_used = [false; 256];
    for &byte in texts.iter().flatten() {
        is_used[usize::from(byte)] = true;
    }
    let mut free = (0..=u8::MAX).filter(|&byte| !is_used[usize::from(byte)]);
    loop {
        let mut codes: Vec<([u8; 2], u8)> = Vec::new();
        for pair in most_frequent(texts) {
            let depth = 1 + pair
                .map(|byte| depths[usize::from(byte)])
                .into_iter()
                .max()
                .unwrap_or(0);
            // Of pairs that share a byte, one may eat the other's.
            let is_apart = |(other, _): &([u8; 2], u8)| pair.iter().all(|b| !other.contains(b));
            if depth > MAX_DEPTH || !codes.iter().all(is_apart) {
                continue;
            }
            let Some(code) = free.next() else { break };
            pairs[usize::from(code)] = pair;
            depths[usize::from(code)] = depth;
            codes.push((pair, code));
            if codes.len() == PAIRS_AT_ONCE {
                break;
            }
        }
        if codes.is_empty() {
            return pairs;
        }
        texts.iter_mut().for_each(|text| replace(text, &codes));
    }
}

/// Pairs that occur often enough, the most frequent first; in equal texts in equal order.
fn most_frequent(texts: &[Vec<u8>]) -> Vec<[u8; 2]> {
    let mut counts = vec![0_u32; 1 << 16];
    for text in texts {
        for pair in text.windows(2) {
            counts[usize::from(u16::from_be_bytes([pair[0], pair[1]]))] += 1;
        }
    }
    let mut found: Vec<_> = (0..=u16::MAX)
        .zip(counts)
        .filter(|&(_, count)| count >= MIN_COUNT)
        .collect();
    found.sort_by_key(|&(pair, count)| (u32::MAX - count, pair));
    found
        .into_iter()
        .map(|(pair, _)| pair.to_be_bytes())
        .collect()
}

/// Puts codes in the place of their pairs.
fn replace(text: &mut Vec<u8>, codes: &[([u8; 2], u8)]) {
    let (mut from, mut to) = (0, 0);
    while from < text.len() {
        let rest = &text[from..];
        let code = codes.iter().find(|(pair, _)| rest.starts_with(pair));
        let (byte, len) = code.map_or((rest[0], 1), |&(_, code)| (code, 2));
        text[to] = byte;
        from += len;
        to += 1;
    }
    text.truncate(to);
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Pairs, shorten};

    /// What a text was.
    pub(in crate::image) fn expand(text: &[u8], pairs: &Pairs) -> Vec<u8> {
        let expanded = text.iter().map(|&byte| match pairs[usize::from(byte)] {
            [first, _] if first == byte => vec![byte],
            pair => expand(&pair, pairs),
        });
        expanded.flatten().collect()
    }

    fn texts() -> Vec<Vec<u8>> {
        let name = |n: u32| format!("core::ptr::drop_in_place<kernel::Thing{}…é>", n * n % 97);
        (0..500).map(|n| name(n).into_bytes()).collect()
    }

    #[test]
    fn texts_become_much_shorter_and_can_be_read_again() {
        let mut short = texts();
        let pairs = shorten(&mut short);
        let len = |texts: &[Vec<u8>]| texts.iter().map(Vec::len).sum::<usize>();
        assert!(len(&short) * 4 < len(&texts()), "{}", len(&short));
        for (short, text) in short.iter().zip(texts()) {
            assert_eq!(expand(short, &pairs), text);
        }
    }

    #[test]
    fn equal_texts_are_shortened_equally() {
        let (mut one, mut two) = (texts(), texts());
        assert_eq!(shorten(&mut one), shorten(&mut two));
        assert_eq!(one, two);
    }

    #[test]
    fn texts_of_all_bytes_stay_as_they_are() {
        let all: Vec<Vec<u8>> = vec![(0..=u8::MAX).collect(); 5];
        let mut texts = all.clone();
        shorten(&mut texts);
        assert_eq!(texts, all);
        shorten(&mut []);
    }

    #[test]
    fn a_byte_repeated_is_not_nested_deeper_than_the_kernel_reads() {
        let mut texts = vec![vec![b'a'; 255]; 4000];
        let pairs = shorten(&mut texts);
        let depth = |mut byte: u8| {
            let mut depth = 0;
            while pairs[usize::from(byte)][0] != byte {
                byte = pairs[usize::from(byte)][0];
                depth += 1;
            }
            depth
        };
        assert!((0..=u8::MAX).all(|byte| depth(byte) <= 16));
        assert_eq!(expand(&texts[0], &pairs), vec![b'a'; 255]);
    }
}
