//! What is different on a FAT: names, times, permissions, and what there is not.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

fn number<T>(result: io::Result<T>) -> i32 {
    result
        .err()
        .and_then(|error| error.raw_os_error())
        .unwrap_or(0)
}

pub(crate) fn run(folder: &Path) -> io::Result<()> {
    // What the host put there.
    assert_eq!(
        fs::read_to_string(folder.join("from host.text"))?,
        "hello from the host\n"
    );
    assert_eq!(
        fs::read(folder.join("Sub Folder/LARGE.BIN"))?,
        crate::random::content(7, 300_000)
    );

    // Names are text, equal in any case, and keep the case that they were given.
    fs::write(folder.join("Größe.Text"), "first")?;
    assert_eq!(
        fs::read_to_string(folder.join("GRÖSSE.TEXT")).map_err(|e| e.kind()),
        Err(ErrorKind::NotFound)
    );
    assert_eq!(fs::read_to_string(folder.join("gRÖßE.tEXT"))?, "first");
    fs::rename(folder.join("größe.text"), folder.join("GRÖßE.text"))?;
    let mut names: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();
    assert_eq!(names, ["GRÖßE.text", "Sub Folder", "from host.text"]);
    let long = "n".repeat(255);
    fs::write(folder.join(&long), "the longest name")?;
    assert_eq!(
        fs::read_to_string(folder.join(long.to_uppercase()))?,
        "the longest name"
    );
    fs::remove_file(folder.join(&long))?;
    for name in ["a:b", "a?", "a*", "a|b", "a\\b", "dot."] {
        assert_eq!(number(File::create(folder.join(name))), 22, "{name}");
    }

    // There are no links and no owners; what can be kept of permissions is whether something can be written.
    let file = folder.join("facts");
    fs::write(&file, "12345")?;
    assert_eq!(number(symlink("facts", folder.join("link"))), 1);
    assert_eq!(number(fs::hard_link(&file, folder.join("link"))), 1);
    assert_eq!(number(std::os::unix::fs::chown(&file, Some(5), None)), 1);
    fs::set_permissions(&file, Permissions::from_mode(0o400))?;
    assert!(fs::metadata(&file)?.permissions().readonly());
    fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    let facts = fs::metadata(&file)?;
    assert_eq!(
        (facts.mode() & 0o7777, facts.uid(), facts.nlink()),
        (0o644, 0, 1)
    );
    let time = UNIX_EPOCH + Duration::from_secs(1_600_000_001);
    File::options()
        .write(true)
        .open(&file)?
        .set_times(FileTimes::new().set_modified(time))?;
    assert_eq!(fs::metadata(&file)?.mtime(), 1_600_000_000);
    // A copy takes the permissions along, as far as they go.
    assert_eq!(fs::copy(&file, folder.join("copy"))?, 5);

    // Between file systems nothing is renamed or linked, but copied.
    fs::create_dir_all("/tmp")?;
    fs::write("/tmp/elsewhere", "x")?;
    assert_eq!(
        number(fs::rename("/tmp/elsewhere", folder.join("moved"))),
        18
    );
    assert_eq!(
        number(fs::hard_link("/tmp/elsewhere", folder.join("moved"))),
        18
    );
    fs::copy("/tmp/elsewhere", folder.join("copied"))?;

    // 4 GiB are the end.
    let large = File::create(folder.join("large"))?;
    assert_eq!(number(large.set_len(1 << 32)), 27);
    large.set_len(100_000)?;
    large.sync_all()?;
    drop(large);

    // What is removed lives as long as it is open.
    let mut removed = File::create_new(folder.join("removed"))?;
    removed.write_all(&[1; 70_000])?;
    fs::remove_file(folder.join("REMOVED"))?;
    assert_eq!(removed.metadata()?.nlink(), 0);
    removed.write_all(&[2; 70_000])?;
    assert_eq!(removed.metadata()?.len(), 140_000);
    fs::write(folder.join("removed"), "another one")?;
    drop(removed);

    // Many names in one folder, and a deep one.
    let many = folder.join("many");
    fs::create_dir(&many)?;
    for index in 0..300 {
        File::create(many.join(format!("a file with a long name, number {index:03}")))?;
    }
    assert_eq!(fs::read_dir(&many)?.count(), 300);
    let mut deep = folder.to_owned();
    for level in 0..30 {
        deep.push(format!("level {level}"));
    }
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("bottom"), "deep")?;
    assert_eq!(
        number(fs::rename(folder.join("level 0"), deep.join("loop"))),
        22
    );
    fs::rename(folder.join("level 0/level 1"), folder.join("moved up"))?;
    Ok(())
}
