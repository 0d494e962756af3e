use super::*;
use crate::metadata::Metadata;
use crate::settings::Overrides;

fn settings(overrides: Overrides) -> Settings {
    Settings::new(&Metadata::default(), Path::new("/p"), overrides).unwrap()
}

fn machine(settings: &Settings) -> Machine<'_> {
    Machine {
        name: "web".into(),
        settings,
        image: "web.img".into(),
        disks: vec!["data.img".into()],
        command_line: "mount=disk0:/".into(),
    }
}

fn with_ports() -> Settings {
    let ports = vec!["8080:80".parse().unwrap(), "53:53/udp".parse().unwrap()];
    let disks = vec!["data.img:/".parse().unwrap()];
    settings(Overrides {
        ports,
        disks,
        cores: Some(2),
        ..Overrides::default()
    })
}

#[test]
fn kubernetes_gets_machine_claim_and_service() {
    let settings = with_ports();
    let list = kubevirt(&machine(&settings), "registry/web:1").unwrap();
    let item = |kind: &str| {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["kind"] == kind)
            .unwrap()
            .clone()
    };
    let spec = &item("VirtualMachine")["spec"]["template"]["spec"];
    assert_eq!(
        spec["volumes"][0]["containerDisk"]["image"],
        "registry/web:1"
    );
    assert_eq!(spec["domain"]["cpu"]["cores"], 2);
    assert_eq!(spec["domain"]["memory"]["guest"], "131072Ki");
    // Every device has its volume, and every interface its network, of the same name.
    let names = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].to_string())
            .collect()
    };
    assert_eq!(
        names(&spec["domain"]["devices"]["disks"]),
        names(&spec["volumes"])
    );
    assert_eq!(
        names(&spec["domain"]["devices"]["interfaces"]),
        names(&spec["networks"])
    );
    let service = item("Service");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 80);
    assert_eq!(service["spec"]["ports"][1]["protocol"], "UDP");
    let claim = &spec["volumes"][1]["persistentVolumeClaim"]["claimName"];
    assert_eq!(&item("PersistentVolumeClaim")["metadata"]["name"], claim);
}

#[test]
fn nomad_leads_its_ports_into_the_user_network() {
    let settings = with_ports();
    let job = nomad(&machine(&settings)).unwrap();
    assert!(
        job.contains("hostfwd=tcp::${NOMAD_PORT_tcp80}-:80,hostfwd=udp::${NOMAD_PORT_udp53}-:53"),
        "{job}"
    );
    assert!(
        job.contains("port \"tcp80\" {\n        static = 8080"),
        "{job}"
    );
    let address = Some("10.0.0.2/24".parse().unwrap());
    let fixed = super::tests::settings(Overrides {
        address,
        ..Overrides::default()
    });
    assert!(nomad(&machine(&fixed)).is_err());
}

/// Read by a parser of HCL that is none of ours.
#[test]
fn the_job_is_hcl_whatever_names_are_in_it() {
    let settings = with_ports();
    let mut machine = machine(&settings);
    machine.disks = vec!["a \"b\" ${c} %{d} \\e\t.img".into()];
    let job: Value = hcl::from_str(&nomad(&machine).unwrap()).unwrap();
    assert_eq!(job["variable"]["image"]["type"], "${string}");
    let group = &job["job"]["web"]["group"]["web"];
    let ports = &group["network"]["port"];
    assert_eq!(
        (&ports["tcp80"]["static"], &ports["udp53"]["static"]),
        (&Value::from(8080), &Value::from(53))
    );
    let task = &group["task"]["web"];
    assert_eq!(task["driver"], "qemu");
    assert_eq!(task["artifact"]["source"], "${var.image}");
    assert_eq!(task["config"]["image_path"], "local/web.img");
    assert_eq!(task["resources"]["cores"], 2);
    assert_eq!(task["service"]["port"], "tcp80");
    let args = task["config"]["args"].as_array().unwrap();
    let network =
        "user,id=net0,hostfwd=tcp::${NOMAD_PORT_tcp80}-:80,hostfwd=udp::${NOMAD_PORT_udp53}-:53";
    assert!(args.contains(&network.into()), "{args:?}");
    let file = "format=raw,if=virtio,file=/var/lib/toro/web/disks/a \"b\" ${c} %{d} \\e\t.img";
    assert!(args.contains(&file.into()), "{args:?}");
}

