//! What can be asked for, with the whole answer ready to be sent.

use crate::request::Persistence;

/// An answer in the three ways in which it says whether the connection goes on.
pub(crate) struct Answer {
    ways: [Text; 3],
}

/// An answer: its head alone for `HEAD`, and with the body.
struct Text {
    whole: &'static [u8],
    head_bytes: usize,
}

impl Answer {
    /// Makes an answer that lives as long as the program.
    fn new(status: &str, content_type: &str, body: &str) -> Self {
        let ways = ["", "Connection: keep-alive\r\n", "Connection: close\r\n"];
        let ways = ways.map(|connection| {
            let head = format!(
                "HTTP/1.1 {status}\r\nServer: toro\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{connection}\r\n",
                body.len()
            );
            let head_bytes = head.len();
            Text {
                whole: (head + body).leak().as_bytes(),
                head_bytes,
            }
        });
        Self { ways }
    }

    /// The bytes to send.
    #[inline]
    pub(crate) fn bytes(&self, is_head: bool, persistence: Persistence) -> &'static [u8] {
        let text = &self.ways[persistence as usize];
        match is_head {
            true => &text.whole[..text.head_bytes],
            false => text.whole,
        }
    }
}

/// All answers.
pub(crate) struct Pages {
    pages: Vec<(&'static str, Answer)>,
    pub(crate) not_found: Answer,
    pub(crate) bad_request: Answer,
    pub(crate) too_large: Answer,
    pub(crate) not_allowed: Answer,
    pub(crate) timed_out: Answer,
}

impl Pages {
    /// Makes the answers.
    pub(crate) fn new() -> Self {
        let html = "text/html; charset=utf-8";
        let index = include_str!("index.html");
        let style = include_str!("style.css");
        let error = |status: &str| Answer::new(status, "text/plain", &format!("{status}\n"));
        Self {
            pages: vec![
                ("/", Answer::new("200 OK", html, index)),
                ("/index.html", Answer::new("200 OK", html, index)),
                ("/style.css", Answer::new("200 OK", "text/css", style)),
            ],
            not_found: Answer::new("404 Not Found", "text/plain", "404 Not Found\n"),
            bad_request: error("400 Bad Request"),
            too_large: error("431 Request Header Fields Too Large"),
            not_allowed: error("501 Not Implemented"),
            timed_out: error("408 Request Timeout"),
        }
    }

    /// The answer for a path; what follows a `?` does not matter.
    #[inline]
    pub(crate) fn find(&self, target: &[u8]) -> &Answer {
        let of = |path: &[u8]| self.pages.iter().find(|(name, _)| name.as_bytes() == path);
        let page = of(target).or_else(|| of(target.split(|byte| *byte == b'?').next()?));
        page.map_or(&self.not_found, |(_, answer)| answer)
    }
}
