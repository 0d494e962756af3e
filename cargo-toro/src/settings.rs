//! What a virtual machine shall be: the metadata of the program with the options of the command line over it.

use crate::address::{AddressV4, AddressV6};
use crate::command_line::CommandLine;
use crate::failure::Failure;
use crate::metadata::Metadata;
use crate::values::{
    DiskBus, DiskOption, EmbedOption, LogLevel, Machine, Nic, Placement, Port, Size, Variable,
};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Memory where nothing else is said.
const DEFAULT_MEMORY: Size = Size::mib(128);
const MAX_CORES: u32 = 64;
const MAX_MEMORY: Size = Size::mib(512 << 10);

/// Options that go before the metadata. Lists of ports, disks and arguments replace the metadata's; variables join it.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--memory`
    pub memory: Option<Size>,
    /// `--cores`
    pub cores: Option<u32>,
    /// `--placement`
    pub placement: Option<Placement>,
    /// Columns and rows of the terminal that the console is shown in.
    pub terminal: Option<(u16, u16)>,
    /// `--machine`
    pub machine: Option<Machine>,
    /// `--nic`
    pub nic: Option<Nic>,
    /// `--disk-bus`
    pub disk_bus: Option<DiskBus>,
    /// `--disk`, relative to the current folder.
    pub disks: Vec<DiskOption>,
    /// `--embed`, relative to the current folder; joins the metadata's.
    pub embed: Vec<EmbedOption>,
    /// `--publish`
    pub ports: Vec<Port>,
    /// `--address`
    pub address: Option<AddressV4>,
    /// `--address6`
    pub address_v6: Option<AddressV6>,
    /// `--env`
    pub env: Vec<Variable>,
    /// What follows `--`.
    pub args: Vec<String>,
    /// `--log`
    pub log: Option<LogLevel>,
}

/// A data disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image file.
    pub image: PathBuf,
    /// The folder it is made from.
    pub from: Option<PathBuf>,
    /// Its size when it is made.
    pub size: Option<Size>,
    /// Where the guest mounts it; not at all without.
    pub mount: Option<String>,
}

/// A folder that goes into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embed {
    /// The folder of the host.
    pub folder: PathBuf,
    /// Where the guest has it: absolute, without a slash at the end.
    pub path: String,
}

/// The settings of one virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the options")]
pub struct Settings {
    pub memory: Size,
    pub cores: u32,
    pub placement: Option<Placement>,
    /// Columns and rows.
    pub terminal: Option<(u16, u16)>,
    pub machine: Machine,
    pub nic: Nic,
    pub disk_bus: DiskBus,
    pub disks: Vec<Disk>,
    pub embed: Vec<Embed>,
    pub ports: Vec<Port>,
    pub address: AddressV4,
    pub address_v6: AddressV6,
    pub env: BTreeMap<String, String>,
    /// Where in the guest the program starts; without it in `/`.
    pub directory: Option<String>,
    pub args: Vec<String>,
    pub log: Option<LogLevel>,
    pub preemption: Option<bool>,
}

