//! Starts the server on this host and talks to it as clients do, good and bad.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Far more than any answer takes; only a server that hangs is so slow.
const DEADLINE: Duration = Duration::from_secs(60);

struct Server {
    child: Child,
    port: u16,
    root: PathBuf,
}

impl Server {
    /// A server of its own folder; `variables` are `NAME=VALUE`. The system chooses the port.
    fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("sub dir")).unwrap();
        fs::write(root.join("index.html"), "<h1>index</h1>").unwrap();
        fs::write(root.join("sub dir/index.html"), "sub").unwrap();
        fs::write(root.join("a.txt"), "0123456789").unwrap();
        fs::write(root.join("large.bin"), large()).unwrap();
        fs::write(root.parent().unwrap().join("secret"), "secret").unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_static-web"))
            .env("PORT", "0")
            .env("ROOT", &root)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Self { child, port, root }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends `text` and reads until the server closes.
    fn exchange(&self, text: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The answer to one request, with `fields` (each ending in CR LF) besides the needed ones.
    fn ask(&self, method: &str, target: &str, fields: &str) -> String {
        self.exchange(&format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n"
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn large() -> Vec<u8> {
    (0..300_000_u32).map(|index| (index % 251) as u8).collect()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn content(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn files_are_served_with_their_type() {
    let server = Server::start("types", &[]);
    let page = server.ask("GET", "/", "");
    assert_eq!((status(&page), content(&page)), ("200", "<h1>index</h1>"));
    assert_eq!(
        field(&page, "Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(field(&page, "Connection"), Some("close"));
    assert!(field(&page, "Date").is_some_and(|date| date.ends_with(" GMT")));
    let text = server.ask("GET", "/a.txt?query", "");
    assert_eq!(
        field(&text, "Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(content(&text), "0123456789");
}

#[test]
fn head_is_get_without_content() {
    let server = Server::start("head", &[]);
    for target in ["/a.txt", "/large.bin", "/none"] {
        let (get, head) = (
            server.ask("GET", target, ""),
            server.ask("HEAD", target, ""),
        );
        assert_eq!(content(&head), "", "{target}");
        assert_eq!(status(&get), status(&head));
        assert_eq!(
            field(&get, "Content-Length"),
            field(&head, "Content-Length")
        );
    }
}

#[test]
fn a_large_file_arrives_whole_and_in_parts() {
    let server = Server::start("large", &[]);
    let mut stream = server.connect();
    stream
        .write_all(b"GET /large.bin HTTP/1.0\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&large()));
    let part = server.ask("GET", "/large.bin", "Range: bytes=100000-100004\r\n");
    assert_eq!(
        field(&part, "Content-Range"),
        Some("bytes 100000-100004/300000")
    );
    assert_eq!(content(&part).len(), 5);
}

#[test]
fn single_ranges_are_answered_and_others_ignored() {
    let server = Server::start("ranges", &[]);
    let part = server.ask("GET", "/a.txt", "Range: bytes=2-4\r\n");
    assert_eq!((status(&part), content(&part)), ("206", "234"));
    assert_eq!(field(&part, "Content-Range"), Some("bytes 2-4/10"));
    let behind = server.ask("GET", "/a.txt", "Range: bytes=10-\r\n");
    assert_eq!(status(&behind), "416");
    assert_eq!(field(&behind, "Content-Range"), Some("bytes */10"));
    assert_eq!(
        status(&server.ask("GET", "/a.txt", "Range: bytes=0-1,3-4\r\n")),
        "200"
    );
    assert_eq!(
        status(&server.ask("HEAD", "/a.txt", "Range: bytes=0-1\r\n")),
        "200"
    );
    let modified = field(&part, "Last-Modified").unwrap();
    let conditional = |date: &str| {
        server.ask(
            "GET",
            "/a.txt",
            &format!("Range: bytes=0-0\r\nIf-Range: {date}\r\n"),
        )
    };
    assert_eq!(status(&conditional(modified)), "206");
    assert_eq!(status(&conditional("\"tag\"")), "200");
}

#[test]
fn an_unchanged_file_is_not_sent_again() {
    let server = Server::start("unchanged", &[]);
    let modified = field(&server.ask("GET", "/a.txt", ""), "Last-Modified")
        .unwrap()
        .to_owned();
    let since = |date: &str| server.ask("GET", "/a.txt", &format!("If-Modified-Since: {date}\r\n"));
    let answer = since(&modified);
    assert_eq!((status(&answer), content(&answer)), ("304", ""));
    assert_eq!(status(&since("Fri, 31 Dec 9999 23:59:59 GMT")), "304");
    assert_eq!(status(&since("Sun, 06 Nov 1994 08:49:37 GMT")), "200");
    assert_eq!(status(&since("yesterday")), "200");
}

#[test]
fn a_folder_without_slash_is_redirected() {
    let server = Server::start("folder", &[]);
    let answer = server.ask("GET", "/sub%20dir?a=b", "");
    assert_eq!(status(&answer), "301");
    assert_eq!(field(&answer, "Location"), Some("/sub%20dir/?a=b"));
    assert_eq!(content(&server.ask("GET", "/sub%20dir/", "")), "sub");
    // The answer to a path of two slashes must not lead to another host.
    assert_eq!(
        field(&server.ask("GET", "//sub%20dir", ""), "Location"),
        Some("/sub%20dir/")
    );
}

#[test]
fn what_is_not_there_is_404_with_the_sites_own_page_if_it_has_one() {
    let server = Server::start("missing", &[]);
    for target in ["/none", "/none/", "/a.txt/", "/index.html/b"] {
        assert_eq!(status(&server.ask("GET", target, "")), "404", "{target}");
    }
    fs::write(server.root.join("404.html"), "own page").unwrap();
    let answer = server.ask("GET", "/none", "");
    assert_eq!((status(&answer), content(&answer)), ("404", "own page"));
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let server = Server::start("climb", &[]);
    for target in [
        "/../secret",
        "/%2e%2e/secret",
        "/sub%20dir/../../secret",
        "/..%2fsecret",
        "/..%5csecret",
        "/a.txt%00",
    ] {
        let answer = server.ask("GET", target, "");
        assert_eq!(status(&answer), "400", "{target}");
        assert!(!answer.contains("secret"), "{target}");
    }
}

#[test]
fn refused_requests_say_why() {
    let server = Server::start("refused", &[]);
    let post = server.ask("POST", "/", "Content-Length: 4\r\n");
    assert_eq!(
        (status(&post), field(&post, "Allow")),
        ("405", Some("GET, HEAD"))
    );
    assert_eq!(status(&server.exchange("nonsense\r\n\r\n")), "400");
    assert_eq!(status(&server.exchange("GET / HTTP/1.1\r\n\r\n")), "400");
    assert_eq!(status(&server.exchange("GET / HTTP/3.0\r\n\r\n")), "505");
    let long = "a".repeat(20_000);
    assert_eq!(
        status(&server.exchange(&format!("GET /{long} HTTP/1.1\r\n"))),
        "414"
    );
    assert_eq!(
        status(&server.ask("GET", "/", &format!("Cookie: {long}\r\n"))),
        "431"
    );
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let server = Server::start("pipeline", &[]);
    let next = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = server.exchange(&format!("{}{last}", next.repeat(300)));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 300);
    assert_eq!(answers.matches("0123456789").count(), 300);
    assert!(answers.find("HTTP/1.1 404").unwrap() > answers.rfind("HTTP/1.1 200").unwrap());
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start("bytes", &[]);
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    for byte in b"GET /a.txt HTTP/1.0\r\nHost: x\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("0123456789"));
}

#[test]
fn connections_of_1_0_last_only_if_asked() {
    let server = Server::start("old", &[]);
    let closed = server.exchange("GET /a.txt HTTP/1.0\r\n\r\n");
    assert_eq!(field(&closed, "Connection"), Some("close"));
    let kept = server.exchange(
        "GET /a.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /none HTTP/1.0\r\n\r\n",
    );
    assert_eq!(field(&kept, "Connection"), Some("keep-alive"));
    assert!(kept.contains("HTTP/1.1 404 Not Found"));
}

#[test]
fn silent_peers_are_let_go() {
    let server = Server::start("silent", &[("IDLE_SECONDS", "1")]);
    assert_eq!(server.exchange(""), "");
    assert_eq!(status(&server.exchange("GET / HT")), "408");
    // A request that never comes to its end is not kept alive by coming slowly.
    let mut stream = server.connect();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut answer = Vec::new();
    for _ in 0..600 {
        // The server closes one day; then writing fails and reading ends.
        let _ = stream.write_all(b"G");
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(_) => {}
        }
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn a_connection_too_many_is_told_so_and_its_place_comes_back() {
    let server = Server::start("busy", &[("CONNECTIONS", "2"), ("STILL_SECONDS", "3600")]);
    let mut kept: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut kept {
        stream
            .write_all(b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            .unwrap();
        assert_ne!(stream.read(&mut [0; 512]).unwrap(), 0);
    }
    assert_eq!(status(&server.exchange("")), "503");
    for stream in &kept {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    let is_served = || {
        let mut stream = server.connect();
        let _ = stream.write_all(b"GET /a.txt HTTP/1.0\r\n\r\n");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).is_ok() && status(&answer) == "200"
    };
    assert!((0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        is_served()
    }));
}

#[test]
fn peers_that_stand_still_give_their_places_to_others() {
    // Nothing but the wish of others lets anybody go.
    let settings = [
        ("CONNECTIONS", "4"),
        ("IDLE_SECONDS", "86400"),
        ("STILL_SECONDS", "0"),
    ];
    let server = Server::start("still", &settings);
    let mut still: Vec<_> = (0..4).map(|_| server.connect()).collect();
    // One says nothing, one is in the middle of a request, two never read what they ask for, again and again.
    still[1].write_all(b"GET /a").unwrap();
    for stream in &mut still[2..] {
        let requests = b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
        stream.write_all(&requests).unwrap();
    }
    let ask = || {
        let mut stream = server.connect();
        // A place may be had and lost again before the request is there, as nobody has to wait here.
        let _ = stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut answer = [0; 1024];
        let count = stream.read(&mut answer).unwrap_or(0);
        let is_served = status(&String::from_utf8_lossy(&answer[..count])) == "200";
        is_served.then_some(stream)
    };
    // More than there are places for are served, one after the other, each of which stays.
    let mut served = Vec::new();
    for _ in 0..12 {
        let found = (0..600).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            ask()
        });
        served.push(found.expect("there is a place"));
    }
    // And those that had to go are told.
    let mut rest = Vec::new();
    still[0].read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}

#[test]
fn a_setting_that_cannot_be_read_is_an_error() {
    for (name, value) in [
        ("PORT", "http"),
        ("CONNECTIONS", "0"),
        ("ROOT", "/no/such/folder"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_static-web"));
        let output = command
            .env("PORT", "0")
            .env("ROOT", "/")
            .env(name, value)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(value), "{message}");
    }
}

/// The benchmarks ask for a page of 612 bytes, the size of a web server's well-known first page, so that their
/// figures can be compared.
#[test]
fn the_first_page_has_the_size_of_the_benchmarks() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/disk/web/index.html");
    assert_eq!(fs::metadata(page).unwrap().len(), 612);
}
