//! Names: this machine is its own name server, and answers as servers do that are slow, short of room, or hostile.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

const CNAME: u16 = 5;
const AAAA: u16 = 28;

fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn decode(mut bytes: &[u8]) -> (String, &[u8]) {
    let mut labels = Vec::new();
    while bytes[0] != 0 {
        let (label, rest) = bytes[1..].split_at(usize::from(bytes[0]));
        labels.push(String::from_utf8_lossy(label).into_owned());
        bytes = rest;
    }
    (labels.join("."), &bytes[1..])
}

fn record(owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = encode(owner);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 0, 60]);
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// The answer to a question, over a datagram or a connection; none to what is not to be answered.
fn answer(question: &[u8], is_datagram: bool) -> Option<Vec<u8>> {
    let (name, rest) = decode(&question[12..]);
    let kind = u16::from_be_bytes([rest[0], rest[1]]);
    let mut message = question.to_vec();
    message[2] = 0x81;
    let address = |last: u8| match kind {
        AAAA => Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, last.into())
            .octets()
            .to_vec(),
        _ => Ipv4Addr::new(192, 0, 2, last).octets().to_vec(),
    };
    let mut records = Vec::new();
    match name.as_str() {
        "plain.example" => records.push(record(&name, kind, &address(1))),
        "six.example" if kind == AAAA => records.push(record(&name, AAAA, &address(6))),
        "six.example" => {}
        "alias.example" => {
            records.push(record(&name, CNAME, &encode("middle.example")));
            records.push(record("middle.example", CNAME, &encode("end.example")));
            records.push(record("end.example", kind, &address(2)));
            // Nobody asked for that.
            records.push(record("plain.example", kind, &address(66)));
        }
        // An alias of which the server says no more: it has to be asked again.
        "away.example" => records.push(record(&name, CNAME, &encode("plain.example"))),
        "circle.example" => records.push(record(&name, CNAME, &encode("circle.example"))),
        "large.example" if is_datagram => message[2] |= 2,
        "large.example" => {
            let all = (1..=60).map(|last| record(&name, kind, &address(last)));
            records.extend(all);
        }
        "short.one.example" => records.push(record(&name, kind, &address(3))),
        "silent.example" => return None,
        "broken.example" => {
            message.extend([0xC0, 0xFF, 1, 2, 3]);
            message[7] = 200;
            return Some(message);
        }
        _ => message[3] |= 3,
    }
    message[7] = records.len() as u8;
    message.extend(records.concat());
    Some(message)
}

fn serve() -> io::Result<()> {
    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53))?;
    let connections = TcpListener::bind((Ipv4Addr::LOCALHOST, 53))?;
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 600];
        loop {
            let (count, from) = datagrams.recv_from(&mut buffer)?;
            if let Some(answer) = answer(&buffer[..count], true) {
                // Somebody who guesses is faster.
                let mut forged = answer.clone();
                forged[0] ^= 1;
                datagrams.send_to(&forged, from)?;
                datagrams.send_to(&answer, from)?;
            }
        }
    });
    thread::spawn(move || -> io::Result<()> {
        loop {
            let (mut stream, _) = connections.accept()?;
            let mut len = [0; 2];
            stream.read_exact(&mut len)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut question)?;
            let answer = answer(&question, false).unwrap_or_default();
            stream.write_all(&(answer.len() as u16).to_be_bytes())?;
            stream.write_all(&answer)?;
        }
    });
    Ok(())
}

fn look_up(name: &str) {
    match (name, 80).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            println!(
                "{name}: {}: {}",
                found.len(),
                found[..found.len().min(3)].join(" ")
            );
        }
        Err(error) => println!("{name}: {error}"),
    }
}

pub(crate) fn names() -> io::Result<()> {
    serve()?;
    fs::create_dir_all("/etc")?;
    fs::write(
        "/etc/hosts",
        "192.0.2.99 known known.example # by hand\n2001:db8::99 known\n",
    )?;
    fs::write(
        "/etc/resolv.conf",
        "# the first is not there\nnameserver 127.0.0.1\nsearch one.example\noptions timeout:1 attempts:1\n",
    )?;
    for name in [
        "known",
        "localhost",
        "plain.example",
        "alias.example",
        "away.example",
        "circle.example",
        "large.example",
        "short",
        "six.example",
        "broken.example",
        "nobody.example",
        "silent.example",
    ] {
        look_up(name);
    }
    // A server that is silent costs its time once, and the next is asked.
    fs::write(
        "/etc/resolv.conf",
        "nameserver 127.0.0.2\nnameserver 127.0.0.1\noptions timeout:1\n",
    )?;
    let _silent = UdpSocket::bind("127.0.0.2:53");
    let start = Instant::now();
    look_up("plain.example");
    println!(
        "the second server was asked: {}",
        start.elapsed() < Duration::from_secs(60)
    );
    Ok(())
}

/// Reads the file of name servers, as programs do that ask by themselves.
pub(crate) fn servers() -> io::Result<()> {
    print!("{}", fs::read_to_string("/etc/resolv.conf")?);
    println!(
        "hosts: {:?}",
        fs::read_to_string("/etc/hosts").map_err(|error| error.kind())
    );
    Ok(())
}
