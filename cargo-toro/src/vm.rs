//! A running virtual machine: its console, its end, its power button. It is killed when the handle is dropped.
//!
//! `cargo toro run` hands the console on as it comes; the tests record it and wait for what they expect.

use crate::console::EndFilter;
use crate::host::{self, Control};
use crate::qemu::{self, Launch};
use crate::qmp::{self, Session};
use crate::terminal::Wishes;
use crate::values::Protocol;
use anyhow::{Context, Result};
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long QEMU may take to make its control socket, or to end once it has closed the console.
const GRACE: Duration = Duration::from_secs(3);
/// What is kept of QEMU's own messages.
const MAX_MESSAGE_BYTES: usize = 64 << 10;

/// How a virtual machine ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The program ended with this exit status.
    Exited(u8),
    /// The machine ended without an exit status.
    Crashed {
        /// How QEMU ended.
        qemu: ExitStatus,
        /// What QEMU said.
        messages: String,
    },
}

/// What a recorded machine did not do in time.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The console did not show the text.
    #[error("the console did not show {awaited:?} in {seconds} s; it shows:\n{console}", seconds = .timeout.as_secs_f32())]
    Text {
        /// What was waited for.
        awaited: String,
        /// How long.
        timeout: Duration,
        /// All that the console showed.
        console: String,
    },
    /// The machine ended before the console showed the text.
    #[error("the machine ended before the console showed {awaited:?}; it shows:\n{console}")]
    Ended {
        /// What was waited for.
        awaited: String,
        /// All that the console showed.
        console: String,
    },
    /// The machine did not end.
    #[error("the machine did not end in {seconds} s; the console shows:\n{console}", seconds = .timeout.as_secs_f32())]
    Running {
        /// How long was waited.
        timeout: Duration,
        /// All that the console showed.
        console: String,
    },
}

