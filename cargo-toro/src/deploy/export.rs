//! A program for machines that others run: the image, its data disks, and the file that says what machine it wants.
//!
//! The files follow KubeVirt's API `kubevirt.io/v1`, Nomad's job specification with its QEMU driver, Firecracker's `--config-file`
//! and Cloud Hypervisor's `VmConfig` (the body of `vm.create`). Kubernetes takes JSON as it takes YAML.

use super::options::{Export, Target};
use super::service::check_name;
use super::up::settings;
use crate::build::{self, Format};
use crate::compile;
use crate::disks;
use crate::failure::Failure;
use crate::parts;
use crate::settings::Settings;
use crate::shell::Shell;
use crate::values::{Nic, Protocol};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::Path;

/// Firecracker's `vcpu_count` goes no further.
const MAX_FIRECRACKER_CORES: u32 = 32;

/// A machine to be described.
struct Machine<'a> {
    /// The service's name, as all of the targets take it (RFC 1123).
    name: String,
    settings: &'a Settings,
    /// File names of image and data disks, beside the description.
    image: String,
    disks: Vec<String>,
    command_line: String,
}

/// Builds the program and writes all that the target needs into a folder.
pub(super) fn run(options: &Export, shell: &Shell) -> Result<()> {
    let which = &options.which;
    let program = which.find()?;
    check_name(&program.name)?;
    let settings = settings(&program, which, &options.machine, &[])?;
    let format = match options.target {
        Target::Kubevirt | Target::Nomad => Format::Raw,
        Target::Firecracker | Target::CloudHypervisor => Format::Elf,
    };
    let target = options.target.to_possible_value();
    let target = target.as_ref().map_or("", |value| value.get_name());
    let folder = options.output.clone();
    let folder = folder.unwrap_or_else(|| {
        program
            .output_folder()
            .join("export")
            .join(target)
            .join(&program.name)
    });
    let image = build::image_path(Path::new(""), &program.name, format);
    let mut machine = Machine {
        name: program.name.to_ascii_lowercase().replace(['_', '.'], "-"),
        settings: &settings,
        image: image.display().to_string(),
        disks: Vec::new(),
        command_line: settings.command_line(false).as_str().to_owned(),
    };
    for disk in &settings.disks {
        let name = disk
            .image
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name == machine.image || machine.disks.contains(&name) {
            let help = "give each disk a name of its own in the metadata";
            bail!(Failure::new(
                format!("two images have the name {name}"),
                help
            ));
        }
        machine.disks.push(name);
    }
    // All that can be wrong is found before anything is built.
    let registry_name = options
        .image
        .clone()
        .unwrap_or_else(|| format!("{}:latest", machine.name));
    let files: Vec<(&str, String)> = match options.target {
        Target::Kubevirt => vec![
            (
                "virtual-machine.json",
                pretty(&kubevirt(&machine, &registry_name)?)?,
            ),
            ("Dockerfile", dockerfile(&machine.image)),
        ],
        Target::Nomad => vec![("job.nomad.hcl", nomad(&machine)?)],
        Target::Firecracker => vec![("firecracker.json", pretty(&firecracker(&machine)?)?)],
        Target::CloudHypervisor => {
            vec![(
                "cloud-hypervisor.json",
                pretty(&cloud_hypervisor(&machine))?,
            )]
        }
    };
    settings
        .disks
        .iter()
        .try_for_each(|disk| disks::prepare(disk, shell))?;
    let mut how = which.options();
    how.has_fat = disks::have_fat(&settings.disks);
    let linked = compile::compile(&program, &how, shell)?;
    // Loaders of an ELF are given the command line by the description.
    let contents = build::Contents {
        command_line: if format == Format::Elf {
            ""
        } else {
            &machine.command_line
        },
        embed: &settings.embed,
    };
    build::write_image(
        &linked,
        format,
        contents,
        &folder.join(&image),
        Some(settings.memory),
    )?;
    for (disk, name) in settings.disks.iter().zip(&machine.disks) {
        let path = folder.join(name);
        if path.exists() {
            shell.note(format_args!(
                "{} is there already and stays as it is",
                path.display()
            ));
            continue;
        }
        std::fs::copy(&disk.image, &path).with_context(|| {
            format!("cannot copy {} to {}", disk.image.display(), path.display())
        })?;
    }
    for (name, content) in &files {
        parts::replace(&folder.join(name), content.as_bytes())?;
    }
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    shell.status(
        "Exported",
        format_args!(
            "{} and the images to {}",
            names.join(", "),
            folder.display()
        ),
    );
    shell.status("Next", next(options.target, &machine, &registry_name));
    Ok(())
}

