//! Directories: entries of names of every length, in more than one piece; going back to a place, and to the start.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs;

pub(crate) fn steps() {
    let folder = "folder of names";
    fs::create_dir(folder).expect("a new folder");
    // More than what is read at once, whatever that is.
    let names: BTreeSet<String> = (1..=255)
        .flat_map(|len| [b'a', b'b', b'c'].map(|byte| String::from_utf8(vec![byte; len])))
        .collect::<Result<_, _>>()
        .expect("letters");
    for name in &names {
        fs::write(format!("{folder}/{name}"), "").expect("a file");
    }
    // SAFETY: a stream that is open, and entries that are read before the next one is asked for.
    unsafe {
        let stream = libc::opendir(c"folder of names".as_ptr());
        let next = || {
            let entry = libc::readdir64(stream);
            (!entry.is_null()).then(|| {
                let whole = entry.read();
                let name = CStr::from_ptr((&raw const (*entry).d_name).cast());
                let name = name.to_str().expect("letters").to_owned();
                (name, whole.d_type, whole.d_ino, whole.d_off)
            })
        };
        let mut all = Vec::new();
        let mut places = Vec::new();
        let mut dots = BTreeSet::new();
        loop {
            let place = libc::telldir(stream);
            let Some((name, kind, number, offset)) = next() else {
                break;
            };
            if name.starts_with('.') {
                dots.insert((name, kind == libc::DT_DIR));
                continue;
            }
            if kind != libc::DT_REG || number == 0 || offset != libc::telldir(stream) {
                println!("{name}: type {kind}, number {number}, next at {offset}");
            }
            places.push(place);
            all.push(name);
        }
        println!("directories {dots:?}");
        println!("at the end again {:?}", next().map(|entry| entry.0));
        let seen: BTreeSet<String> = all.iter().cloned().collect();
        println!("{} entries, all there {}", all.len(), seen == names);
        let mut same = 0;
        for index in (0..all.len()).rev().step_by(37) {
            libc::seekdir(stream, places[index]);
            same += usize::from(next().is_some_and(|entry| entry.0 == all[index]));
        }
        println!("found again at its place {same}");
        libc::rewinddir(stream);
        let mut count = 0;
        while next().is_some() {
            count += 1;
        }
        println!("from the start {count}, closed {}", libc::closedir(stream));
    }
    fs::remove_dir_all(folder).expect("all can go");
}
