//! The words of an answer: status line and fields (RFC 9112, section 4).

/// A status that this server gives (RFC 9110, section 15; RFC 6585 for 431).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    PartialContent,
    MovedPermanently,
    NotModified,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    UriTooLong,
    RangeNotSatisfiable,
    HeaderFieldsTooLarge,
    InternalServerError,
    VersionNotSupported,
}

impl Status {
    /// Number and phrase.
    pub(crate) fn text(self) -> &'static str {
        // The status lines are the table; all begin with the version.
        self.line().trim_start_matches("HTTP/1.1 ").trim_end()
    }

    /// The three digits.
    pub(crate) fn number(self) -> &'static str {
        // The status lines are the table; all begin with the version.
        &self.line()["HTTP/1.1 ".len().."HTTP/1.1 200".len()]
    }

    fn line(self) -> &'static str {
        match self {
            Self::Ok => "HTTP/1.1 200 OK\r\n",
            Self::PartialContent => "HTTP/1.1 206 Partial Content\r\n",
            Self::MovedPermanently => "HTTP/1.1 301 Moved Permanently\r\n",
            Self::NotModified => "HTTP/1.1 304 Not Modified\r\n",
            Self::BadRequest => "HTTP/1.1 400 Bad Request\r\n",
            Self::NotFound => "HTTP/1.1 404 Not Found\r\n",
            Self::MethodNotAllowed => "HTTP/1.1 405 Method Not Allowed\r\n",
            Self::RequestTimeout => "HTTP/1.1 408 Request Timeout\r\n",
            Self::UriTooLong => "HTTP/1.1 414 URI Too Long\r\n",
            Self::RangeNotSatisfiable => "HTTP/1.1 416 Range Not Satisfiable\r\n",
            Self::HeaderFieldsTooLarge => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
            Self::InternalServerError => "HTTP/1.1 500 Internal Server Error\r\n",
            Self::VersionNotSupported => "HTTP/1.1 505 HTTP Version Not Supported\r\n",
        }
    }
}

/// Whether the connection goes on after the answer, and whether that has to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// It goes on, as it does by default.
    KeepAlive,
    /// It goes on, which an HTTP/1.0 client wants to read.
    KeepAliveSaid,
    /// It ends.
    Close,
}

/// Writes the status line and the fields that every answer has.
pub(crate) fn begin(out: &mut Vec<u8>, status: Status, date: &str, persistence: Persistence) {
    out.extend_from_slice(status.line().as_bytes());
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date.as_bytes());
    out.extend_from_slice(match persistence {
        Persistence::KeepAlive => b"\r\n".as_slice(),
        Persistence::KeepAliveSaid => b"\r\nConnection: keep-alive\r\n",
        Persistence::Close => b"\r\nConnection: close\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_with_status_date_and_connection() {
        let begun = |persistence| {
            let mut out = Vec::new();
            begin(&mut out, Status::NotFound, "DATE", persistence);
            String::from_utf8(out).unwrap()
        };
        let start = "HTTP/1.1 404 Not Found\r\nDate: DATE\r\n";
        assert_eq!(begun(Persistence::KeepAlive), start);
        assert_eq!(
            begun(Persistence::KeepAliveSaid),
            format!("{start}Connection: keep-alive\r\n")
        );
        assert_eq!(
            begun(Persistence::Close),
            format!("{start}Connection: close\r\n")
        );
        assert_eq!(Status::UriTooLong.text(), "414 URI Too Long");
        assert_eq!(Status::UriTooLong.number(), "414");
    }
}