fn next(target: Target, machine: &Machine<'_>, registry_name: &str) -> String {
    match target {
        Target::Kubevirt => format!(
            "docker build -t {registry_name} . && docker push {registry_name} && kubectl apply -f virtual-machine.json"
        ),
        Target::Nomad => "nomad job run -var image=URL job.nomad.hcl".into(),
        Target::Firecracker => "firecracker --no-api --config-file firecracker.json".into(),
        Target::CloudHypervisor => format!(
            "cloud-hypervisor --api-socket {0}.sock & ch-remote --api-socket {0}.sock create cloud-hypervisor.json",
            machine.name
        ),
    }
}

fn pretty(value: &Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// A container image of KubeVirt has one disk under `/disk`, which QEMU's user 107 reads.
fn dockerfile(image: &str) -> String {
    format!("FROM scratch\nADD --chown=107:107 {image} /disk/\n")
}

/// A `VirtualMachine`, a `Service` for its ports, and a claim for each data disk.
fn kubevirt(machine: &Machine<'_>, registry_name: &str) -> Result<Value> {
    let (name, settings) = (&machine.name, machine.settings);
    let model = match settings.nic {
        Nic::Virtio => "virtio",
        Nic::E1000 => "e1000",
        Nic::E1000e => "e1000e",
        Nic::Ne2000 => "ne2k_pci",
        Nic::Pcnet => "pcnet",
        Nic::Rtl8139 => "rtl8139",
        Nic::None => "",
        Nic::Vmxnet3 | Nic::Tulip => bail!(Failure::new(
            "KubeVirt does not have this network card",
            "choose --nic virtio, e1000 or e1000e"
        )),
    };
    let mut devices = vec![json!({ "name": "boot", "bootOrder": 1, "disk": { "bus": "virtio" } })];
    let mut volumes = vec![json!({ "name": "boot", "containerDisk": { "image": registry_name } })];
    let mut items = Vec::new();
    for (index, disk) in settings.disks.iter().enumerate() {
        let claim = format!("{name}-disk{index}");
        let bytes = std::fs::metadata(&disk.image).map_or(0, |file| file.len());
        let size = disk.size.map_or(bytes, |size| size.bytes).max(1 << 20);
        devices.push(json!({ "name": format!("disk{index}"), "disk": { "bus": "virtio" } }));
        volumes.push(json!({
            "name": format!("disk{index}"),
            "persistentVolumeClaim": { "claimName": claim }
        }));
        items.push(json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": claim },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": size.to_string() } }
            }
        }));
    }
    let ports: Vec<_> = settings
        .ports
        .iter()
        .map(|port| {
            let (name, protocol) = match port.protocol {
                Protocol::Tcp => ("tcp", "TCP"),
                Protocol::Udp => ("udp", "UDP"),
            };
            (
                format!("{name}-{}", port.guest),
                protocol,
                port.host,
                port.guest,
            )
        })
        .collect();
    let mut domain = json!({
        "cpu": { "cores": settings.cores },
        "memory": { "guest": format!("{}Ki", settings.memory.bytes >> 10) },
        "devices": { "disks": devices }
    });
    let mut spec = json!({ "volumes": volumes });
    if settings.nic == Nic::None {
        domain["devices"]["autoattachPodInterface"] = json!(false);
    } else {
        let inside: Vec<_> = ports.iter().map(|(name, protocol, _, guest)| {
            json!({ "name": name, "protocol": protocol, "port": guest })
        }).collect();
        domain["devices"]["interfaces"] =
            json!([{ "name": "default", "masquerade": {}, "model": model, "ports": inside }]);
        spec["networks"] = json!([{ "name": "default", "pod": {} }]);
    }
    spec["domain"] = domain;
    items.push(json!({
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": { "name": name },
        "spec": {
            "runStrategy": "Always",
            "template": { "metadata": { "labels": { "app": name } }, "spec": spec }
        }
    }));
    if !ports.is_empty() {
        let outside: Vec<_> = ports.iter().map(|(name, protocol, host, guest)| {
            json!({ "name": name, "protocol": protocol, "port": host, "targetPort": guest })
        }).collect();
        items.push(json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": name },
            "spec": { "selector": { "app": name }, "ports": outside }
        }));
    }
    Ok(json!({ "apiVersion": "v1", "kind": "List", "items": items }))
}

