//! Where a function goes on when a call in it unwinds: the table of its call sites (Itanium C++ ABI, exception handling, "Language
//! specific data area"; encodings as in the Linux Standard Base, core, section 10.5.1), as far as Rust's functions have it.
//!
//! The compiler notes calls only. What faults otherwise is in no call site, and what the function held then cannot be dropped.

/// What happens in a function when it is unwound at an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Landing {
    /// Nothing: the function holds nothing there.
    Through,
    /// Something is dropped, then unwinding goes on.
    Cleanup,
    /// Unwinding ends there (`catch_unwind`).
    Catch,
    /// The compiler did not foresee it; whether the function catches what some other of its calls throw.
    Unforeseen {
        /// It does.
        has_catch: bool,
    },
}

/// Nothing is encoded.
const OMIT: u8 = 0xFF;
/// Unsigned LEB128.
const ULEB128: u8 = 0x01;
/// Four bytes.
const UDATA4: u8 = 0x03;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn uleb128(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The sign is in the last byte's second-highest bit.
    fn is_sleb128_positive(&mut self) -> Option<bool> {
        let mut is_zero = true;
        for _ in 0..usize::BITS.div_ceil(7) {
            let byte = self.byte()?;
            is_zero &= byte & 0x7F == 0;
            if byte & 0x80 == 0 {
                return Some(!is_zero && byte & 0x40 == 0);
            }
        }
        None
    }

    fn encoded(&mut self, encoding: u8) -> Option<usize> {
        match encoding {
            ULEB128 => self.uleb128(),
            UDATA4 => {
                let bytes = self.bytes.get(self.at..self.at + 4)?.try_into().ok()?;
                self.at += 4;
                Some(u32::from_le_bytes(bytes) as usize)
            }
            _ => None,
        }
    }
}

/// What happens at an instruction, so many bytes behind the start of its function; `table` is the function's, or what follows it too.
/// `None` for a table that is not as Rust's are.
pub(super) fn landing(table: &[u8], offset: usize) -> Option<Landing> {
    let mut reader = Reader {
        bytes: table,
        at: 0,
    };
    // Landing pads count from the start of the function.
    if reader.byte()? != OMIT {
        return None;
    }
    if reader.byte()? != OMIT {
        reader.uleb128()?;
    }
    let encoding = reader.byte()?;
    let sites_bytes = reader.uleb128()?;
    let actions = reader.at.checked_add(sites_bytes)?;
    let mut found = None;
    let mut has_catch = false;
    while reader.at < actions {
        let start = reader.encoded(encoding)?;
        let len_bytes = reader.encoded(encoding)?;
        let pad = reader.encoded(encoding)?;
        let action = reader.uleb128()?;
        let kind = match (pad, action) {
            (0, _) => Landing::Through,
            (_, 0) => Landing::Cleanup,
            (_, action) => {
                let mut reader = Reader {
                    bytes: table,
                    at: actions.checked_add(action - 1)?,
                };
                match reader.is_sleb128_positive()? {
                    true => Landing::Catch,
                    false => Landing::Cleanup,
                }
            }
        };
        has_catch |= kind == Landing::Catch;
        if (start..start.checked_add(len_bytes)?).contains(&offset) {
            found = Some(kind);
        }
    }
    Some(found.unwrap_or(Landing::Unforeseen { has_catch }))
}

#[cfg(test)]
mod tests {
    use super::{Landing, landing};

    /// Two call sites, of 4 bytes each at 8 and 16; the first drops, the second catches; one at 32 without a landing pad.
    const TABLE: [u8; 20] = [
        0xFF, 0xFF, 0x01, 12, 8, 4, 40, 0, 16, 4, 48, 1, 32, 4, 0, 0, // sites
        1, 0, 0, 0, // the action: type 1
    ];

    #[test]
    fn calls_lead_where_the_table_says() {
        assert_eq!(landing(&TABLE, 8), Some(Landing::Cleanup));
        assert_eq!(landing(&TABLE, 11), Some(Landing::Cleanup));
        assert_eq!(landing(&TABLE, 16), Some(Landing::Catch));
        assert_eq!(landing(&TABLE, 35), Some(Landing::Through));
    }

    #[test]
    fn what_is_no_call_is_unforeseen() {
        for offset in [0, 7, 12, 20, 31, 36, 4000] {
            let unforeseen = Landing::Unforeseen { has_catch: true };
            assert_eq!(landing(&TABLE, offset), Some(unforeseen), "{offset}");
        }
        assert_eq!(
            landing(&[0xFF, 0xFF, 1, 4, 8, 4, 40, 0], 0),
            Some(Landing::Unforeseen { has_catch: false })
        );
    }

    #[test]
    fn a_cleanup_by_action_is_no_catch() {
        let mut table = TABLE;
        table[16] = 0;
        assert_eq!(landing(&table, 16), Some(Landing::Cleanup));
        table[16] = 0x7F; // -1: a filter
        assert_eq!(landing(&table, 16), Some(Landing::Cleanup));
    }

    #[test]
    fn a_table_of_another_kind_or_too_short_is_refused() {
        for len in 0..16 {
            assert_eq!(landing(&TABLE[..len], 16), None, "{len}");
        }
        let mut table = TABLE;
        table[0] = 0;
        assert_eq!(landing(&table, 8), None);
        table = TABLE;
        table[2] = 0x9B;
        assert_eq!(landing(&table, 8), None);
    }
}
