//! Questions to a server and its answers: by datagrams, and over a connection what does not fit into one (RFC 7766).

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::Ordering;

use super::ResolveError;
use super::message::{Answer, Kind, Question};
use crate::arch::clock;
use crate::network::Network;
use crate::network::error::Error;
use crate::network::socket::tcp::TcpSocket;
use crate::network::socket::udp::{UdpSocket, Wishes};

/// Answers that are not to our questions, from one server, before it is given up.
const MAX_STRAY: usize = 16;
/// Largest message over UDP that a resolver without extensions gets.
const MESSAGE_BYTES: usize = 512;

fn failed(_: Error) -> ResolveError {
    ResolveError::NoAnswer
}

/// Asks a server for a name, for all kinds at once; what it says of each.
///
/// # Errors
/// [`ResolveError::NoAnswer`] when nothing comes of any in time.
pub(super) fn ask(
    network: &'static Network,
    server: SocketAddr,
    name: &[u8],
    kinds: &[Kind],
    timeout_ns: u64,
) -> Result<Vec<Answer>, ResolveError> {
    let questions: Vec<Question<'_>> = kinds
        .iter()
        .map(|kind| Question {
            id: network.ports.random_u64() as u16,
            name,
            kind: *kind,
        })
        .collect();
    // A port of its own for each name, so that an answer is hard to forge (RFC 5452).
    let socket = UdpSocket::new(network, server.is_ipv6());
    socket.connect(Some(server)).map_err(failed)?;
    for question in &questions {
        let message = question.write();
        socket
            .send(&message, None, &Wishes::default(), false)
            .map_err(failed)?;
    }
    let deadline_ns = clock::now_ns().saturating_add(timeout_ns);
    let mut answers: Vec<Option<Answer>> = vec![None; questions.len()];
    let mut message = [0; MESSAGE_BYTES];
    for _ in 0..MAX_STRAY + questions.len() {
        let left_ns = deadline_ns.saturating_sub(clock::now_ns()).max(1);
        socket.read_timeout_ns.store(left_ns, Ordering::Relaxed);
        let Ok((len, _)) = socket.receive(&mut message, false, false) else {
            break;
        };
        let message = message.get(..len).unwrap_or_default();
        for (question, place) in questions.iter().zip(&mut answers) {
            if place.is_none() {
                *place = question.read_answer(message);
            }
        }
        if answers.iter().all(Option::is_some) {
            break;
        }
    }
    if answers.iter().all(Option::is_none) {
        return Err(ResolveError::NoAnswer);
    }
    let whole = |(question, answer): (&Question<'_>, Option<Answer>)| match answer {
        Some(Answer::Truncated) => ask_by_connection(network, server, question, timeout_ns)
            .unwrap_or(Answer::Failed(ResolveError::NoAnswer)),
        Some(answer) => answer,
        None => Answer::Failed(ResolveError::NoAnswer),
    };
    Ok(questions.iter().zip(answers).map(whole).collect())
}

/// Asks a question over a connection, on which messages come behind their lengths.
fn ask_by_connection(
    network: &'static Network,
    server: SocketAddr,
    question: &Question<'_>,
    timeout_ns: u64,
) -> Option<Answer> {
    let socket = TcpSocket::new(network, server.is_ipv6());
    socket.write_timeout_ns.store(timeout_ns, Ordering::Relaxed);
    socket.connect(server, false).ok()?;
    let message = question.write();
    let len = u16::try_from(message.len()).ok()?.to_be_bytes();
    socket.send(&[&len[..], &message].concat(), false).ok()?;
    let deadline_ns = clock::now_ns().saturating_add(timeout_ns);
    let receive = |buf: &mut [u8]| -> Option<()> {
        let mut at = 0;
        while at < buf.len() {
            let left_ns = deadline_ns.checked_sub(clock::now_ns())?.max(1);
            socket.read_timeout_ns.store(left_ns, Ordering::Relaxed);
            match socket.receive(buf.get_mut(at..)?, false, false) {
                Ok(0) | Err(_) => return None,
                Ok(len) => at += len,
            }
        }
        Some(())
    };
    let mut len = [0; 2];
    receive(&mut len)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    receive(&mut answer)?;
    // One that is cut off here too has no more to it.
    match question.read_answer(&answer)? {
        Answer::Truncated => None,
        answer => Some(answer),
    }
}