impl Settings {
    /// Settles `overrides` over `metadata`; `folder` is the program's, to which the metadata's paths are relative.
    pub fn new(metadata: &Metadata, folder: &Path, overrides: Overrides) -> Result<Self> {
        let machine = overrides.machine.or(metadata.machine).unwrap_or_default();
        let nic = overrides.nic.or(metadata.nic).unwrap_or_default();
        // Without a card, the ports that a program usually publishes lead nowhere; asking for one is a mistake.
        let or_metadata = |ports: Vec<Port>| match nic {
            _ if !ports.is_empty() => ports,
            Nic::None => Vec::new(),
            _ => metadata.ports.clone(),
        };
        let mut env = metadata.env.clone();
        env.extend(
            overrides
                .env
                .into_iter()
                .map(|variable| (variable.name, variable.value)),
        );
        let settings = Self {
            memory: overrides
                .memory
                .or(metadata.memory)
                .unwrap_or(DEFAULT_MEMORY),
            cores: overrides.cores.or(metadata.cores).unwrap_or(1),
            placement: overrides.placement.or(metadata.placement),
            terminal: overrides.terminal,
            machine,
            nic,
            disk_bus: overrides.disk_bus.or(metadata.disk_bus).unwrap_or_default(),
            disks: disks(metadata, folder, overrides.disks),
            embed: embed(metadata, folder, overrides.embed),
            ports: or_metadata(overrides.ports),
            address: overrides.address.or(metadata.address).unwrap_or_default(),
            address_v6: overrides
                .address_v6
                .or(metadata.address6)
                .unwrap_or_default(),
            env,
            directory: None,
            args: if overrides.args.is_empty() {
                metadata.args.clone()
            } else {
                overrides.args
            },
            log: overrides.log,
            preemption: metadata.preemption,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The kernel's command line. `has_exit_device` says that the machine is QEMU with `isa-debug-exit`.
    pub fn command_line(&self, has_exit_device: bool) -> CommandLine {
        let mut line = CommandLine::default();
        match (self.nic, self.address) {
            (Nic::None, _) => line.push("net=off"),
            (_, AddressV4::Dhcp) => {}
            (_, address) => line.push(&format!("net={address}")),
        }
        match (self.nic, self.address_v6) {
            (Nic::None, _) | (_, AddressV6::Auto) => {}
            (_, address) => line.push(&format!("net6={address}")),
        }
        for (index, disk) in self.disks.iter().enumerate() {
            if let Some(mount) = &disk.mount {
                line.push(&format!("mount=disk{index}:{mount}"));
            }
        }
        self.env
            .iter()
            .for_each(|(name, value)| line.push(&format!("env={name}={value}")));
        self.directory
            .iter()
            .for_each(|path| line.push(&format!("directory={path}")));
        self.placement
            .iter()
            .for_each(|rule| line.push(&format!("placement={rule}")));
        self.log
            .iter()
            .for_each(|level| line.push(&format!("log={level}")));
        if self.preemption == Some(false) {
            line.push("preempt=off");
        }
        if let Some((columns, rows)) = self.terminal {
            line.push(&format!("terminal={columns}x{rows}"));
        }
        if has_exit_device {
            line.push("exit=0xf4");
        }
        line.push_arguments(&self.args);
        line
    }

    fn check(&self) -> Result<()> {
        if !(1..=MAX_CORES).contains(&self.cores) {
            bail!(Failure::new(
                format!("{} cores are not possible", self.cores),
                format!("choose 1 to {MAX_CORES} cores")
            ));
        }
        if self.memory.bytes < 1 << 20 || self.memory.bytes > MAX_MEMORY.bytes {
            let help = "choose 1 MiB to 512 GiB with --memory; most programs need 8 MiB or more";
            bail!(Failure::new(
                format!("{} of memory are not possible", self.memory),
                help
            ));
        }
        if self.machine == Machine::Microvm && !matches!(self.nic, Nic::Virtio | Nic::None) {
            let help = "leave --nic away, or choose --nic virtio or another --machine";
            bail!(Failure::new(
                "the machine microvm has no PCI, so it can have no network card but virtio",
                help
            ));
        }
        if self.machine == Machine::Microvm && self.disk_bus != DiskBus::Virtio {
            let help = "leave --disk-bus away, or choose --disk-bus virtio or another --machine";
            bail!(Failure::new(
                "the machine microvm has no PCI, so it can have no disks but virtio",
                help
            ));
        }
        if self.nic == Nic::None && !self.ports.is_empty() {
            let help = "leave --publish away or choose another --nic";
            bail!(Failure::new(
                "ports cannot be published without a network card",
                help
            ));
        }
        self.check_ports()?;
        self.check_mounts()
    }

    fn check_ports(&self) -> Result<()> {
        for (index, port) in self.ports.iter().enumerate() {
            if self.ports[..index].iter().any(|other| other.clashes(port)) {
                bail!(Failure::new(
                    format!("port {} of the host is to lead to two places", port.host),
                    "give each a port of its own: HOST:GUEST"
                ));
            }
        }
        Ok(())
    }

    fn check_mounts(&self) -> Result<()> {
        for (index, disk) in self.disks.iter().enumerate() {
            if self.disks[..index]
                .iter()
                .any(|other| other.image == disk.image)
            {
                bail!(Failure::new(
                    format!("the disk {} is named twice", disk.image.display()),
                    "name each image once: two disks cannot write to one"
                ));
            }
        }
        let mut mounts: Vec<_> = self
            .disks
            .iter()
            .filter_map(|disk| disk.mount.as_deref())
            .collect();
        if let Some(relative) = mounts.iter().find(|mount| !mount.starts_with('/')) {
            bail!(Failure::new(
                format!("`{relative}` is not a place to mount at"),
                "write it as a path from `/`"
            ));
        }
        for mount in &mounts {
            if let Some((_, option)) = mount.split_once(',').filter(|(_, option)| *option != "ro") {
                bail!(Failure::new(
                    format!("`{option}` behind the place `{mount}` says nothing"),
                    "what may follow a comma is `ro`: the disk is only read"
                ));
            }
        }
        mounts.sort_unstable();
        if let Some(pair) = mounts.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!(Failure::new(
                format!("two disks are to be mounted at `{}`", pair[0]),
                "give each a place of its own"
            ));
        }
        self.check_embedded(&mounts)
    }

    /// What is embedded is read-only and of one piece: nothing else can be in it.
    fn check_embedded(&self, mounts: &[&str]) -> Result<()> {
        let is_in = |path: &str, other: &str| {
            path.strip_prefix(other)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        for (index, embed) in self.embed.iter().enumerate() {
            let path = &embed.path;
            let other = self.embed[..index].iter().map(|other| &*other.path);
            let clash = other
                .chain(mounts.iter().copied())
                .find(|other| is_in(other, path) || (*other != "/" && is_in(path, other)));
            if let Some(other) = clash {
                bail!(Failure::new(
                    format!(
                        "an embedded folder at `{path}` and what is to be at `{other}` would overlap"
                    ),
                    "give each a place of its own"
                ));
            }
        }
        Ok(())
    }
}

fn disks(metadata: &Metadata, folder: &Path, options: Vec<DiskOption>) -> Vec<Disk> {
    let mut disks: Vec<Disk> = if options.is_empty() {
        let keys = metadata.disks.iter();
        keys.map(|key| Disk {
            image: folder.join(&key.image),
            from: key.from.as_ref().map(|from| folder.join(from)),
            size: key.size,
            mount: key.mount.clone(),
        })
        .collect()
    } else {
        let options = options.into_iter();
        options
            .map(|disk| Disk {
                image: disk.image.into(),
                from: None,
                size: None,
                mount: disk.mount,
            })
            .collect()
    };
    let is_root_named = disks.iter().any(|disk| disk.mount.as_deref() == Some("/"));
    if let Some(first) = disks
        .first_mut()
        .filter(|first| first.mount.is_none() && !is_root_named)
    {
        first.mount = Some("/".into());
    }
    disks
}

fn embed(metadata: &Metadata, folder: &Path, options: Vec<EmbedOption>) -> Vec<Embed> {
    let keys = metadata.embed.iter().map(|key| Embed {
        folder: folder.join(&key.folder),
        path: key.path.clone(),
    });
    let options = options.into_iter().map(|option| Embed {
        folder: option.folder.into(),
        path: option.path,
    });
    // An option for a place goes before the key for it.
    let options: Vec<_> = options.collect();
    keys.filter(|key| options.iter().all(|option| option.path != key.path))
        .chain(options.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::DiskKey;

    fn settle(metadata: &Metadata, overrides: Overrides) -> Result<Settings> {
        Settings::new(metadata, Path::new("web"), overrides)
    }

    fn web() -> Metadata {
        Metadata {
            memory: Some(Size::mib(16)),
            ports: vec!["8080:80".parse().unwrap()],
            disks: vec![DiskKey {
                image: "web.img".into(),
                from: Some("www".into()),
                mount: None,
                size: None,
            }],
            env: BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())]),
            args: vec!["x".into()],
            ..Metadata::default()
        }
    }

