//! Services, protocols and networks by name (POSIX.1-2017, `netdb.h`): the ones that programs ask for, by their assigned numbers (IANA: Service
//! Name and Transport Protocol Port Number Registry; Protocol Numbers). There are no files to read more from.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;

use libc::{protoent, servent};

const SERVICES: [(&CStr, u16); 24] = [
    (c"echo", 7),
    (c"discard", 9),
    (c"ftp", 21),
    (c"ssh", 22),
    (c"telnet", 23),
    (c"smtp", 25),
    (c"domain", 53),
    (c"http", 80),
    (c"kerberos", 88),
    (c"pop3", 110),
    (c"ntp", 123),
    (c"imap2", 143),
    (c"snmp", 161),
    (c"ldap", 389),
    (c"https", 443),
    (c"syslog", 514),
    (c"submission", 587),
    (c"ldaps", 636),
    (c"imaps", 993),
    (c"pop3s", 995),
    (c"mysql", 3306),
    (c"postgresql", 5432),
    (c"amqp", 5672),
    (c"redis", 6379),
];
const PROTOCOLS: [(&CStr, c_int); 8] = [
    (c"ip", 0),
    (c"icmp", 1),
    (c"igmp", 2),
    (c"tcp", 6),
    (c"udp", 17),
    (c"ipv6", 41),
    (c"ipv6-icmp", 58),
    (c"sctp", 132),
];
/// Services that are offered by UDP alone, or by both; the others are by TCP alone.
const BY_UDP: [&CStr; 2] = [c"ntp", c"snmp"];
const BY_BOTH: [&CStr; 5] = [c"echo", c"discard", c"domain", c"kerberos", c"syslog"];

/// What a question is answered with; the next one overwrites it, so threads that share it are the program's fault, as in C.
struct Answer<T>(UnsafeCell<T>);

// SAFETY: only functions whose contract is that one thread calls them use it.
unsafe impl<T> Sync for Answer<T> {}

struct Nobody([*mut c_char; 1]);

// SAFETY: a null pointer.
unsafe impl Sync for Nobody {}

/// No other names.
static NO_ALIASES: Nobody = Nobody([null_mut()]);
static SERVICE: Answer<servent> = Answer(UnsafeCell::new(servent {
    s_name: null_mut(),
    s_aliases: null_mut(),
    s_port: 0,
    s_proto: null_mut(),
}));
static PROTOCOL: Answer<protoent> = Answer(UnsafeCell::new(protoent {
    p_name: null_mut(),
    p_aliases: null_mut(),
    p_proto: 0,
}));

fn service(found: Option<&(&'static CStr, u16)>, protocol: Option<&CStr>) -> *mut servent {
    let Some((name, port)) = found else {
        return null_mut();
    };
    let offered: &[&CStr] = if BY_UDP.contains(name) {
        &[c"udp"]
    } else if BY_BOTH.contains(name) {
        &[c"tcp", c"udp"]
    } else {
        &[c"tcp"]
    };
    let Some(by) = offered
        .iter()
        .find(|by| protocol.is_none_or(|wanted| wanted == **by))
    else {
        return null_mut();
    };
    let answer = SERVICE.0.get();
    // SAFETY: one thread calls this.
    unsafe {
        answer.write(servent {
            s_name: name.as_ptr().cast_mut(),
            s_aliases: (&raw const NO_ALIASES.0).cast_mut().cast(),
            s_port: c_int::from(port.to_be()),
            s_proto: by.as_ptr().cast_mut(),
        });
    }
    answer
}

fn protocol(found: Option<&(&'static CStr, c_int)>) -> *mut protoent {
    let Some((name, number)) = found else {
        return null_mut();
    };
    let answer = PROTOCOL.0.get();
    // SAFETY: one thread calls this.
    unsafe {
        answer.write(protoent {
            p_name: name.as_ptr().cast_mut(),
            p_aliases: (&raw const NO_ALIASES.0).cast_mut().cast(),
            p_proto: *number,
        });
    }
    answer
}

/// The name of the service at a port by a protocol, if it is known.
pub(super) fn service_name(port: u16, protocol: &CStr) -> Option<&'static CStr> {
    let (name, _) = SERVICES.iter().find(|(_, known)| *known == port)?;
    is_offered(name, protocol).then_some(*name)
}

/// The port of a service by name; of any protocol.
pub(super) fn service_port(name: &str) -> Option<u16> {
    let known = SERVICES
        .iter()
        .find(|(known, _)| known.to_bytes() == name.as_bytes());
    known.map(|(_, port)| *port)
}

fn is_offered(name: &CStr, protocol: &CStr) -> bool {
    let by_udp = BY_UDP.contains(&name) || BY_BOTH.contains(&name);
    let by_tcp = !BY_UDP.contains(&name);
    by_udp && protocol == c"udp" || by_tcp && protocol == c"tcp"
}

/// # Safety
/// 1. Null or a C string.
unsafe fn optional<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's promise (1).
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// A service by name; by any protocol if that is null.
///
/// # Safety
/// `name` is a C string, `protocol` null or one; no other thread asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn getservbyname(name: *const c_char, protocol: *const c_char) -> *mut servent {
    // SAFETY: the caller's strings.
    let (name, protocol) = unsafe { (CStr::from_ptr(name), optional(protocol)) };
    service(SERVICES.iter().find(|(known, _)| *known == name), protocol)
}