/// Who gets the console: a function, called with every piece and at the end with what is left, or the record.
pub type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// A virtual machine.
#[derive(Debug)]
pub struct Vm {
    child: Child,
    control: Control,
    input: Option<ChildStdin>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The console so far, if it is recorded.
    record: Vec<u8>,
    status: Option<u8>,
    wishes: Option<Wishes>,
    /// QEMU has closed the console: it ended.
    is_closed: bool,
    messages: Vec<u8>,
    are_messages_closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, state: MutexGuard<'_, State>, timeout: Duration) {
        let result = self.changed.wait_timeout(state, timeout);
        drop(result.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Vm {
    /// Starts a machine whose console is recorded.
    pub fn start(launch: &Launch) -> Result<Self> {
        Self::start_with(launch, None)
    }

    /// Starts a machine whose console goes to `sink`, without the sequence that ends the program.
    pub fn start_with(launch: &Launch, sink: Option<Sink>) -> Result<Self> {
        let control = Control::new().context("there is no place for QEMU's control socket")?;
        let mut command = launch.command(&control.option())?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child =
            host::spawn(command).map_err(|error| qemu::missing(&qemu::qemu(), &error))?;
        let shared = Arc::new(Shared::default());
        if let Some(output) = child.stdout.take() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || follow_console(output, &shared, sink));
        }
        if let Some(errors) = child.stderr.take() {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || follow_messages(errors, &shared));
        }
        let input = child.stdin.take();
        Ok(Self {
            child,
            control,
            input,
            shared,
        })
    }

    /// The guest's keyboard: what is written here reaches its serial console. Can be taken once.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    /// Writes to the guest's serial console.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(bytes)?;
        input.flush()
    }

    /// How the program wants what is typed now, once it has asked for input.
    pub fn wishes(&self) -> Option<Wishes> {
        self.shared.lock().wishes
    }

    /// All that a recorded console has shown.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().record).into_owned()
    }

    /// Waits until a recorded console shows `text`; returns all that it has shown.
    pub fn wait_for(&self, text: &str, timeout: Duration) -> Result<String, WaitError> {
        let deadline = Instant::now() + timeout;
        loop {
            let state = self.shared.lock();
            let console = String::from_utf8_lossy(&state.record).into_owned();
            let awaited = || text.to_owned();
            if console.contains(text) {
                return Ok(console);
            } else if state.is_closed {
                return Err(WaitError::Ended {
                    awaited: awaited(),
                    console,
                });
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Err(WaitError::Text {
                    awaited: awaited(),
                    timeout,
                    console,
                });
            };
            self.shared.wait(state, left);
        }
    }

    /// Waits for the end of the machine.
    pub fn wait(&mut self, timeout: Duration) -> Result<End, WaitError> {
        match self.end_within(timeout) {
            Some(end) => Ok(end),
            None => Err(WaitError::Running {
                timeout,
                console: self.console(),
            }),
        }
    }

    /// Waits for the end of the machine; `None` if it still runs after `timeout`.
    pub fn end_within(&mut self, timeout: Duration) -> Option<End> {
        let deadline = Instant::now() + timeout;
        loop {
            let state = self.shared.lock();
            if state.is_closed {
                break;
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            self.shared.wait(state, left);
        }
        Some(self.finish())
    }

    /// Ends QEMU if it has not ended, and tells how the machine ended.
    pub fn kill(&mut self) -> End {
        let _ = self.child.kill();
        self.finish()
    }

    /// Presses the power button. A guest that ends at once may take QEMU with it before QEMU has answered; that is no error.
    pub fn power_button(&self) -> io::Result<()> {
        let pressed = self
            .session()?
            .execute("system_powerdown", serde_json::json!({}));
        match pressed.map_err(|error| (error.kind(), error)) {
            Ok(_) => Ok(()),
            Err((
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe,
                _,
            )) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    /// A session of QEMU's machine protocol. QEMU serves one at a time.
    pub fn session(&self) -> io::Result<Session> {
        let deadline = Instant::now() + GRACE;
        loop {
            // QEMU makes the socket a moment after it was started.
            match Session::connect(&self.control) {
                Err(_) if Instant::now() < deadline && !self.shared.lock().is_closed => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => return result,
            }
        }
    }

    /// The port of the host that leads to the guest's `port`. A port published as `0:GUEST` was chosen by the system.
    pub fn host_port(&self, protocol: Protocol, port: u16) -> io::Result<u16> {
        let usernet = self.session()?.monitor("info usernet")?;
        let protocol = match protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        };
        let missing =
            || io::Error::other(format!("QEMU forwards nothing to {protocol} port {port}"));
        qmp::forwarded_port(&usernet, protocol, port).ok_or_else(missing)
    }

    /// The value of QEMU's option `-qmp`: where its control socket is.
    pub fn control(&self) -> String {
        self.control.option()
    }

    /// QEMU's process id.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn finish(&mut self) -> End {
        let deadline = Instant::now() + GRACE;
        // The console is closed or the guest has ended: QEMU is on its way out, or has to be helped.
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if self.shared.lock().is_closed && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => {
                    let _ = self.child.kill();
                    break self.child.wait().unwrap_or_default();
                }
            }
        };
        self.await_last_words();
        let state = self.shared.lock();
        let messages = || String::from_utf8_lossy(&state.messages).trim().to_owned();
        state.status.map_or_else(
            || End::Crashed {
                qemu: status,
                messages: messages(),
            },
            End::Exited,
        )
    }

    /// Waits until the pipes of an ended QEMU are read to their end.
    fn await_last_words(&self) {
        let deadline = Instant::now() + GRACE;
        loop {
            let state = self.shared.lock();
            let is_done = state.is_closed && state.are_messages_closed;
            match deadline.checked_duration_since(Instant::now()) {
                Some(left) if !is_done => self.shared.wait(state, left),
                _ => return,
            }
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow_console(mut output: impl Read, shared: &Shared, mut sink: Option<Sink>) {
    let (mut filter, mut visible) = (EndFilter::default(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        let count = read(&mut output, &mut buffer);
        match count {
            0 => filter.finish(&mut visible),
            _ => filter.push(&buffer[..count], &mut visible),
        }
        if let Some(sink) = &mut sink
            && (count == 0 || !visible.is_empty())
        {
            sink(&visible);
            visible.clear();
        }
        let mut state = shared.lock();
        state.record.append(&mut visible);
        state.status = filter.status();
        state.wishes = filter.wishes();
        state.is_closed = count == 0;
        shared.changed.notify_all();
        if count == 0 {
            return;
        }
    }
}

fn follow_messages(mut errors: impl Read, shared: &Shared) {
    let mut buffer = [0; 1024];
    loop {
        let count = read(&mut errors, &mut buffer);
        let mut state = shared.lock();
        let room = MAX_MESSAGE_BYTES.saturating_sub(state.messages.len());
        state.messages.extend_from_slice(&buffer[..count.min(room)]);
        state.are_messages_closed = count == 0;
        shared.changed.notify_all();
        if count == 0 {
            return;
        }
    }
}

/// Reads what there is; 0 at the end or at an error, which both end the stream.
fn read(stream: &mut impl Read, buffer: &mut [u8]) -> usize {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.unwrap_or(0),
        }
    }
}
