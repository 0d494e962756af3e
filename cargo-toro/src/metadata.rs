//! `[package.metadata.toro]`: what a program's Cargo.toml says about the machine it wants.
//!
//! ```toml
//! [package.metadata.toro]
//! memory = "64M"
//! cores = 1
//! placement = "least-loaded"
//! machine = "pc"
//! nic = "e1000"
//! disk-bus = "ide"
//! address = "dhcp"
//! address6 = "auto"
//! ports = ["8080:80"]
//! disks = [{ image = "web.img", from = "www", mount = "/", size = "64M" }]
//! file-systems = ["fat"]
//! embed = ["site:/www"]
//! env = { GREETING = "hello" }
//! args = ["--fast"]
//! preemption = true
//! ```

use crate::address::{AddressV4, AddressV6};
use crate::failure::Failure;
use crate::values::{DiskBus, EmbedOption, Machine, Nic, Placement, Port, Size};
use crate::volume::Kind as FileSystem;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The keys, all optional. Options of the command line go before them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Memory of the machine.
    pub memory: Option<Size>,
    /// Cores of the machine.
    pub cores: Option<u32>,
    /// Where threads start.
    pub placement: Option<Placement>,
    /// Machine model.
    pub machine: Option<Machine>,
    /// Network card.
    pub nic: Option<Nic>,
    /// What its disks hang on.
    #[serde(rename = "disk-bus")]
    pub disk_bus: Option<DiskBus>,
    /// Disks in the order the guest finds them.
    #[serde(default)]
    pub disks: Vec<DiskKey>,
    /// File systems that the program wants besides ext2, which is always there. Those on the disks above are found without being named.
    #[serde(rename = "file-systems", default)]
    pub file_systems: Vec<FileSystem>,
    /// Folders that go into the image, read-only.
    #[serde(default)]
    pub embed: Vec<EmbedOption>,
    /// Published ports.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// The guest's address.
    pub address: Option<AddressV4>,
    /// The guest's address of IPv6.
    pub address6: Option<AddressV6>,
    /// The program's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The program's arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Whether threads that compute for long are interrupted for others (as when nothing is said), or keep their core.
    pub preemption: Option<bool>,
}

/// One disk of the metadata. Paths are relative to the program's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskKey {
    /// The image file.
    pub image: String,
    /// The folder it is made from when it is missing or older than what is in the folder.
    pub from: Option<String>,
    /// Where the guest mounts it.
    pub mount: Option<String>,
    /// The size of the image when it is made; without it, as large as the content of its folder needs. With a size and no folder an
    /// empty one is made.
    pub size: Option<Size>,
}

/// Reads the key `toro` of a package's metadata; `manifest` is named in errors.
pub fn parse(package_metadata: &serde_json::Value, manifest: &Path) -> Result<Metadata> {
    let Some(value) = package_metadata.get("toro") else {
        return Ok(Metadata::default());
    };
    Metadata::deserialize(value)
        .map_err(|error| {
            let help =
                "the keys are memory, cores, placement, machine, nic, disk-bus, disks, file-systems, embed, ports, address, address6, env, args and preemption";
            Failure::new(error.to_string(), help)
        })
        .with_context(|| format!("{}: [package.metadata.toro]", manifest.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse_keys(keys: serde_json::Value) -> Result<Metadata> {
        parse(&json!({ "toro": keys }), Path::new("web/Cargo.toml"))
    }

    #[test]
    fn every_key_is_read() {
        let metadata = parse_keys(json!({
            "memory": 64, "cores": 2, "placement": "round-robin", "machine": "q35", "nic": "virtio", "disk-bus": "virtio", "address": "dhcp", "address6": "off", "ports": ["8080:80"],
            "disks": [{ "image": "web.img", "from": "www", "mount": "/", "size": "8M" }],
            "file-systems": ["fat"], "embed": ["site:/www"], "env": { "A": "b" }, "args": ["x"], "preemption": false
        }))
        .unwrap();
        assert_eq!(metadata.memory, Some(Size::mib(64)));
        assert_eq!(
            (metadata.machine, metadata.nic),
            (Some(Machine::Q35), Some(Nic::Virtio))
        );
        assert_eq!(metadata.placement, Some(Placement::RoundRobin));
        assert_eq!(metadata.disk_bus, Some(DiskBus::Virtio));
        assert_eq!(metadata.disks[0].size, Some(Size::mib(8)));
        assert_eq!(metadata.address6, Some(AddressV6::Off));
        assert_eq!(metadata.ports[0].guest, 80);
        assert_eq!(metadata.embed[0].path, "/www");
        assert_eq!(metadata.file_systems, [FileSystem::Fat]);
        assert_eq!(metadata.preemption, Some(false));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file() {
        let error = format!("{:#}", parse_keys(json!({ "memroy": "64M" })).unwrap_err());
        assert!(
            error.starts_with("web/Cargo.toml: [package.metadata.toro]: "),
            "{error}"
        );
        assert!(error.contains("unknown field `memroy`"), "{error}");
        let error = parse_keys(json!({ "disks": [{ "image": "a", "form": "b" }] })).unwrap_err();
        assert!(
            format!("{error:#}").contains("unknown field `form`"),
            "{error:#}"
        );
    }

    #[test]
    fn a_bad_value_is_named() {
        let error = parse_keys(json!({ "ports": ["80"] })).unwrap_err();
        assert!(
            format!("{error:#}").contains("`80` is not a port mapping"),
            "{error:#}"
        );
    }

    #[test]
    fn other_tools_metadata_is_not_ours() {
        assert_eq!(
            parse(&json!({ "docs": {} }), Path::new("x")).unwrap(),
            Metadata::default()
        );
        assert_eq!(
            parse(&json!(null), Path::new("x")).unwrap(),
            Metadata::default()
        );
    }
}