/// A service by port, in network byte order.
///
/// # Safety
/// As of [`getservbyname`].
#[unsafe(no_mangle)]
unsafe extern "C" fn getservbyport(port: c_int, protocol: *const c_char) -> *mut servent {
    let port = u16::from_be(port as u16);
    // SAFETY: the caller's string.
    let protocol = unsafe { optional(protocol) };
    service(SERVICES.iter().find(|(_, known)| *known == port), protocol)
}

/// A protocol by name.
///
/// # Safety
/// `name` is a C string; no other thread asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn getprotobyname(name: *const c_char) -> *mut protoent {
    // SAFETY: the caller's string.
    let name = unsafe { CStr::from_ptr(name) };
    protocol(PROTOCOLS.iter().find(|(known, _)| *known == name))
}

/// A protocol by number; no other thread asks.
#[unsafe(no_mangle)]
extern "C" fn getprotobynumber(number: c_int) -> *mut protoent {
    protocol(PROTOCOLS.iter().find(|(_, known)| *known == number))
}

macro_rules! lists_without_entries {
    ($($name:ident)*) => {$(
        /// The next entry of a list that is not kept: none.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> *mut libc::c_void {
            null_mut()
        }
    )*};
}

lists_without_entries! {
    getservent getprotoent getnetent getnetbyname getnetbyaddr gethostent
    getspent getspnam fgetspent sgetspent getmntent getutent getutid getutline pututline getutxent getutxid getutxline pututxline
    fgetpwent fgetgrent getlastlogx getusershell getttyent setmntent getmntent_r
}

macro_rules! nothing_to_begin_or_end {
    ($($name:ident)*) => {$(
        /// Begins or ends the reading of a list that is not kept.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> c_int {
            // `endmntent` says 1, the others are void.
            1
        }
    )*};
}

nothing_to_begin_or_end! {
    setservent endservent setprotoent endprotoent setnetent endnetent sethostent endhostent
    setspent endspent endmntent setutent endutent setutxent endutxent
    setusershell endusershell updwtmp updwtmpx updlastlogx
}

macro_rules! reentrant_lists_without_entries {
    ($($name:ident($($argument:ident),*);)*) => {$(
        /// An entry of a list that is not kept: `ENOENT`.
        ///
        /// # Safety
        /// `result` can be written.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: usize,)* result: *mut *mut libc::c_void) -> c_int {
            $(let _ = $argument;)*
            // SAFETY: the caller's place.
            unsafe { super::convert::put(result, null_mut()) }.map_or_else(|error| error.0, |()| libc::ENOENT)
        }
    )*};
}

reentrant_lists_without_entries! {
    getspent_r(out, buf, len);
    fgetpwent_r(file, out, buf, len);
    fgetgrent_r(file, out, buf, len);
    fgetspent_r(file, out, buf, len);
    sgetspent_r(text, out, buf, len);
    getspnam_r(name, out, buf, len);
}
