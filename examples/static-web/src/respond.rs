//! The answer to a request: which file, which part of it, which status.

use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::connection::{MAX_OUTPUT_BYTES, Output};
use crate::date::{self, Clock};
use crate::files::{Entry, Files, Found};
use crate::path;
use crate::range::{self, Part};
use crate::request::{Method, Request};
use crate::response::{Persistence, Status, begin};

/// What a folder shows.
const INDEX: &[u8] = b"index.html";
/// The folder of the log, which is nobody's business.
const LOGS: &[u8] = b"logs";
/// What is shown in place of a file that is not there.
const NOT_FOUND_PAGE: &[u8] = b"404.html";

/// Answers the requests of one connection.
pub(crate) struct Responder<'a> {
    files: &'a Files,
    clock: Clock,
    /// The path of the request; kept for its memory.
    path: Vec<u8>,
}

impl<'a> Responder<'a> {
    pub(crate) fn new(files: &'a Files, clock: Clock) -> Self {
        let path = Vec::new();
        Self { files, clock, path }
    }

    /// Writes the answer to `request`.
    pub(crate) fn respond(
        &mut self,
        request: &Request<'_>,
        output: &mut Output<'_>,
    ) -> io::Result<()> {
        let now = self.clock.tick();
        if request.method == Method::Other {
            self.explain(
                Status::MethodNotAllowed,
                "Allow: GET, HEAD\r\n",
                request,
                output,
            );
            return Ok(());
        }
        if path::decode(request.target, &mut self.path).is_err() {
            self.explain(Status::BadRequest, "", request, output);
            return Ok(());
        }
        if self.path.last().is_none_or(|&byte| byte == b'/') {
            self.path.extend_from_slice(INDEX);
        }
        if self.path.starts_with(LOGS) && matches!(self.path.get(LOGS.len()), None | Some(b'/')) {
            return self.send_not_found(now, request, output);
        }
        match self.files.find(&self.path, now) {
            Ok(Found::File(entry)) => self.send_file(&entry, request, output),
            Ok(Found::Directory) => {
                self.redirect(request, output);
                Ok(())
            }
            Err(Status::NotFound) => self.send_not_found(now, request, output),
            Err(status) => {
                self.explain(status, "", request, output);
                Ok(())
            }
        }
    }

    /// Writes the answer to something that is no request, or none yet.
    pub(crate) fn refuse(&mut self, status: Status, output: &mut Output<'_>) {
        self.clock.tick();
        output.status = status;
        begin(
            output.buffer(),
            status,
            self.clock.text(),
            Persistence::Close,
        );
        self.write_page(status, "", true, output);
    }

    /// The date of the last answer.
    pub(crate) fn date(&self) -> &str {
        self.clock.text()
    }

    fn begin(&self, status: Status, request: &Request<'_>, output: &mut Output<'_>) {
        output.status = status;
        begin(
            output.buffer(),
            status,
            self.clock.text(),
            request.persistence(),
        );
    }

    fn send_file(
        &self,
        entry: &Entry,
        request: &Request<'_>,
        output: &mut Output<'_>,
    ) -> io::Result<()> {
        if is_unchanged(entry, request) {
            self.begin(Status::NotModified, request, output);
            let modified = &entry.modified_text;
            let _ = write!(output.buffer(), "Last-Modified: {modified}\r\n\r\n");
            return Ok(());
        }
        let len = entry.len;
        match part(entry, request) {
            Part::Whole => {
                self.begin(Status::Ok, request, output);
                output.buffer().extend_from_slice(entry.fields.as_bytes());
                send_content(entry, 0, len, request, output)
            }
            Part::Some(range) => {
                let count = range.end - range.start;
                self.begin(Status::PartialContent, request, output);
                let (first, last) = (range.start, range.end - 1);
                let (kind, modified) = (entry.content_type, &entry.modified_text);
                let _ = write!(
                    output.buffer(),
                    "Content-Type: {kind}\r\nContent-Length: {count}\r\nContent-Range: bytes {first}-{last}/{len}\r\n\
                     Last-Modified: {modified}\r\nAccept-Ranges: bytes\r\n\r\n"
                );
                send_content(entry, first, count, request, output)
            }
            Part::Unsatisfiable => {
                let field = format!("Content-Range: bytes */{len}\r\n");
                self.explain(Status::RangeNotSatisfiable, &field, request, output);
                Ok(())
            }
        }
    }

