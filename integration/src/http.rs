//! A small HTTP/1.1 client over a Unix socket: what a plain Docker API client needs, nothing more.
//!
//! One connection, kept alive. It is the peer in `cargo xtask bench deploy`, so it must not be
//! slower than an ordinary client: one write per request, one buffered reader.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// A connection to one socket, opened when first used and again after the server closed it.
pub struct Connection {
    socket: PathBuf,
    stream: Option<BufReader<UnixStream>>,
}

/// An answer with its whole body.
#[derive(Debug)]
pub struct Response {
    /// HTTP status code.
    pub status: u16,
    /// Body, with any chunked encoding taken off.
    pub body: Vec<u8>,
}

impl Connection {
    /// A connection to `socket`; nothing is opened yet.
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), stream: None }
    }

    /// Sends one request and reads the whole answer. `body` is a content type and the bytes.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Response> {
        let reused = self.stream.is_some();
        match self.exchange(method, path, body) {
            // The server may have closed an idle connection just before we wrote to it.
            Err(_) if reused => {
                self.stream = None;
                self.exchange(method, path, body)
            }
            answer => answer,
        }
        .with_context(|| format!("{method} {path} on `{}`", self.socket.display()))
    }

    /// Sends a GET whose answer never ends, and returns the stream after its head. Chunk sizes are still in it.
    pub fn follow(self, path: &str) -> Result<BufReader<UnixStream>> {
        let mut stream = BufReader::new(UnixStream::connect(&self.socket)?);
        write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n")?;
        let status = read_line(&mut stream)?;
        if !status.contains(" 200 ") {
            bail!("GET {path} on `{}`: {status}", self.socket.display());
        }
        while !read_line(&mut stream)?.is_empty() {}
        Ok(stream)
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(UnixStream::connect(&self.socket)?),
        };
        let (kind, bytes) = body.unwrap_or(("application/json", b""));
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        )
        .into_bytes();
        if bytes.len() < 65_536 {
            head.extend_from_slice(bytes);
            stream.get_mut().write_all(&head)?;
        } else {
            stream.get_mut().write_all(&head)?;
            stream.get_mut().write_all(bytes)?;
        }
        let (response, keep) = read_response(&mut stream, method)?;
        if keep {
            self.stream = Some(stream);
        }
        Ok(response)
    }
}

/// How the end of a body is known.
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

fn read_response(stream: &mut impl BufRead, method: &str) -> Result<(Response, bool)> {
    let status_line = read_line(stream)?;
    let status: u16 = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("not an HTTP status line: `{status_line}`"))?;
    let mut framing = Framing::UntilClose;
    let mut keep = true;
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let length = value.parse().with_context(|| format!("content length `{value}`"))?;
                framing = Framing::Length(length);
            }
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => {
                framing = Framing::Chunked;
            }
            "connection" if value.eq_ignore_ascii_case("close") => keep = false,
            _ => {}
        }
    }
    if method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
        framing = Framing::Length(0);
    }
    let mut body = Vec::new();
    match framing {
        Framing::Length(length) => {
            body.resize(length, 0);
            stream.read_exact(&mut body)?;
        }
        Framing::Chunked => loop {
            let size = read_line(stream)?;
            let digits = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .with_context(|| format!("chunk size `{size}`"))?;
            let start = body.len();
            body.resize(start + size, 0);
            stream.read_exact(&mut body[start..])?;
            read_line(stream)?;
            if size == 0 {
                break;
            }
        },
        Framing::UntilClose => {
            keep = false;
            stream.read_to_end(&mut body)?;
        }
    }
    Ok((Response { status, body }, keep))
}

fn read_line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        bail!("connection closed in the middle of an answer");
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, status: u16, body: &str, keep: bool) {
        let (response, kept) = read_response(&mut raw.as_bytes(), "GET").unwrap();
        assert_eq!(response.status, status);
        assert_eq!(String::from_utf8(response.body).unwrap(), body);
        assert_eq!(kept, keep);
    }

    #[test]
    fn reads_a_body_of_known_length() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokrest", 200, "ok", true);
    }

    #[test]
    fn joins_chunks() {
        let raw =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        check(raw, 200, "abcde", true);
    }

    #[test]
    fn reads_until_close_when_nothing_says_how_long() {
        check("HTTP/1.1 200 OK\r\n\r\nall of it", 200, "all of it", false);
    }

    #[test]
    fn no_content_has_no_body() {
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
    }
}
