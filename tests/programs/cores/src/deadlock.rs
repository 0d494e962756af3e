//! Programs none of whose threads can ever run again, and such as look like it.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use toro::core::{Builder, count};
use toro::thread::Control;

pub(crate) fn run(what: &str) {
    match what {
        "locks" => locks(),
        // A network that nobody waits for, with a listener and a socket, changes nothing.
        "network" => {
            let _listener = std::net::TcpListener::bind("0.0.0.0:4000").unwrap();
            let _socket = std::net::UdpSocket::bind("0.0.0.0:4000").unwrap();
            locks();
        }
        "channel" => {
            let (_sender, receiver) = mpsc::channel::<()>();
            let waits = thread::spawn(move || receiver.recv());
            let _ = waits.join();
        }
        "message" => {
            let (_sender, receiver) = toro::message::channel::<()>(1).unwrap();
            let waits = Builder::new(count() - 1)
                .name("receiver")
                .spawn(move || receiver.receive());
            let _ = waits.unwrap().join();
        }
        "suspended" => {
            // A thread has its name from when it runs.
            static RUNS: AtomicBool = AtomicBool::new(false);
            let waits = Builder::new(count() - 1).name("sleeper").spawn(|| {
                loop {
                    RUNS.store(true, Ordering::Relaxed);
                    toro::thread::yield_now();
                }
            });
            let waits: thread::JoinHandle<()> = waits.unwrap();
            crate::wait_until(|| RUNS.load(Ordering::Relaxed));
            waits.suspend().unwrap();
            let _ = waits.join();
        }
        "parked" => {
            thread::spawn(|| ()).join().unwrap();
            toro::thread::park_forever()
        }
        // From here on something can come.
        "locks but one" => {
            let listener = std::net::TcpListener::bind("0.0.0.0:4000").unwrap();
            thread::spawn(move || listener.accept());
            println!("press");
            locks();
        }
        "input" => {
            let reads = thread::spawn(|| std::io::stdin().read(&mut [0; 1]).unwrap());
            println!("type");
            assert_eq!(reads.join().unwrap(), 1);
        }
        "timer" => {
            let (_sender, receiver) = mpsc::channel::<()>();
            let waits = thread::spawn(move || receiver.recv_timeout(Duration::from_millis(300)));
            assert!(waits.join().unwrap().is_err());
            let sleeps = toro::core::spawn_on(count() - 1, || {
                toro::thread::sleep(Duration::from_millis(300));
            });
            sleeps.unwrap().join().unwrap();
        }
        "socket" => {
            let listener = std::net::TcpListener::bind("127.0.0.1:80").unwrap();
            let accepts = thread::spawn(move || drop(listener.accept()));
            println!("press");
            let _ = accepts.join();
        }
        _ => panic!("deadlock how?"),
    }
}

/// Two threads on two cores, each with the lock that the other one wants.
fn locks() {
    let first = Arc::new(Mutex::new(()));
    let second = Arc::new(Mutex::new(()));
    let (a, b) = (Arc::clone(&first), Arc::clone(&second));
    let take = |core: usize, name: &str, one: Arc<Mutex<()>>, other: Arc<Mutex<()>>| {
        let take = move || {
            let _one = one.lock().unwrap();
            thread::sleep(Duration::from_millis(50));
            let _other = other.lock().unwrap();
        };
        Builder::new(core).name(name).spawn(take).unwrap()
    };
    let left = take(0, "left", a, b);
    let right = take(count() - 1, "right", second, first);
    let _ = (left.join(), right.join());
}
