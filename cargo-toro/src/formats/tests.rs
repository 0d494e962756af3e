//! What we write, as QEMU's own tool reads it.

use super::*;
use std::path::{Path, PathBuf};
use std::process::Command;

type Writer = fn(&Raw<'_>, &mut dyn Write) -> io::Result<()>;

/// Our writer, the name that qemu-img has for the format, and whether it can check it.
const FORMATS: [(&str, Writer, &str, bool); 6] = [
    ("qcow2", write_qcow2, "qcow2", true),
    ("vmdk", write_vmdk, "vmdk", true),
    ("stream.vmdk", write_stream_optimized, "vmdk", false),
    ("vdi", write_vdi, "vdi", true),
    ("vhd", write_vhd, "vpc", false),
    ("vhdx", write_vhdx, "vhdx", true),
];

/// Disks with little and with much in them, with odd ends, and with blocks far from each other.
fn samples() -> Vec<Vec<u8>> {
    let mut sparse = vec![0; (20 << 20) + 512];
    for at in [0, 5 << 20, (11 << 20) + 1, (20 << 20) + 511] {
        sparse[at] = 1 + (at % 251) as u8;
    }
    let noise = |len: usize| {
        let mut state = 1u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| next()).collect::<Vec<u8>>()
    };
    vec![vec![0; 100], noise(3 << 20), noise((1 << 20) + 700), sparse]
}

fn qemu_img(arguments: &[&str], files: &[&Path]) {
    let output = Command::new("qemu-img")
        .args(arguments)
        .args(files)
        .output();
    let output = output.expect("qemu-img (Debian: qemu-utils) is needed for this test");
    assert!(
        output.status.success(),
        "qemu-img {arguments:?} {files:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The length of the disk in a file, in bytes.
fn virtual_len(format: &str, path: &Path) -> u64 {
    let output = Command::new("qemu-img")
        .args(["info", "--output=json", "-f", format])
        .arg(path)
        .output()
        .unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    info["virtual-size"].as_u64().unwrap()
}

fn written(folder: &Path, name: &str, raw: &Raw<'_>, write: Writer) -> PathBuf {
    let path = folder.join(name);
    let mut file = io::BufWriter::new(File::create(&path).unwrap());
    write(raw, &mut file).unwrap();
    file.flush().unwrap();
    path
}

#[test]
fn qemu_reads_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    for (number, sample) in samples().into_iter().enumerate() {
        let plain = folder.path().join("plain");
        let mut padded = sample.clone();
        padded.resize(sample.len().next_multiple_of(1 << 20), 0);
        std::fs::write(&plain, &padded).unwrap();
        for (name, write, format, is_checked) in FORMATS {
            let path = written(
                folder.path(),
                &format!("{number}.{name}"),
                &Raw::memory(&sample),
                write,
            );
            if is_checked {
                qemu_img(&["check", "-f", format], &[&path]);
            }
            qemu_img(&["compare", "-f", "raw", "-F", format], &[&plain, &path]);
            assert_eq!(virtual_len(format, &path), padded.len() as u64, "{name}");
        }
    }
}

#[test]
fn equal_disks_give_equal_files_from_memory_and_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let sample = samples().remove(2);
    let plain = folder.path().join("plain");
    std::fs::write(&plain, &sample).unwrap();
    let file = File::open(&plain).unwrap();
    for (name, write, _, _) in FORMATS {
        let one = written(folder.path(), name, &Raw::memory(&sample), write);
        let other = written(
            folder.path(),
            &format!("other.{name}"),
            &Raw::file(&file).unwrap(),
            write,
        );
        assert!(
            std::fs::read(one).unwrap() == std::fs::read(other).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn zeros_take_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let sample = samples().remove(3);
    for (name, write, _, _) in FORMATS.iter().filter(|row| row.0 != "vhd") {
        let path = written(folder.path(), name, &Raw::memory(&sample), *write);
        let len = std::fs::metadata(path).unwrap().len();
        assert!(len <= 8 << 20, "{name} has {len} bytes");
    }
}

#[test]
fn a_fixed_vhd_is_the_disk_and_a_footer() {
    let folder = tempfile::tempdir().unwrap();
    let sample = samples().remove(1);
    let path = written(folder.path(), "x.vhd", &Raw::memory(&sample), write_vhd);
    let content = std::fs::read(path).unwrap();
    assert!(content[..sample.len()] == sample);
    assert_eq!(content.len(), sample.len() + 512);
    assert_eq!(&content[sample.len()..][..8], b"conectix");
}

/// What VirtualBox asks for and QEMU does not: a VDI's sector size for the BIOS, and a name of its own for a VMDK.
#[test]
fn virtualbox_knows_a_vdi_and_a_vmdk_by_their_fields() {
    let folder = tempfile::tempdir().unwrap();
    let raw = Raw::memory(&[7; 512]);
    let vdi = std::fs::read(written(folder.path(), "x.vdi", &raw, write_vdi)).unwrap();
    assert_eq!(vdi[468..472], 512_u32.to_le_bytes());
    let vmdk = std::fs::read(written(folder.path(), "x.vmdk", &raw, write_vmdk)).unwrap();
    let text = String::from_utf8_lossy(&vmdk[512..][..4096]);
    let uuid = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
        let value = lines.find_map(|(name, value)| (name == key).then_some(value));
        uuid::Uuid::parse_str(value.unwrap().trim_matches('"')).unwrap()
    };
    assert!(!uuid("ddb.uuid.image").is_nil());
    assert_ne!(uuid("ddb.uuid.image"), uuid("ddb.uuid.modification"));
    assert!(uuid("ddb.uuid.parent").is_nil());
}

#[test]
fn an_appliance_is_an_archive_whose_description_and_sums_fit_its_disks() {
    let [boot, data] = [samples().remove(1), samples().remove(2)];
    let appliance = Appliance {
        name: "a & b",
        cores: 2,
        memory_bytes: 16 << 20,
        disks: vec![Raw::memory(&boot), Raw::memory(&data)],
        has_network: true,
    };
    let mut archive = Vec::new();
    appliance.write(&mut archive).unwrap();
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(archive.as_slice())
        .unpack(folder.path())
        .unwrap();
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (ovf, manifest) = (text("a---b.ovf"), text("a---b.mf"));
    assert!(ovf.contains("<Name>a &amp; b</Name>"), "{ovf}");
    assert!(
        ovf.contains("<rasd:VirtualQuantity>16</rasd:VirtualQuantity>"),
        "{ovf}"
    );
    for line in manifest.lines() {
        let (name, sum) = line
            .strip_prefix("SHA256(")
            .unwrap()
            .split_once(")= ")
            .unwrap();
        use sha2::Digest as _;
        let content = std::fs::read(folder.path().join(name)).unwrap();
        let real: String = sha2::Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(sum, real, "{name}");
    }
    assert_eq!(manifest.lines().count(), 3);
    let plain = folder.path().join("plain");
    let mut padded = data.clone();
    padded.resize(data.len().next_multiple_of(1 << 20), 0);
    std::fs::write(&plain, padded).unwrap();
    let disk = folder.path().join("a---b-disk2.vmdk");
    qemu_img(&["compare", "-f", "raw", "-F", "vmdk"], &[&plain, &disk]);
}