#[test]
fn firecracker_and_cloud_hypervisor_load_the_elf_themselves() {
    let settings = with_ports();
    let config = firecracker(&machine(&settings)).unwrap();
    assert_eq!(config["boot-source"]["boot_args"], "mount=disk0:/");
    assert_eq!(config["drives"][0]["is_root_device"], false);
    assert_eq!(config["machine-config"]["mem_size_mib"], 128);
    let config = cloud_hypervisor(&machine(&settings));
    assert_eq!(config["payload"]["kernel"], "web.img");
    assert_eq!(config["net"][0]["tap"], "tap-web");
}

#[test]
fn what_a_target_does_not_have_is_refused() {
    let many = settings(Overrides {
        cores: Some(33),
        ..Overrides::default()
    });
    assert!(
        firecracker(&machine(&many))
            .unwrap_err()
            .to_string()
            .contains("32 cores")
    );
    let card = settings(Overrides {
        nic: Some(Nic::Tulip),
        ..Overrides::default()
    });
    assert!(firecracker(&machine(&card)).is_err());
    assert!(kubevirt(&machine(&card), "x").is_err());
}

/// What an object may have: its place (keys from the top, lists left out), the keys that it must have, those that it may have.
type Shape = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// Demands that every object of a description has a known place, all that it must have and nothing that is not known there.
fn demand_shape(value: &Value, place: &str, shapes: &[Shape]) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| demand_shape(one, place, shapes)),
        Value::Object(object) => {
            let shape = shapes.iter().find(|(known, ..)| *known == place);
            let (_, must, may) = shape.unwrap_or_else(|| panic!("unknown object: {place}"));
            for key in *must {
                assert!(object.contains_key(*key), "{place} lacks {key}");
            }
            for (key, value) in object {
                let is_known = must.contains(&key.as_str()) || may.contains(&key.as_str());
                assert!(is_known, "{place} has {key}, which is unknown there");
                demand_shape(
                    value,
                    format!("{place}/{key}").trim_start_matches('/'),
                    shapes,
                );
            }
        }
        _ => {}
    }
}

/// After src/firecracker/swagger/firecracker.yaml of Firecracker 1.7, the definitions `FullVmConfiguration` and what it leads to.
#[test]
fn firecracker_gets_no_key_that_its_schema_lacks() {
    let settings = with_ports();
    let config = firecracker(&machine(&settings)).unwrap();
    let shapes: [Shape; 5] = [
        (
            "",
            &[],
            &[
                "balloon",
                "boot-source",
                "drives",
                "machine-config",
                "network-interfaces",
            ],
        ),
        (
            "boot-source",
            &["kernel_image_path"],
            &["boot_args", "initrd_path"],
        ),
        (
            "drives",
            &["drive_id", "is_root_device", "path_on_host"],
            &["is_read_only", "cache_type", "io_engine"],
        ),
        (
            "machine-config",
            &["mem_size_mib", "vcpu_count"],
            &["smt", "huge_pages"],
        ),
        (
            "network-interfaces",
            &["host_dev_name", "iface_id"],
            &["guest_mac"],
        ),
    ];
    demand_shape(&config, "", &shapes);
}

