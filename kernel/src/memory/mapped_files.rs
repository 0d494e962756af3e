//! Which parts of the program's memory are the content of files. Each has it in memory of its own, as it was when it was mapped; so what would only make
//! sense if file and memory were one is refused, and never done by half: the program hears of it.

use alloc::vec::Vec;

use crate::sync::SpinLock;

/// A mapping of a file, or what is left of it: whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    start: usize,
    end: usize,
    /// Others would see what is written to it.
    is_shared: bool,
}

/// Mappings of files.
pub struct FileMappings(Vec<Part>);

/// Those of the program.
pub static MAPPED_FILES: SpinLock<FileMappings> = SpinLock::new(FileMappings(Vec::new()));

impl FileMappings {
    /// Notes one.
    pub fn add(&mut self, start: usize, len_bytes: usize, is_shared: bool) {
        self.remove(start, len_bytes);
        self.0.push(Part {
            start,
            end: start.saturating_add(len_bytes),
            is_shared,
        });
    }

    /// Forgets what lies in a range, which is something else from now on.
    pub fn remove(&mut self, start: usize, len_bytes: usize) {
        let end = start.saturating_add(len_bytes);
        let mut behind = Vec::new();
        for part in &mut self.0 {
            if part.start >= end || part.end <= start {
                continue;
            }
            if part.end > end {
                behind.push(Part {
                    start: end,
                    ..*part
                });
            }
            part.end = start.max(part.start);
        }
        self.0.retain(|part| part.start < part.end);
        self.0.append(&mut behind);
    }

    /// Whether any of them lies in a range, or a shared one.
    pub fn has_any(&self, start: usize, len_bytes: usize, only_shared: bool) -> bool {
        let end = start.saturating_add(len_bytes);
        let mut parts = self.0.iter();
        parts.any(|part| part.start < end && part.end > start && part.is_shared >= only_shared)
    }
}

#[cfg(test)]
mod tests {
    use super::FileMappings;
    use alloc::vec::Vec;

    #[test]
    fn what_is_left_of_mappings_is_known() {
        let mut files = FileMappings(Vec::new());
        files.add(0x10_000, 0x8000, true);
        files.add(0x20_000, 0x1000, false);
        let has = |files: &FileMappings, start| {
            [false, true].map(|only_shared| files.has_any(start, 0x1000, only_shared))
        };
        assert_eq!(has(&files, 0xF000), [false, false]);
        assert_eq!(has(&files, 0x17_000), [true, true]);
        assert_eq!(has(&files, 0x18_000), [false, false]);
        assert_eq!(has(&files, 0x20_000), [true, false]);
        // A hole in the middle, then another mapping in it, then all but the last page.
        files.remove(0x12_000, 0x2000);
        assert_eq!(has(&files, 0x11_000), [true, true]);
        assert_eq!(has(&files, 0x12_000), [false, false]);
        assert_eq!(has(&files, 0x14_000), [true, true]);
        files.add(0x13_000, 0x2000, false);
        assert_eq!(has(&files, 0x14_000), [true, false]);
        files.remove(0, 0x17_000);
        assert_eq!(has(&files, 0x16_000), [false, false]);
        assert_eq!(has(&files, 0x17_000), [true, true]);
        files.remove(0, usize::MAX);
        assert!(files.0.is_empty());
    }
}
