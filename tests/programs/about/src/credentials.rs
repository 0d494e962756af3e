//! Becomes another user, as services do once they have bound their ports.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Error, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

fn check(result: i32) -> Result<(), Option<i32>> {
    match result {
        0 => Ok(()),
        _ => Err(Error::last_os_error().raw_os_error()),
    }
}

fn identity() -> [u32; 6] {
    let mut ids = [0; 6];
    let [a, b, c, d, e, f] = &mut ids;
    // SAFETY: all can be written.
    unsafe {
        libc::getresuid(a, b, c);
        libc::getresgid(d, e, f);
    }
    ids
}

fn owner(name: &str) -> io::Result<(u32, u32)> {
    fs::write(name, "x")?;
    let facts = fs::metadata(name)?;
    fs::remove_file(name)?;
    Ok((facts.uid(), facts.gid()))
}

/// What is held of one capability: effective, permitted, bounding.
fn held(status: &str) -> Vec<bool> {
    let names = ["CapEff", "CapPrm", "CapBnd"];
    let set = |name| u64::from_str_radix(&super::value(status, name)?, 16).ok();
    let bit = |name| set(name).is_some_and(|set| set & 1 << 10 != 0);
    names.into_iter().map(bit).collect()
}

pub(crate) fn becoming() -> io::Result<()> {
    let status = || fs::read_to_string("/proc/self/status");
    // SAFETY: C strings, and answers that are looked at before the next question; places as long as they are said to be.
    unsafe {
        let nobody = libc::getpwnam(c"nobody".as_ptr()).as_ref();
        let nobody = nobody.map(|user| (user.pw_uid, user.pw_gid));
        let groups = [c"nobody", c"nogroup"].map(|name: &CStr| {
            let group = libc::getgrnam(name.as_ptr()).as_ref();
            group.map(|group| group.gr_gid)
        });
        println!("nobody {nobody:?} {groups:?}");

        println!(
            "for a while {:?} {:?}",
            check(libc::seteuid(33)),
            identity()
        );
        println!("makes {:?}", owner("/theirs")?);
        println!("refused {:?}", check(libc::setgid(44)));
        println!("without {:?}", held(&status()?));
        println!("back {:?} {:?}", check(libc::seteuid(0)), held(&status()?));

        println!(
            "nicer {} {}",
            libc::nice(5),
            libc::getpriority(libc::PRIO_PROCESS, 0)
        );
        println!(
            "bound {} {:?} {}",
            libc::prctl(libc::PR_CAPBSET_READ, 10, 0, 0, 0),
            check(libc::prctl(libc::PR_CAPBSET_DROP, 10, 0, 0, 0)),
            libc::prctl(libc::PR_CAPBSET_READ, 10, 0, 0, 0)
        );
        println!("joined {:?}", check(libc::setgroups(2, [7, 5].as_ptr())));
        println!("group {:?}", check(libc::setgid(44)));
        println!("user {:?} {:?}", check(libc::setuid(33)), identity());
        println!("for good {:?}", check(libc::setuid(0)));
        println!("alone {:?}", check(libc::setgroups(0, std::ptr::null())));
        let less_nice = check(libc::setpriority(libc::PRIO_PROCESS, 0, 0));
        println!("less nice {less_nice:?}");
        let mut groups = [0; 4];
        let count = libc::getgroups(4, groups.as_mut_ptr());
        println!("is in {count} {groups:?}");

        let (one, _other) = UnixStream::pair()?;
        let mut peer = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut len = size_of_val(&peer) as u32;
        let (place, option) = ((&raw mut peer).cast(), libc::SO_PEERCRED);
        let asked = libc::getsockopt(one.as_raw_fd(), libc::SOL_SOCKET, option, place, &mut len);
        println!("peer {asked} {} {}", peer.uid, peer.gid);
    }
    println!("makes {:?}", owner("/theirs")?);
    let status = status()?;
    for name in ["Uid", "Gid", "Groups"] {
        println!("{name} {:?}", super::value(&status, name));
    }
    println!("holds {:?}", held(&status));
    // Where logs are told to go by name.
    let mut log = fs::OpenOptions::new().append(true).open("/dev/stdout")?;
    log.write_all(b"by name\n")
}