/// After vmm/src/api/openapi/cloud-hypervisor.yaml of Cloud Hypervisor, the schema `VmConfig` and what it leads to.
#[test]
fn cloud_hypervisor_gets_no_key_that_its_schema_lacks() {
    let settings = with_ports();
    let config = cloud_hypervisor(&machine(&settings));
    let shapes: [Shape; 8] = [
        (
            "",
            &["payload"],
            &["cpus", "memory", "disks", "net", "serial", "console"],
        ),
        ("cpus", &["boot_vcpus", "max_vcpus"], &["topology"]),
        ("memory", &["size"], &["shared", "hugepages"]),
        ("payload", &[], &["firmware", "kernel", "cmdline"]),
        ("disks", &[], &["path", "readonly", "direct", "num_queues"]),
        ("net", &[], &["tap", "ip", "mask", "mac", "num_queues"]),
        ("serial", &["mode"], &["file", "socket"]),
        ("console", &["mode"], &["file"]),
    ];
    demand_shape(&config, "", &shapes);
}

/// After the types of KubeVirt's API `kubevirt.io/v1` (staging/src/kubevirt.io/api/core/v1/schema.go and types.go) and those of Kubernetes
/// that it stands on.
#[test]
fn kubernetes_gets_no_key_that_its_types_lack() {
    const SPEC: &str = "spec/template/spec";
    let settings = with_ports();
    let list = kubevirt(&machine(&settings), "registry/web:1").unwrap();
    let shapes = |kind: &str| -> Vec<Shape> {
        let top: Shape = ("", &["apiVersion", "kind", "metadata", "spec"], &[]);
        let metadata: Shape = ("metadata", &["name"], &["labels"]);
        let mut shapes = vec![top, metadata];
        shapes.extend::<Vec<Shape>>(match kind {
            "VirtualMachine" => vec![
                ("spec", &["template"], &["runStrategy", "running"]),
                ("spec/template", &["spec"], &["metadata"]),
                ("spec/template/metadata", &[], &["labels"]),
                ("spec/template/metadata/labels", &[], &["app"]),
                (SPEC, &["domain"], &["volumes", "networks"]),
                (
                    "spec/template/spec/domain",
                    &["devices"],
                    &["cpu", "memory"],
                ),
                ("spec/template/spec/domain/cpu", &[], &["cores"]),
                ("spec/template/spec/domain/memory", &[], &["guest"]),
                (
                    "spec/template/spec/domain/devices",
                    &[],
                    &["disks", "interfaces", "autoattachPodInterface"],
                ),
                (
                    "spec/template/spec/domain/devices/disks",
                    &["name"],
                    &["bootOrder", "disk"],
                ),
                (
                    "spec/template/spec/domain/devices/disks/disk",
                    &[],
                    &["bus"],
                ),
                (
                    "spec/template/spec/domain/devices/interfaces",
                    &["name"],
                    &["masquerade", "model", "ports"],
                ),
                (
                    "spec/template/spec/domain/devices/interfaces/masquerade",
                    &[],
                    &[],
                ),
                (
                    "spec/template/spec/domain/devices/interfaces/ports",
                    &["port"],
                    &["name", "protocol"],
                ),
                (
                    "spec/template/spec/volumes",
                    &["name"],
                    &["containerDisk", "persistentVolumeClaim"],
                ),
                ("spec/template/spec/volumes/containerDisk", &["image"], &[]),
                (
                    "spec/template/spec/volumes/persistentVolumeClaim",
                    &["claimName"],
                    &["readOnly"],
                ),
                ("spec/template/spec/networks", &["name"], &["pod"]),
                ("spec/template/spec/networks/pod", &[], &[]),
            ],
            "Service" => vec![
                ("spec", &["ports"], &["selector", "type"]),
                ("spec/selector", &[], &["app"]),
                ("spec/ports", &["port"], &["name", "protocol", "targetPort"]),
            ],
            "PersistentVolumeClaim" => vec![
                ("spec", &["resources"], &["accessModes", "volumeMode"]),
                ("spec/resources", &["requests"], &[]),
                ("spec/resources/requests", &["storage"], &[]),
            ],
            other => panic!("unknown kind {other}"),
        });
        shapes
    };
    for item in list["items"].as_array().unwrap() {
        let kind = item["kind"].as_str().unwrap();
        demand_shape(item, "", &shapes(kind));
    }
}
