//! What a mapping would have to be one with its file for: refused, and the mapping stays as it is.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use memmap2::{Mmap, MmapMut, MmapOptions, RemapOptions, UncheckedAdvice};

fn show<T>(what: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{what}: ok"),
        Err(error) => println!("{what}: error {:?}", error.raw_os_error()),
    }
}

pub(crate) fn run(folder: &Path) -> io::Result<()> {
    let path = folder.join("mapped");
    fs::write(&path, vec![7; 20_000])?;
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    // SAFETY: nobody changes the file while it is mapped, here and below.
    show("to be written and shared", unsafe {
        MmapMut::map_mut(&file)
    });
    // SAFETY: as above.
    let shared = unsafe { Mmap::map(&file) }?;
    show("made so", shared.make_mut());
    // SAFETY: as above.
    let mut shared = unsafe { Mmap::map(&file) }?;
    // SAFETY: the mapping is only to be read.
    show("read anew", unsafe {
        shared.unchecked_advise(UncheckedAdvice::DontNeed)
    });
    // SAFETY: the mapping is not used beyond the file.
    show("longer", unsafe {
        shared.remap(40_000, RemapOptions::new().may_move(true))
    });
    println!("kept {}", shared[..] == [7; 20_000]);
    // SAFETY: as above.
    let mut private = unsafe { MmapOptions::new().map_copy(&file) }?;
    private[0] = 8;
    let private = private.make_read_only()?;
    show("private, made to be written", private.make_mut());
    drop(shared);
    // Where the files were, other memory can be.
    let mut plain = MmapMut::map_anon(1 << 20)?;
    plain.fill(1);
    let plain = plain.make_read_only()?;
    show("memory of the program", plain.make_mut());
    fs::remove_file(&path)
}
