//! Who sent something over a Unix socket (`SO_PASSCRED`, `SCM_CREDENTIALS`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

/// Room for what goes along, aligned as C wants it.
#[repr(align(8))]
struct Control([u8; 96]);

fn last_error() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn pass(socket: &impl AsRawFd, is_on: i32) -> i32 {
    // SAFETY: the option's value is an `int`.
    unsafe {
        let value = (&raw const is_on).cast();
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            value,
            4,
        )
    }
}

fn passes(socket: &impl AsRawFd) -> (i32, i32) {
    let (mut value, mut len) = (-1_i32, 4);
    // SAFETY: the option's value is an `int`.
    let result = unsafe {
        let place = (&raw mut value).cast();
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            place,
            &raw mut len,
        )
    };
    (result, value)
}

/// Sends bytes, as whoever `credentials` say, with descriptors.
fn send(
    socket: &impl AsRawFd,
    data: &[u8],
    credentials: Option<[i32; 3]>,
    files: &[i32],
) -> Result<isize, i32> {
    let mut control = Control([0; 96]);
    let mut part = libc::iovec {
        iov_base: data.as_ptr().cast_mut().cast(),
        iov_len: data.len(),
    };
    // SAFETY: structures of integers and pointers; what is written stays within the room for it.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_control, message.msg_controllen) = (control.0.as_mut_ptr().cast(), 96);
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        let mut used = 0;
        let bodies = [
            (
                libc::SCM_CREDENTIALS,
                credentials.map(Vec::from).unwrap_or_default(),
            ),
            (libc::SCM_RIGHTS, files.to_vec()),
        ];
        for (kind, body) in bodies.into_iter().filter(|(_, body)| !body.is_empty()) {
            let bytes = (body.len() * size_of::<i32>()) as u32;
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(bytes) as usize;
            std::ptr::copy_nonoverlapping(
                body.as_ptr(),
                libc::CMSG_DATA(header).cast(),
                body.len(),
            );
            used += libc::CMSG_SPACE(bytes) as usize;
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        message.msg_controllen = used;
        match libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) {
            -1 => Err(last_error()),
            sent => Ok(sent),
        }
    }
}

/// What came, with what came along: credentials (whether it is this process, user, group), and how many descriptors.
fn receive(socket: &impl AsRawFd, room: usize) -> String {
    let mut control = Control([0; 96]);
    let mut data = [0_u8; 32];
    let mut part = libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    // SAFETY: structures of integers and pointers; the system says what it has written.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        (message.msg_control, message.msg_controllen) = (control.0.as_mut_ptr().cast(), room);
        let len = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT);
        if len < 0 {
            return format!("error {}", last_error());
        }
        let mut shown = format!("{:?}", String::from_utf8_lossy(&data[..len as usize]));
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let body = libc::CMSG_DATA(header);
            let len = (*header).cmsg_len - libc::CMSG_LEN(0) as usize;
            if (*header).cmsg_type == libc::SCM_CREDENTIALS {
                let who = body.cast::<libc::ucred>().read_unaligned();
                let is_self = who.pid == libc::getpid();
                let is_own = (who.uid == libc::getuid(), who.gid == libc::getgid());
                shown += &format!(" credentials {is_self} {is_own:?}");
            } else {
                for at in 0..len / 4 {
                    libc::close(body.cast::<i32>().add(at).read_unaligned());
                }
                shown += &format!(" descriptors {}", len / 4);
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
        if message.msg_flags & libc::MSG_CTRUNC != 0 {
            shown += " cut";
        }
        shown
    }
}

pub(crate) fn steps() {
    // SAFETY: they only tell numbers.
    let own = unsafe { [libc::getpid(), libc::getuid() as i32, libc::getgid() as i32] };
    let (one, other) = UnixDatagram::pair().expect("sockets");
    println!("not asked for: {:?} {}", passes(&other), {
        one.send(b"a").expect("sent");
        receive(&other, 96)
    });
    println!("asked for: {} {:?}", pass(&other, 5), passes(&other));
    one.send(b"b").expect("sent");
    println!("told: {}", receive(&other, 96));
    println!(
        "said: {:?} {}",
        send(&one, b"c", Some(own), &[]),
        receive(&other, 96)
    );
    println!(
        "with descriptors: {:?} {}",
        send(&one, b"d", Some(own), &[0, 1]),
        receive(&other, 96)
    );
    println!(
        "descriptors alone: {:?} {}",
        send(&one, b"e", None, &[0]),
        receive(&other, 96)
    );
    println!(
        "too little room: {:?} {}",
        send(&one, b"f", None, &[0, 0]),
        receive(&other, 20)
    );
    println!(
        "room for one: {:?} {}",
        send(&one, b"g", None, &[0, 0]),
        receive(&other, 32)
    );
    println!(
        "another process: {:?}",
        send(&one, b"h", Some([i32::MAX, own[1], own[2]]), &[])
    );
    println!("nothing: {}", receive(&other, 96));
    println!("no more: {} {}", pass(&other, 0), {
        one.send(b"i").expect("sent");
        receive(&other, 96)
    });

    let path = std::env::temp_dir().join(format!("credentials-{}", own[0]));
    let listener = UnixListener::bind(&path).expect("bound");
    println!("of a listener: {}", pass(&listener, 1));
    let client = UnixStream::connect(&path).expect("connected");
    let (server, _) = listener.accept().expect("accepted");
    println!("inherited: {:?} {:?}", passes(&server), passes(&client));
    println!(
        "stream: {:?} {}",
        send(&client, b"one", None, &[]),
        receive(&server, 96)
    );
    println!(
        "the other way: {:?} {}",
        send(&server, b"two", Some(own), &[]),
        receive(&client, 96)
    );
    let server = OwnedFd::from(server);
    drop(client);
    println!("the end: {}", receive(&server, 0));
    std::fs::remove_file(path).expect("removed");
}