    /// Sends the client of a folder to the same with a slash, so that the page's relative links lead on from there.
    fn redirect(&mut self, request: &Request<'_>, output: &mut Output<'_>) {
        self.path.push(b'/');
        let mut field = format!("Location: {}", path::encode(&self.path)).into_bytes();
        // The query is sent back as it came: the request's lines have no control characters.
        let query = request.target.iter().position(|&byte| byte == b'?');
        field.extend_from_slice(&request.target[query.unwrap_or(request.target.len())..]);
        self.begin(Status::MovedPermanently, request, output);
        output.buffer().extend_from_slice(&field);
        output.buffer().extend_from_slice(b"\r\n");
        self.write_page(
            Status::MovedPermanently,
            "",
            request.method != Method::Head,
            output,
        );
    }

    fn send_not_found(
        &self,
        now: u64,
        request: &Request<'_>,
        output: &mut Output<'_>,
    ) -> io::Result<()> {
        let Ok(Found::File(entry)) = self.files.find(NOT_FOUND_PAGE, now) else {
            self.explain(Status::NotFound, "", request, output);
            return Ok(());
        };
        self.begin(Status::NotFound, request, output);
        let (kind, len) = (entry.content_type, entry.len);
        let _ = write!(
            output.buffer(),
            "Content-Type: {kind}\r\nContent-Length: {len}\r\n\r\n"
        );
        send_content(&entry, 0, len, request, output)
    }

    /// Writes an answer that is a page about its own status.
    fn explain(&self, status: Status, field: &str, request: &Request<'_>, output: &mut Output<'_>) {
        self.begin(status, request, output);
        self.write_page(status, field, request.method != Method::Head, output);
    }

    fn write_page(&self, status: Status, field: &str, has_content: bool, output: &mut Output<'_>) {
        let text = status.text();
        let page = format!("<!doctype html>\n<title>{text}</title>\n<h1>{text}</h1>\n");
        let len = page.len();
        let out = output.buffer();
        let _ = write!(
            out,
            "{field}Content-Type: text/html; charset=utf-8\r\nContent-Length: {len}\r\n\r\n"
        );
        if has_content {
            out.extend_from_slice(page.as_bytes());
        }
    }
}

/// RFC 9110, 13.1.3.
fn is_unchanged(entry: &Entry, request: &Request<'_>) -> bool {
    let Some(since) = request.if_modified_since else {
        return false;
    };
    since == entry.modified_text.as_bytes()
        || date::parse(since).is_some_and(|since| entry.modified_seconds <= since)
}

/// RFC 9110, 13.1.5 and 14.2: only GET has ranges, and `If-Range` must name this very state of the file.
fn part(entry: &Entry, request: &Request<'_>) -> Part {
    let is_same = request
        .if_range
        .is_none_or(|state| state == entry.modified_text.as_bytes());
    match request.range {
        Some(range) if is_same && request.method == Method::Get => range::parse(range, entry.len),
        _ => Part::Whole,
    }
}

/// Sends `count` bytes of the file from `first` on, which have been announced.
fn send_content(
    entry: &Entry,
    first: u64,
    count: u64,
    request: &Request<'_>,
    output: &mut Output<'_>,
) -> io::Result<()> {
    if request.method == Method::Head {
        return Ok(());
    }
    if let Some(content) = &entry.content {
        // The range was cut to `entry.len`, which is the length of the content.
        return output.send(&content[first as usize..][..count as usize]);
    }
    let mut file = entry.open()?;
    file.seek(SeekFrom::Start(first))?;
    let mut buffer = vec![0; MAX_OUTPUT_BYTES];
    let mut left = count;
    output.flush()?;
    while left > 0 {
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match file.read(&mut buffer[..len])? {
            // The file has become shorter: an answer shorter than announced tells the client.
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                output.send(&buffer[..len])?;
                left -= len as u64;
            }
        }
    }
    Ok(())
}
