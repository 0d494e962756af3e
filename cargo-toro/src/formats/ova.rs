//! OVA, a machine with its disks in one file: VirtualBox, VMware (DMTF DSP0243, Open Virtualization Format 1.1).

use super::{Raw, write_stream_optimized};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, Seek, SeekFrom, Write};

/// A machine.
pub(crate) struct Appliance<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Processors.
    pub(crate) cores: u32,
    /// Memory in bytes; rounded up to whole mebibytes.
    pub(crate) memory_bytes: u64,
    /// The boot disk, then the data disks; on IDE, so at most four.
    pub(crate) disks: Vec<Raw<'a>>,
    /// Whether it has a network card.
    pub(crate) has_network: bool,
}

/// Disks that the two IDE channels take.
const MOST_DISKS: usize = 4;
/// As a tar has it; one time for all, so that equal machines give equal files.
const MODE: u32 = 0o644;

impl Appliance<'_> {
    /// Writes the archive: the description, its manifest, the disks.
    pub(crate) fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        if self.disks.len() > MOST_DISKS {
            return Err(io::Error::other("an OVA has four disks at most"));
        }
        let mut disks = Vec::new();
        for (index, raw) in self.disks.iter().enumerate() {
            let mut file = tempfile::tempfile()?;
            write_stream_optimized(raw, &mut io::BufWriter::new(&mut file))?;
            let mut hasher = Sha256::new();
            file.seek(SeekFrom::Start(0))?;
            let len_bytes = io::copy(&mut file, &mut hasher)?;
            file.seek(SeekFrom::Start(0))?;
            disks.push((
                format!("{}-disk{}.vmdk", self.file_name(), index + 1),
                file,
                len_bytes,
                hex(&hasher.finalize()),
            ));
        }
        let sizes = self.disks.iter().map(Raw::len_bytes);
        let files: Vec<_> = disks
            .iter()
            .zip(sizes)
            .map(|((name, _, len_bytes, _), capacity)| (name.as_str(), *len_bytes, capacity))
            .collect();
        let description = self.description(&files);
        let ovf = format!("{}.ovf", self.file_name());
        let mut manifest = format!("SHA256({ovf})= {}\n", hex(&Sha256::digest(&description)));
        for (name, _, _, sum) in &disks {
            let _ = writeln!(manifest, "SHA256({name})= {sum}");
        }
        let mut archive = tar::Builder::new(output);
        append(
            &mut archive,
            &ovf,
            description.len() as u64,
            &mut description.as_bytes(),
        )?;
        let manifest_name = format!("{}.mf", self.file_name());
        append(
            &mut archive,
            &manifest_name,
            manifest.len() as u64,
            &mut manifest.as_bytes(),
        )?;
        for (name, file, len_bytes, _) in &mut disks {
            append(&mut archive, name, *len_bytes, file)?;
        }
        archive.finish()
    }

    /// The name, of characters that all file systems and URLs take.
    fn file_name(&self) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        self.name
            .chars()
            .map(|c| if is_plain(c) { c } else { '-' })
            .collect()
    }

    /// The OVF envelope. `files`: name, length of the file, capacity of the disk.
    fn description(&self, files: &[(&str, u64, u64)]) -> String {
        let name = escaped(self.name);
        let (mut references, mut disks, mut drives) = (String::new(), String::new(), String::new());
        for (index, (file, len_bytes, capacity)) in files.iter().enumerate() {
            let number = index + 1;
            let _ = write!(
                references,
                "\n    <File ovf:id=\"file{number}\" ovf:href=\"{file}\" ovf:size=\"{len_bytes}\"/>"
            );
            let _ = write!(
                disks,
                "\n    <Disk ovf:diskId=\"disk{number}\" ovf:fileRef=\"file{number}\" ovf:capacity=\"{capacity}\" \
                 ovf:capacityAllocationUnits=\"byte\" ovf:format=\"{FORMAT}\"/>"
            );
            let (controller, address) = (3 + index / 2, index % 2);
            drives.push_str(&item(&[
                ("AddressOnParent", &address.to_string()),
                ("ElementName", &format!("disk {number}")),
                ("HostResource", &format!("ovf:/disk/disk{number}")),
                ("InstanceID", &(10 + index).to_string()),
                ("Parent", &controller.to_string()),
                ("ResourceType", "17"),
            ]));
        }
        let memory_mib = self.memory_bytes.div_ceil(1 << 20);
        let mut hardware = item(&[
            ("AllocationUnits", "hertz * 10^6"),
            ("ElementName", "processors"),
            ("InstanceID", "1"),
            ("ResourceType", "3"),
            ("VirtualQuantity", &self.cores.to_string()),
        ]);
        hardware.push_str(&item(&[
            ("AllocationUnits", "byte * 2^20"),
            ("ElementName", "memory"),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", &memory_mib.to_string()),
        ]));
        for channel in 0..2 {
            hardware.push_str(&item(&[
                ("Address", &channel.to_string()),
                ("ElementName", &format!("IDE channel {channel}")),
                ("InstanceID", &(3 + channel).to_string()),
                ("ResourceSubType", "PIIX4"),
                ("ResourceType", "5"),
            ]));
        }
        hardware.push_str(&drives);
        let mut networks = String::new();
        if self.has_network {
            networks.push_str(
                "\n  <NetworkSection>\n    <Info>Networks</Info>\n    \
                 <Network ovf:name=\"network\"><Description>The service's network</Description></Network>\n  \
                 </NetworkSection>",
            );
            hardware.push_str(&item(&[
                ("AutomaticAllocation", "true"),
                ("Connection", "network"),
                ("ElementName", "network card"),
                ("InstanceID", "20"),
                ("ResourceSubType", "E1000"),
                ("ResourceType", "10"),
            ]));
        }
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
    xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>{references}
  </References>
  <DiskSection>
    <Info>Disks</Info>{disks}
  </DiskSection>{networks}
  <VirtualSystem ovf:id="{name}">
    <Info>A service with its kernel</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="102">
      <Info>No operating system; 64-bit</Info>
      <Description>Other_64</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-08 virtualbox-2.2</vssd:VirtualSystemType>
      </System>{hardware}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
        )
    }
}

/// What the disks are (VMware's name of the format).
const FORMAT: &str = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// An item of the hardware: fields of CIM's class, in the order of the alphabet as its schema wants them.
fn item(fields: &[(&str, &str)]) -> String {
    let fields = fields
        .iter()
        .map(|(name, value)| format!("\n        <rasd:{name}>{}</rasd:{name}>", escaped(value)));
    format!(
        "\n      <Item>{}\n      </Item>",
        fields.collect::<String>()
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    len_bytes: u64,
    content: &mut dyn io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(len_bytes);
    header.set_mode(MODE);
    header.set_mtime(0);
    header.set_cksum();
    archive.append(&header, content)
}