    #[test]
    fn preemption_is_switched_off_by_the_metadata() {
        let words = |preemption| {
            let metadata = Metadata {
                preemption,
                ..Metadata::default()
            };
            let settings = Settings::new(&metadata, Path::new("."), Overrides::default());
            settings.unwrap().command_line(false).as_str().to_owned()
        };
        assert_eq!(words(None), "");
        assert_eq!(words(Some(true)), "");
        assert_eq!(words(Some(false)), "preempt=off");
    }

    #[test]
    fn options_go_before_the_metadata() {
        let overrides = Overrides {
            memory: Some(Size::mib(8)),
            ports: vec!["9090:80".parse().unwrap()],
            env: vec!["B=3".parse().unwrap()],
            args: vec!["y".into(), "z".into()],
            ..Overrides::default()
        };
        let settings = settle(&web(), overrides).unwrap();
        assert_eq!(settings.memory, Size::mib(8));
        assert_eq!(
            settings
                .ports
                .iter()
                .map(|port| port.host)
                .collect::<Vec<_>>(),
            [9090]
        );
        assert_eq!(
            settings.command_line(true).as_str(),
            "mount=disk0:/ env=A=1 env=B=3 exit=0xf4 arg=y arg=z"
        );
    }

    #[test]
    fn paths_of_the_metadata_are_the_programs() {
        let settings = settle(&web(), Overrides::default()).unwrap();
        assert_eq!(settings.disks[0].image, Path::new("web/web.img"));
        assert_eq!(
            settings.disks[0].from.as_deref(),
            Some(Path::new("web/www"))
        );
    }