/// A job with one machine. Nomad chooses a port of its host for each of the service's unless it is written here.
fn nomad(machine: &Machine<'_>) -> Result<String> {
    let settings = machine.settings;
    let model = match settings.nic {
        Nic::None => None,
        Nic::Virtio => Some("virtio-net-pci"),
        Nic::E1000 => Some("e1000"),
        Nic::E1000e => Some("e1000e"),
        Nic::Vmxnet3 => Some("vmxnet3"),
        Nic::Ne2000 => Some("ne2k_pci"),
        Nic::Tulip => Some("tulip"),
        Nic::Pcnet => Some("pcnet"),
        Nic::Rtl8139 => Some("rtl8139"),
    };
    let mut ports = String::new();
    let mut services = String::new();
    let mut network = "user,id=net0".to_owned();
    for port in &settings.ports {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let label = format!("{protocol}{}", port.guest);
        ports += &format!(
            "      port \"{label}\" {{\n        static = {}\n      }}\n",
            port.host
        );
        network += &format!(
            ",hostfwd={protocol}::${{NOMAD_PORT_{label}}}-:{}",
            port.guest
        );
        if port.protocol == Protocol::Tcp {
            services += &format!(
                "      service {{\n        name     = \"{0}-{label}\"\n        port     = \"{label}\"\n        provider = \"nomad\"\n      }}\n",
                machine.name
            );
        }
    }
    // QEMU's user network gives the address of the metadata only where it is told; Nomad's forwards go to what DHCP gives.
    if settings.address != crate::address::AddressV4::Dhcp {
        bail!(Failure::new(
            "Nomad's QEMU driver leads ports to the address that DHCP gives",
            "use --address dhcp"
        ));
    }
    let mut words = ["-cpu", "max", "-smp"].map(hcl).to_vec();
    words.push(hcl(&settings.cores.to_string()));
    if let Some(model) = model {
        // Nomad puts its ports into the templates.
        words.extend([hcl("-netdev"), format!("\"{network}\"")]);
        words.extend([
            hcl("-device"),
            hcl(&format!("{model},netdev=net0,romfile=")),
        ]);
    }
    for disk in &machine.disks {
        let file = format!("/var/lib/toro/{}/disks/{disk}", machine.name).replace(',', ",,");
        words.extend([
            hcl("-drive"),
            hcl(&format!("format=raw,if=virtio,file={file}")),
        ]);
    }
    let words: Vec<_> = words
        .iter()
        .map(|word| format!("          {word},\n"))
        .collect();
    let network = match ports.is_empty() {
        true => String::new(),
        false => format!("    network {{\n{ports}    }}\n"),
    };
    let name = hcl(&machine.name);
    Ok(format!(
        "variable \"image\" {{\n  type        = string\n  description = \"Where the clients fetch {image} from: a URL that artifact blocks take\"\n}}\n\n\
         job {name} {{\n  type = \"service\"\n\n  group {name} {{\n{network}    task {name} {{\n      driver = \"qemu\"\n\n      \
         artifact {{\n        source = var.image\n      }}\n\n      config {{\n        image_path        = {path}\n        \
         accelerator       = \"kvm\"\n        drive_interface   = \"virtio\"\n        graceful_shutdown = true\n        args = [\n{words}        ]\n      }}\n\n      \
         resources {{\n        cores  = {cores}\n        memory = {memory}\n      }}\n{services}    }}\n  }}\n}}\n",
        image = machine.image,
        path = hcl(&format!("local/{}", machine.image)),
        words = words.concat(),
        cores = settings.cores,
        memory = settings.memory.bytes.div_ceil(1 << 20),
    ))
}

