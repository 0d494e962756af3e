//! A card with several queues: a service on each of their cores, sockets of `std` besides, and calls to the host.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use toro::core::Builder;
use toro::net;

use crate::words::Words;

const HOME_PORT: u16 = 9000;
const CALLS: usize = 10;

/// Serves until the power button.
pub(crate) fn serve(host: Ipv4Addr) {
    let echo = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 81)).expect("a free port");
    let start = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 82)).expect("a free port");
    let services = net::serve_each("net0", 80, Words::new).expect("a free port");
    thread::spawn(move || {
        for stream in echo.incoming() {
            let stream = stream.expect("a connection");
            thread::spawn(move || repeat(stream));
        }
    });
    thread::spawn(move || {
        start.accept().expect("a connection");
        call(host);
    });
    println!("{} queues", services.len());
    for service in services {
        service.join().expect("no panic in on_init");
    }
}

/// Says everything again.
fn repeat(mut stream: TcpStream) {
    let mut buf = [0; 100];
    while let Ok(len @ 1..) = stream.read(&mut buf) {
        stream.write_all(&buf[..len]).expect("a reader");
    }
}

/// Calls the host from every core.
fn call(host: Ipv4Addr) {
    for core in 0..toro::core::count() {
        let work = move || {
            for _ in 0..CALLS {
                let mut stream = TcpStream::connect((host, HOME_PORT)).expect("the host");
                stream.write_all(b"hello").expect("a reader");
                let mut answer = String::new();
                stream.read_to_string(&mut answer).expect("an answer");
                assert_eq!(answer, "and you");
            }
        };
        let caller = Builder::new(core).spawn(work).expect("a thread");
        caller.join().expect("no panic");
    }
    println!("calls: done");
}