    #[test]
    fn the_first_disk_is_the_root_unless_another_is() {
        let mounts = |disks: &[&str]| {
            let disks = disks.iter().map(|disk| disk.parse().unwrap()).collect();
            let settings = settle(
                &Metadata::default(),
                Overrides {
                    disks,
                    ..Overrides::default()
                },
            )
            .unwrap();
            settings.command_line(false).as_str().to_owned()
        };
        assert_eq!(mounts(&[]), "");
        assert_eq!(
            mounts(&["a.img", "b.img:/data"]),
            "mount=disk0:/ mount=disk1:/data"
        );
        assert_eq!(mounts(&["a.img", "b.img:/"]), "mount=disk1:/");
        assert_eq!(mounts(&["a.img:/data", "b.img"]), "mount=disk0:/data");
    }

    #[test]
    fn two_disks_cannot_share_a_place() {
        let disks = vec!["a.img:/d".parse().unwrap(), "b.img:/d".parse().unwrap()];
        let error = settle(
            &Metadata::default(),
            Overrides {
                disks,
                ..Overrides::default()
            },
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "two disks are to be mounted at `/d`");
    }

    #[test]
    fn what_is_named_twice_is_refused() {
        let refused = |ports: &[&str], disks: &[&str]| {
            let overrides = Overrides {
                ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
                disks: disks.iter().map(|disk| disk.parse().unwrap()).collect(),
                ..Overrides::default()
            };
            settle(&Metadata::default(), overrides).map_err(|error| error.to_string())
        };
        let port = Err("port 8080 of the host is to lead to two places".to_owned());
        assert_eq!(refused(&["8080:80", "8080:81"], &[]).map(drop), port);
        assert_eq!(
            refused(&["8080:80", "0.0.0.0:8080:80"], &[]).map(drop),
            port
        );
        for ports in [
            ["8080:80", "8081:80"],
            ["8080:80", "8080:80/udp"],
            ["8080:80", "127.0.0.2:8080:80"],
            ["0:80", "0:81"],
        ] {
            assert!(refused(&ports, &[]).is_ok(), "{ports:?}");
        }
        let disk = Err("the disk a.img is named twice".to_owned());
        assert_eq!(refused(&[], &["a.img:/a", "a.img:/b"]).map(drop), disk);
        let option = Err("`rw` behind the place `/a,rw` says nothing".to_owned());
        assert_eq!(refused(&[], &["a.img:/a,rw"]).map(drop), option);
        assert!(refused(&[], &["a.img:/a,ro"]).is_ok());
    }