/// A string of HCL (HCL Native Syntax Specification, "Template Literals"), in which nothing is a template.
fn hcl(text: &str) -> String {
    let mut string = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' | '"' => string.extend(['\\', c]),
            '\n' => string += "\\n",
            '\r' => string += "\\r",
            '\t' => string += "\\t",
            '{' if string.ends_with(['$', '%']) => {
                // A doubled sign stands for itself.
                let sign = string.pop();
                string.extend(sign.into_iter().chain(sign).chain([c]));
            }
            _ => string.push(c),
        }
    }
    string.push('"');
    string
}

/// The tap interface that a machine is given where there is no user network.
fn tap(machine: &Machine<'_>) -> String {
    // Names of interfaces have at most 15 characters.
    format!("tap-{}", machine.name).chars().take(15).collect()
}

fn firecracker(machine: &Machine<'_>) -> Result<Value> {
    let settings = machine.settings;
    let (cores, nic) = (settings.cores, settings.nic);
    if cores > MAX_FIRECRACKER_CORES {
        let message = format!("Firecracker has at most {MAX_FIRECRACKER_CORES} cores, not {cores}");
        bail!(Failure::new(message, "choose fewer --cores"));
    }
    let drives: Vec<_> = machine
        .disks
        .iter()
        .enumerate()
        .map(|(index, disk)| {
            json!({
                "drive_id": format!("disk{index}"),
                "path_on_host": disk,
                "is_root_device": false,
                "is_read_only": false
            })
        })
        .collect();
    let mut config = json!({
        "boot-source": { "kernel_image_path": machine.image, "boot_args": machine.command_line },
        "drives": drives,
        "machine-config": { "vcpu_count": cores, "mem_size_mib": settings.memory.bytes.div_ceil(1 << 20) }
    });
    match nic {
        Nic::None => {}
        Nic::Virtio => {
            config["network-interfaces"] =
                json!([{ "iface_id": "net0", "host_dev_name": tap(machine) }]);
        }
        _ => bail!(Failure::new(
            "Firecracker has virtio network cards only",
            "choose --nic virtio"
        )),
    }
    Ok(config)
}

fn cloud_hypervisor(machine: &Machine<'_>) -> Value {
    let settings = machine.settings;
    let disks: Vec<_> = machine
        .disks
        .iter()
        .map(|disk| json!({ "path": disk, "readonly": false }))
        .collect();
    let mut config = json!({
        "cpus": { "boot_vcpus": settings.cores, "max_vcpus": settings.cores },
        "memory": { "size": settings.memory.bytes },
        "payload": { "kernel": machine.image, "cmdline": machine.command_line },
        "serial": { "mode": "Tty" },
        "console": { "mode": "Off" }
    });
    if !disks.is_empty() {
        config["disks"] = json!(disks);
    }
    if settings.nic != Nic::None {
        config["net"] = json!([{ "tap": tap(machine) }]);
    }
    config
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;
