//! Models of what Xen and another domain are to a driver: a table of what is lent, and XenStore's server.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::grants::Table;
use super::store::{
    ANSWERS, DIRECTORY, ERROR, Header, PAGE_BYTES, READ, REQUESTS, Store, WATCH, WATCH_EVENT,
    WRITE, put, take,
};
use crate::arch::mmio::Mmio;
use crate::sync::SpinLock;

/// A table with room.
pub(crate) fn table() -> &'static SpinLock<Table> {
    Box::leak(Box::new(SpinLock::new(Table::new(|_, _| true))))
}

std::thread_local! {
    /// The servers that are told of news: each test has a thread of its own.
    static SERVERS: RefCell<Vec<Server>> = const { RefCell::new(Vec::new()) };
}

/// XenStore's server, as the other end of a page.
#[derive(Clone)]
pub(crate) struct Server(Arc<Mutex<Model>>);

pub(crate) struct Model {
    page: Mmio,
    tree: BTreeMap<String, Vec<u8>>,
    watched: Vec<String>,
    /// What was read of a request so far, and what is not written yet of answers.
    read: Vec<u8>,
    unwritten: Vec<u8>,
    /// It looks at nothing.
    pub(crate) is_deaf: bool,
    /// A header that is said before the next answer: kind, request, length.
    pub(crate) lie: Option<(u32, u32, u32)>,
    /// What happens when something is written.
    pub(crate) on_write: Option<OnWrite>,
}

/// Is told of a path and what was written there; what else it says is written, too.
type OnWrite = Box<dyn FnMut(&str, &str) -> Vec<(String, String)> + Send>;

impl Server {
    /// An empty tree, and the way to it.
    pub(crate) fn start() -> (Self, Store) {
        let memory = Box::leak(Box::new([0_u64; PAGE_BYTES / 8]));
        let page = Mmio::model(memory.as_ptr() as usize, PAGE_BYTES);
        let server = Self(Arc::new(Mutex::new(Model {
            page,
            tree: BTreeMap::new(),
            watched: Vec::new(),
            read: Vec::new(),
            unwritten: Vec::new(),
            is_deaf: false,
            lie: None,
            on_write: None,
        })));
        let channel = SERVERS.with_borrow_mut(|servers| {
            servers.push(server.clone());
            servers.len() as u32 - 1
        });
        let notify = |channel| {
            let server = SERVERS.with_borrow(|servers| servers[channel as usize].clone());
            server.with(Model::run);
        };
        (server, Store::new(page, notify, || {}, channel))
    }

    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Model) -> T) -> T {
        work(&mut self.0.lock().expect("one thread"))
    }

    pub(crate) fn page(&self) -> Mmio {
        self.with(|model| model.page)
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let bytes = self.with(|model| model.tree.get(path).cloned());
        bytes.map(|bytes| String::from_utf8(bytes).expect("letters"))
    }

    pub(crate) fn set(&self, path: &str, value: &str) {
        self.set_bytes(path, value.as_bytes());
    }

    pub(crate) fn set_bytes(&self, path: &str, value: &[u8]) {
        self.with(|model| {
            model.set(path, value);
            model.run();
        });
    }
}

impl Model {
    fn set(&mut self, path: &str, value: &[u8]) {
        self.tree.insert(path.into(), value.into());
        let is_seen = |watched: &&String| path.starts_with(watched.as_str());
        for _ in 0..self.watched.iter().filter(is_seen).count() {
            self.say(WATCH_EVENT, 0, format!("{path}\0toro\0").as_bytes());
        }
    }

    fn say(&mut self, kind: u32, request: u32, payload: &[u8]) {
        let len = payload.len() as u32;
        let header = Header { kind, request, len };
        self.unwritten.extend(header.to_bytes());
        self.unwritten.extend(payload);
    }

    fn run(&mut self) {
        if self.is_deaf {
            return;
        }
        let mut bytes = [0; 1024];
        while let Some(count @ 1..) = take(&self.page, REQUESTS, &mut bytes) {
            self.read.extend(&bytes[..count]);
        }
        while let Some(header) = self.read.first_chunk::<16>() {
            let header = Header::of_bytes(*header);
            let end = 16 + header.len as usize;
            if self.read.len() < end {
                break;
            }
            let payload: Vec<u8> = self.read.drain(..end).skip(16).collect();
            self.answer(header, &payload);
        }
        let count = put(&self.page, ANSWERS, &self.unwritten).unwrap_or(0);
        self.unwritten.drain(..count);
    }

    fn answer(&mut self, header: Header, payload: &[u8]) {
        if let Some((kind, request, len)) = self.lie.take() {
            let lie = Header { kind, request, len };
            self.unwritten.extend(lie.to_bytes());
        }
        let end = payload.iter().position(|&byte| byte == 0);
        let end = end.expect("a name ends by a zero");
        let path = String::from_utf8(payload[..end].into()).expect("letters");
        let answer = match header.kind {
            READ => self.tree.get(&path).cloned(),
            DIRECTORY => {
                let below = format!("{path}/");
                let names = self.tree.keys().filter_map(|key| key.strip_prefix(&below));
                let mut names: Vec<_> = names.filter_map(|name| name.split('/').next()).collect();
                names.dedup();
                let bytes: Vec<u8> = names
                    .iter()
                    .flat_map(|name| [name.as_bytes(), b"\0"].concat())
                    .collect();
                (!bytes.is_empty()).then_some(bytes)
            }
            WATCH => {
                self.watched.push(path.clone());
                self.say(WATCH_EVENT, 0, payload);
                Some(b"OK\0".into())
            }
            WRITE => {
                let value = &payload[end + 1..];
                self.set(&path, value);
                if let Some(mut on_write) = self.on_write.take() {
                    let value = String::from_utf8_lossy(value);
                    for (path, value) in on_write(&path, &value) {
                        self.set(&path, value.as_bytes());
                    }
                    self.on_write = Some(on_write);
                }
                Some(b"OK\0".into())
            }
            other => panic!("kind {other}"),
        };
        match answer {
            Some(answer) => self.say(header.kind, header.request, &answer),
            None => self.say(ERROR, header.request, b"ENOENT\0"),
        }
    }
}
