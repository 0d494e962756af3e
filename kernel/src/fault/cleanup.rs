//! Tables of C functions that say which code to run for a call that is left early (Itanium C++ ABI: Exception Handling, section 2; as LLVM's
//! "Exception Handling Tables" and gcc's unwind-c.c have them).

/// How values of the table are written (Linux Standard Base, Core, section 10.5.1).
const OMITTED: u8 = 0xff;
const ULEB128: u8 = 1;
const U32: u8 = 3;
const RELATIVE_TO_ITSELF: u8 = 0x10;
const I32: u8 = 0x0b;

/// The code to run when the call at `address` is left early, of the function that begins at `start`.
///
/// # Safety
/// 1. `table` is at a table of a compiler.
pub(crate) unsafe fn cleanup(table: *const u8, start: usize, address: usize) -> Option<usize> {
    let mut table = Reader(table);
    // SAFETY: the parts of a table in their order (1).
    unsafe {
        let base = match table.byte() {
            OMITTED => start,
            encoding => table.value(encoding)?,
        };
        if table.byte() != OMITTED {
            table.number();
        }
        let encoding = table.byte();
        let len_bytes = table.number();
        let end = table.0.wrapping_add(len_bytes);
        while table.0 < end {
            let first = start.wrapping_add(table.value(encoding)?);
            let len = table.value(encoding)?;
            let code = table.value(encoding)?;
            table.number();
            if address < first {
                return None;
            }
            if address - first < len {
                return (code != 0).then(|| base.wrapping_add(code));
            }
        }
        None
    }
}

/// Where the table is read next.
struct Reader(*const u8);

impl Reader {
    /// # Safety
    /// 1. The table goes on.
    unsafe fn byte(&mut self) -> u8 {
        // SAFETY: the caller's promise (1).
        let byte = unsafe { self.0.read() };
        self.0 = self.0.wrapping_add(1);
        byte
    }

    /// Four bytes.
    ///
    /// # Safety
    /// 1. The table goes on.
    unsafe fn word(&mut self) -> u32 {
        // SAFETY: the caller's promise (1).
        let word = unsafe { self.0.cast::<u32>().read_unaligned() };
        self.0 = self.0.wrapping_add(4);
        word
    }

    /// An unsigned LEB128.
    ///
    /// # Safety
    /// 1. The table goes on.
    unsafe fn number(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..usize::BITS).step_by(7) {
            // SAFETY: the caller's promise (1).
            let byte = unsafe { self.byte() };
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    /// A value in one of the ways in which compilers write them here.
    ///
    /// # Safety
    /// 1. The table goes on.
    unsafe fn value(&mut self, encoding: u8) -> Option<usize> {
        let here = self.0 as usize;
        // SAFETY: the caller's promise (1).
        let value = unsafe {
            match encoding & 0x0f {
                ULEB128 => self.number(),
                U32 => self.word() as usize,
                I32 => self.word() as i32 as usize,
                _ => return None,
            }
        };
        match encoding & 0xf0 {
            0 => Some(value),
            RELATIVE_TO_ITSELF => Some(here.wrapping_add(value)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two calls, the second with code to run, as gcc writes them: no base, no types, values as LEB128.
    const TABLE: [u8; 13] = [
        OMITTED, OMITTED, ULEB128, 9, 0x10, 5, 0, 0, 0x20, 0x85, 0x01, 0x40, 0,
    ];

    fn code_at(table: &[u8], address: usize) -> Option<usize> {
        // SAFETY: a whole table.
        unsafe { cleanup(table.as_ptr(), 0x1000, address) }
    }

    #[test]
    fn the_code_of_a_call_is_found() {
        for (address, expected) in [
            (0x100f, None),
            (0x1010, None),
            (0x1014, None),
            (0x1015, None),
            (0x1020, Some(0x1040)),
            (0x10a4, Some(0x1040)),
            (0x10a5, None),
        ] {
            assert_eq!(code_at(&TABLE, address), expected, "{address:#x}");
        }
    }

    #[test]
    fn values_of_four_bytes_are_understood_and_strange_ones_are_left() {
        let table = [
            OMITTED, OMITTED, U32, 13, 0x10, 0, 0, 0, 5, 0, 0, 0, 0x40, 0, 0, 0, 0,
        ];
        assert_eq!(code_at(&table, 0x1012), Some(0x1040));
        assert_eq!(
            code_at(&[OMITTED, OMITTED, 0x50, 4, 0, 0, 0, 0], 0x1000),
            None
        );
    }
}
