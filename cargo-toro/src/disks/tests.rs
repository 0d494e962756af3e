//! Data disks as a user meets them: a folder that changes, a guest that writes.

use super::*;
use std::fs::File;
use std::path::Path;

fn site() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join("www/pages")).unwrap();
    std::fs::write(home.path().join("www/index.html"), "hello").unwrap();
    std::fs::write(home.path().join("www/pages/empty.html"), "").unwrap();
    home
}

fn disk(home: &Path) -> Disk {
    Disk {
        image: home.join("web.img"),
        from: Some(home.join("www")),
        size: None,
        mount: None,
    }
}

#[test]
fn a_size_alone_makes_an_empty_disk_once() {
    let home = site();
    let mut disk = disk(home.path());
    disk.from = None;
    let error = format!("{:#}", prepare(&disk, &quiet()).unwrap_err());
    assert!(error.contains("there is no disk image"), "{error}");
    disk.size = Some(crate::values::Size::mib(4));
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(disk.image.metadata().unwrap().len(), 4 << 20);
    assert_sound(&disk.image);
    guest_writes(&disk.image, b"/kept", b"guest's");
    // What is there is used as it is, whatever size is asked for.
    disk.size = Some(crate::values::Size::mib(8));
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(content(&disk.image, b"/kept").unwrap(), b"guest's");
    // A folder in its place is no image, and stays.
    disk.image = home.path().join("www");
    assert!(prepare(&disk, &quiet()).is_err());
    assert!(home.path().join("www/index.html").is_file());
}

fn quiet() -> Shell {
    Shell {
        quiet: true,
        ..Shell::default()
    }
}

fn open(image: &Path, access: Access) -> Box<dyn crate::volume::Volume> {
    crate::volume::open(image, None, access).unwrap()
}

fn content(image: &Path, path: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    open(image, Access::Read)
        .read(path, &mut content)
        .ok()
        .map(|()| content)
}

/// Writes to the image as a guest does.
fn guest_writes(image: &Path, path: &[u8], mut content: &[u8]) {
    let mut volume = open(image, Access::Write);
    let metadata = crate::volume::NewMetadata {
        permissions: 0o600,
        modified: 2_000_000_000,
    };
    volume.write(path, metadata, &mut content).unwrap();
    volume.finish().unwrap();
}

fn write(home: &Path, name: &str, content: &str) {
    let path = home.join("www").join(name);
    std::fs::write(&path, content).unwrap();
    // Another time, whatever the clock's steps are.
    let file = File::options().write(true).open(&path).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_900_000_000);
    file.set_modified(time).unwrap();
}

fn assert_sound(image: &Path) {
    let problems = open(image, Access::Read).check().unwrap().unwrap();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn what_changed_in_the_folder_changes_and_what_the_guest_wrote_stays() {
    let home = site();
    let disk = disk(home.path());
    write(home.path(), "old.html", "old");
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(content(&disk.image, b"/index.html").unwrap(), b"hello");
    guest_writes(&disk.image, b"/access.log", b"one request");
    guest_writes(&disk.image, b"/pages/mine", b"guest's");

    write(home.path(), "new.html", "new");
    write(home.path(), "index.html", "hello again");
    std::fs::remove_file(home.path().join("www/old.html")).unwrap();
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(content(&disk.image, b"/new.html").unwrap(), b"new");
    assert_eq!(
        content(&disk.image, b"/index.html").unwrap(),
        b"hello again"
    );
    assert_eq!(content(&disk.image, b"/old.html"), None);
    assert_eq!(
        content(&disk.image, b"/access.log").unwrap(),
        b"one request"
    );

    // A folder that goes leaves what the guest has in it.
    std::fs::remove_dir_all(home.path().join("www/pages")).unwrap();
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(content(&disk.image, b"/pages/mine").unwrap(), b"guest's");
    assert_eq!(content(&disk.image, b"/pages/empty.html"), None);
    assert_sound(&disk.image);
}

#[test]
fn a_file_that_guest_and_folder_changed_stays_the_guests() {
    let home = site();
    let disk = disk(home.path());
    prepare(&disk, &quiet()).unwrap();
    guest_writes(&disk.image, b"/index.html", b"guest's");
    write(home.path(), "index.html", "folder's");
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(content(&disk.image, b"/index.html").unwrap(), b"guest's");
    std::fs::remove_file(home.path().join("www/index.html")).unwrap();
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(content(&disk.image, b"/index.html").unwrap(), b"guest's");
    assert_sound(&disk.image);
}

#[test]
fn a_file_that_becomes_a_folder_and_back_is_followed() {
    let home = site();
    let disk = disk(home.path());
    prepare(&disk, &quiet()).unwrap();
    let index = home.path().join("www/index.html");
    std::fs::remove_file(&index).unwrap();
    std::fs::create_dir(&index).unwrap();
    write(home.path(), "index.html/inner", "inner");
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(
        content(&disk.image, b"/index.html/inner").unwrap(),
        b"inner"
    );
    std::fs::remove_dir_all(&index).unwrap();
    write(home.path(), "index.html", "a file again");
    prepare(&disk, &quiet()).unwrap();
    assert_eq!(
        content(&disk.image, b"/index.html").unwrap(),
        b"a file again"
    );
    assert_sound(&disk.image);
}

#[test]
fn an_image_whose_folder_did_not_change_is_left_alone() {
    let home = site();
    let disk = disk(home.path());
    prepare(&disk, &quiet()).unwrap();
    guest_writes(&disk.image, b"/index.html", b"guest's");
    let before = std::fs::read(&disk.image).unwrap();
    prepare(&disk, &quiet()).unwrap();
    assert!(std::fs::read(&disk.image).unwrap() == before);
}

#[test]
fn an_image_without_room_is_named_and_stays_sound() {
    let home = site();
    let disk = disk(home.path());
    prepare(&disk, &quiet()).unwrap();
    std::fs::write(home.path().join("www/large"), vec![1; 8 << 20]).unwrap();
    let error = prepare(&disk, &quiet()).unwrap_err();
    assert!(error.to_string().contains("has no room for"), "{error}");
    assert!(!crate::failure::advice(&error).is_empty());
    assert_eq!(content(&disk.image, b"/large"), None);
    assert_sound(&disk.image);
}

#[test]
fn an_image_of_unknown_origin_is_not_changed() {
    let home = site();
    let disk = disk(home.path());
    prepare(&disk, &quiet()).unwrap();
    std::fs::remove_file(home.path().join(".web.img.toro")).unwrap();
    prepare(&disk, &quiet()).unwrap();
    write(home.path(), "new.html", "new");
    let error = prepare(&disk, &quiet()).unwrap_err();
    assert!(error.to_string().contains("nothing says what"), "{error}");
    for foreign in [b"precious".to_vec(), vec![0; 4096]] {
        std::fs::write(&disk.image, &foreign).unwrap();
        let error = prepare(&disk, &quiet()).unwrap_err();
        assert!(error.to_string().contains("is not an image"), "{error}");
        assert_eq!(std::fs::read(&disk.image).unwrap(), foreign);
    }
}

#[test]
fn a_missing_image_or_folder_is_named() {
    let home = tempfile::tempdir().unwrap();
    let without_folder = Disk {
        from: None,
        ..disk(home.path())
    };
    let error = prepare(&without_folder, &quiet()).unwrap_err().to_string();
    assert!(
        error.starts_with("there is no disk image ") && error.ends_with("web.img"),
        "{error}"
    );
    let error = prepare(&disk(home.path()), &quiet())
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("there is no folder "), "{error}");
}
