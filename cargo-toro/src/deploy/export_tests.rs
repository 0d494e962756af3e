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
    assert_eq!(job.matches('{').count(), job.matches('}').count(), "{job}");
    let address = Some("10.0.0.2/24".parse().unwrap());
    let fixed = super::tests::settings(Overrides {
        address,
        ..Overrides::default()
    });
    assert!(nomad(&machine(&fixed)).is_err());
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