    #[test]
    fn embedded_folders_join_the_metadatas_and_do_not_overlap() {
        let metadata = Metadata {
            embed: vec!["site:/www".parse().unwrap(), "etc:/etc".parse().unwrap()],
            ..Metadata::default()
        };
        let with = |embed: &[&str], disks: &[&str]| {
            let overrides = Overrides {
                embed: embed.iter().map(|text| text.parse().unwrap()).collect(),
                disks: disks.iter().map(|text| text.parse().unwrap()).collect(),
                ..Overrides::default()
            };
            settle(&metadata, overrides)
        };
        let settings = with(&["other:/www"], &["a.img"]).unwrap();
        let found: Vec<_> = settings
            .embed
            .iter()
            .map(|embed| (embed.folder.as_path(), embed.path.as_str()))
            .collect();
        let expected = [(Path::new("web/etc"), "/etc"), (Path::new("other"), "/www")];
        assert_eq!(found, expected);
        assert!(with(&["x:/etc/more"], &[]).is_err());
        assert!(with(&[], &["a.img:/www"]).is_err());
        assert!(with(&[], &["a.img:/www/data"]).is_err());
        assert!(with(&["x:/wwwx"], &["a.img:/data"]).is_ok());
    }

    #[test]
    fn impossible_machines_are_refused() {
        let refused = |overrides| settle(&Metadata::default(), overrides).is_err();
        assert!(refused(Overrides {
            cores: Some(0),
            ..Overrides::default()
        }));
        assert!(refused(Overrides {
            cores: Some(65),
            ..Overrides::default()
        }));
        assert!(refused(Overrides {
            memory: Some(Size { bytes: 4096 }),
            ..Overrides::default()
        }));
        let machine = Some(Machine::Microvm);
        for nic in [
            Nic::E1000,
            Nic::E1000e,
            Nic::Vmxnet3,
            Nic::Ne2000,
            Nic::Tulip,
            Nic::Pcnet,
            Nic::Rtl8139,
        ] {
            assert!(refused(Overrides {
                machine,
                nic: Some(nic),
                ..Overrides::default()
            }));
        }
        for bus in [
            DiskBus::Ide,
            DiskBus::Ahci,
            DiskBus::Nvme,
            DiskBus::Pvscsi,
            DiskBus::VirtioScsi,
        ] {
            assert!(refused(Overrides {
                machine,
                disk_bus: Some(bus),
                ..Overrides::default()
            }));
        }
        let ports = vec!["8080:80".parse().unwrap()];
        assert!(refused(Overrides {
            nic: Some(Nic::None),
            ports,
            ..Overrides::default()
        }));
    }

    #[test]
    fn microvm_has_virtio_devices_by_default() {
        let machine = Some(Machine::Microvm);
        let settings = settle(
            &Metadata::default(),
            Overrides {
                machine,
                ..Overrides::default()
            },
        )
        .unwrap();
        assert_eq!(
            (settings.nic, settings.disk_bus),
            (Nic::Virtio, DiskBus::Virtio)
        );
    }

    #[test]
    fn a_fixed_address_reaches_the_kernel() {
        let address = Some("10.0.2.15/24,gateway=10.0.2.2".parse().unwrap());
        let settings = settle(
            &Metadata::default(),
            Overrides {
                address,
                address_v6: Some("2001:db8::15/64".parse().unwrap()),
                ..Overrides::default()
            },
        )
        .unwrap();
        assert_eq!(
            settings.command_line(false).as_str(),
            "net=10.0.2.15/24,gateway=10.0.2.2 net6=2001:db8::15/64"
        );
    }
}
