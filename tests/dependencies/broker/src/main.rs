//! Servers of other protocols than HTTP, with their clients in the same machine: a broker of MQTT, a name server, and a proxy that copies both ways.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const MQTT_PORT: u16 = 1883;
const CLIENTS: usize = 50;
const MESSAGES: usize = 100;

const BROKER: &str = r#"
id = 0
[router]
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "v4-1"
listen = "127.0.0.1:1883"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
"#;

fn start_broker() {
    let source = config::File::from_str(BROKER, config::FileFormat::Toml);
    let settings = config::Config::builder()
        .add_source(source)
        .build()
        .unwrap();
    let settings: rumqttd::Config = settings.try_deserialize().unwrap();
    let mut broker = rumqttd::Broker::new(settings);
    std::thread::spawn(move || broker.start().unwrap());
}

/// Many clients hear all that one says.
async fn mqtt() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    start_broker();
    while TcpStream::connect(("127.0.0.1", MQTT_PORT)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let client = |name: String| {
        let mut options = MqttOptions::new(name, "127.0.0.1", MQTT_PORT);
        options.set_keep_alive(Duration::from_secs(30));
        AsyncClient::new(options, 100)
    };
    let (heard, mut all_heard) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for number in 0..CLIENTS {
        let (client, mut events) = client(format!("client-{number}"));
        client.subscribe("room/+", QoS::AtLeastOnce).await.unwrap();
        let heard = heard.clone();
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            while count < MESSAGES {
                match events.poll().await.unwrap() {
                    Event::Incoming(Packet::SubAck(_)) => heard.send(()).unwrap(),
                    Event::Incoming(Packet::Publish(_)) => count += 1,
                    _ => {}
                }
            }
            drop(client);
        }));
    }
    for _ in 0..CLIENTS {
        all_heard.recv().await.unwrap();
    }
    let (speaker, mut events) = client("speaker".to_owned());
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    for number in 0..MESSAGES {
        let topic = format!("room/{}", number % 7);
        let text = format!("message {number}");
        speaker
            .publish(topic, QoS::AtLeastOnce, false, text)
            .await
            .unwrap();
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// A zone is served over UDP, and over TCP what is too long for that.
async fn names() {
    use hickory_resolver::config::{NameServerConfig, ResolverConfig};
    use hickory_resolver::name_server::TokioConnectionProvider;
    use hickory_server::authority::{Catalog, ZoneType};
    use hickory_server::proto::rr::{LowerName, Name, RData, Record, rdata::SOA};
    use hickory_server::proto::xfer::Protocol;
    use hickory_server::store::in_memory::InMemoryAuthority;

    let name = |text: &str| Name::from_str(text).unwrap();
    let origin = name("lab.test.");
    let mut zone = InMemoryAuthority::empty(origin.clone(), ZoneType::Primary, false);
    let mut add = |of: Name, data: RData| {
        zone.upsert_mut(Record::from_rdata(of, 60, data), 1);
    };
    add(
        origin.clone(),
        RData::SOA(SOA::new(
            origin.clone(),
            name("root.lab.test."),
            1,
            1,
            1,
            1,
            1,
        )),
    );
    add(
        name("www.lab.test."),
        RData::A(Ipv4Addr::new(192, 0, 2, 7).into()),
    );
    for last in 0..100 {
        add(
            name("many.lab.test."),
            RData::A(Ipv4Addr::new(10, 0, 0, last).into()),
        );
    }
    let mut catalog = Catalog::new();
    catalog.upsert(LowerName::from(&origin), vec![Arc::new(zone)]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = hickory_server::ServerFuture::new(catalog);
    server.register_socket(socket);
    let listener = TcpListener::bind(address).await.unwrap();
    server.register_listener(listener, Duration::from_secs(5));

    let resolver = |protocol: Protocol| {
        let mut settings = ResolverConfig::new();
        settings.add_name_server(NameServerConfig::new(address, protocol));
        let provider = TokioConnectionProvider::default();
        hickory_resolver::Resolver::builder_with_config(settings, provider).build()
    };
    let by_datagrams = resolver(Protocol::Udp);
    let www = by_datagrams.lookup_ip("www.lab.test.").await.unwrap();
    let www: Vec<IpAddr> = www.iter().collect();
    assert_eq!(www, [IpAddr::from([192, 0, 2, 7])]);
    assert!(by_datagrams.lookup_ip("nobody.lab.test.").await.is_err());
    // Too long for a datagram.
    let many = resolver(Protocol::Tcp)
        .lookup_ip("many.lab.test.")
        .await
        .unwrap();
    assert_eq!(many.iter().count(), 100);
}

async fn proxy_to(target: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .unwrap();
            });
        }
    });
    address
}

/// What goes through two proxies, one behind the other, comes back whole when only one side has ended.
async fn proxies() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let echo = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.into_split();
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                to.shutdown().await.unwrap();
            });
        }
    });
    let first = proxy_to(echo).await;
    let last = proxy_to(first).await;
    let mut visits = Vec::new();
    for number in 0..20_u8 {
        visits.push(tokio::spawn(async move {
            let sent: Vec<u8> = (0..300_000)
                .map(|at: u32| (at >> 3) as u8 ^ number)
                .collect();
            let (mut from, mut to) = TcpStream::connect(last).await.unwrap().into_split();
            let bytes = sent.clone();
            let sending = tokio::spawn(async move {
                to.write_all(&bytes).await.unwrap();
                to.shutdown().await.unwrap();
            });
            let mut got = Vec::new();
            from.read_to_end(&mut got).await.unwrap();
            sending.await.unwrap();
            assert!(got == sent);
        }));
    }
    for visit in visits {
        visit.await.unwrap();
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() {
    mqtt().await;
    println!("mqtt ok");
    names().await;
    println!("names ok");
    proxies().await;
    println!("proxies ok");
    println!("all done");
}
