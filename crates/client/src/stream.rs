//! Bodies that arrive in pieces: newline-delimited JSON and multiplexed log frames.

use std::{collections::VecDeque, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use smr_wire::{ApiError, StreamItem};

use crate::error::{Error, transport};

/// Longest line or frame that is accepted.
const MAX_ITEM: usize = 16 << 20;

/// Cuts a byte stream into lines.
#[derive(Debug, Default)]
pub struct LineDecoder {
    buffer: BytesMut,
    searched: usize,
}

impl LineDecoder {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line without its end; blank lines are left out.
    pub fn next_line(&mut self) -> Option<Bytes> {
        while let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let mut line = self.buffer.split_to(self.searched + end + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Some(line.freeze());
            }
        }
        self.searched = self.buffer.len();
        None
    }

    /// What is left after the last line end.
    pub fn rest(&mut self) -> Option<Bytes> {
        self.searched = 0;
        let rest = self.buffer.split().freeze();
        (!rest.is_empty()).then_some(rest)
    }

    fn len(&self) -> usize {
        self.buffer.len()
    }
}

/// Where a piece of log was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// Where it was written to.
    pub source: LogSource,
    /// What was written; not necessarily whole lines.
    pub bytes: Bytes,
}

/// A frame of a log.
#[derive(Debug, Clone, PartialEq)]
pub enum LogFrame {
    /// Output.
    Chunk(LogChunk),
    /// The log ends here, because of this.
    Error(Box<ApiError>),
}

/// Takes multiplexed frames apart: stream id, three zero bytes, big-endian length, payload. Ids 0
/// and 1 are standard output, 2 is standard error, 3 an error as JSON, which is the last frame.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame.
    ///
    /// # Errors
    /// What is wrong with the header, or with an error from the other side.
    pub fn next_frame(&mut self) -> Result<Option<LogFrame>, String> {
        let Some(header) = self.buffer.first_chunk::<8>() else { return Ok(None) };
        let source = match header {
            [0 | 1, 0, 0, 0, ..] => Some(LogSource::Stdout),
            [2, 0, 0, 0, ..] => Some(LogSource::Stderr),
            [3, 0, 0, 0, ..] => None,
            _ => return Err(format!("`{:02x?}` is no frame header", &header[..4])),
        };
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        if length > MAX_ITEM {
            return Err(format!("a frame of {length} bytes"));
        }
        if self.buffer.len() < 8 + length {
            return Ok(None);
        }
        self.buffer.advance(8);
        let bytes = self.buffer.split_to(length).freeze();
        match source {
            Some(source) => Ok(Some(LogFrame::Chunk(LogChunk { source, bytes }))),
            None => serde_json::from_slice(&bytes)
                .map(|error| Some(LogFrame::Error(Box::new(error))))
                .map_err(|err| format!("a frame with a bad error, {err}")),
        }
    }
}

/// The pieces of a body; an error when nothing comes for `silence`, if that is given.
pub(crate) fn chunks(
    url: String,
    response: reqwest::Response,
    silence: Option<Duration>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + Unpin {
    let body = Box::pin(response.bytes_stream());
    Box::pin(stream::unfold(Some((body, url)), move |state| async move {
        let (mut body, url) = state?;
        let next = match silence {
            Some(silence) => match tokio::time::timeout(silence, body.next()).await {
                Ok(next) => next,
                Err(_) => return Some((Err(Error::Timeout { url, after: silence }), None)),
            },
            None => body.next().await,
        };
        match next? {
            Ok(bytes) => Some((Ok(bytes), Some((body, url)))),
            Err(err) => Some((Err(transport(&url, err.without_url().into(), false)), None)),
        }
    }))
}

struct Items<S> {
    chunks: S,
    lines: LineDecoder,
    path: &'static str,
    ended: bool,
}

/// Reads a body of newline-delimited [`StreamItem`]s. Errors sent by the cluster become errors of
/// the stream, after which it ends.
pub(crate) fn items(
    chunks: impl Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    path: &'static str,
) -> impl Stream<Item = Result<StreamItem, Error>> + Send + Unpin {
    let state = Items { chunks, lines: LineDecoder::default(), path, ended: false };
    Box::pin(stream::unfold(state, |mut state| async move {
        loop {
            if let Some(line) = state.lines.next_line() {
                let item = parse(&line, state.path);
                state.ended |= item.is_err();
                if state.ended {
                    state.lines = LineDecoder::default();
                }
                return Some((item, state));
            }
            if state.ended {
                return None;
            }
            match state.chunks.next().await {
                Some(Ok(bytes)) if state.lines.len() + bytes.len() <= MAX_ITEM => {
                    state.lines.push(&bytes);
                }
                Some(Ok(_)) => {
                    state.ended = true;
                    let what = format!("a line of more than {MAX_ITEM} bytes");
                    return Some((Err(Error::Protocol { url: state.path.into(), what }), state));
                }
                Some(Err(err)) => {
                    state.ended = true;
                    return Some((Err(err), state));
                }
                None => {
                    state.ended = true;
                    if let Some(rest) = state.lines.rest() {
                        return Some((parse(&rest, state.path), state));
                    }
                }
            }
        }
    }))
}

fn parse(line: &[u8], path: &str) -> Result<StreamItem, Error> {
    match serde_json::from_slice(line) {
        Ok(StreamItem::Error(err)) => Err(err.into()),
        Ok(item) => Ok(item),
        Err(err) => Err(Error::Protocol { url: path.to_owned(), what: format!("bad line, {err}") }),
    }
}

/// Reads a body of multiplexed frames. Errors sent by the cluster become errors of the stream,
/// after which it ends.
pub(crate) fn frames(
    chunks: impl Stream<Item = Result<Bytes, Error>> + Send + Unpin,
    path: &'static str,
) -> impl Stream<Item = Result<LogChunk, Error>> + Send + Unpin {
    chunks
        .scan((FrameDecoder::default(), false), move |(decoder, failed), chunk| {
            let mut out = VecDeque::new();
            if *failed {
                return std::future::ready(None);
            }
            match chunk {
                Ok(bytes) => {
                    decoder.push(&bytes);
                    loop {
                        match decoder.next_frame() {
                            Ok(Some(LogFrame::Chunk(chunk))) => out.push_back(Ok(chunk)),
                            Ok(Some(LogFrame::Error(err))) => {
                                *failed = true;
                                out.push_back(Err(Error::Api(err)));
                                break;
                            }
                            Ok(None) => break,
                            Err(what) => {
                                *failed = true;
                                out.push_back(Err(Error::Protocol { url: path.into(), what }));
                                break;
                            }
                        }
                    }
                }
                Err(err) => {
                    *failed = true;
                    out.push_back(Err(err));
                }
            }
            std::future::ready(Some(stream::iter(out)))
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_arrive_in_any_pieces() {
        let mut lines = LineDecoder::default();
        let mut got = Vec::new();
        for piece in ["{\"a\"", ":1}\n\n{", "}\nrest"] {
            lines.push(piece.as_bytes());
            while let Some(line) = lines.next_line() {
                got.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        assert_eq!(got, ["{\"a\":1}", "{}"]);
        assert_eq!(lines.rest().unwrap(), "rest");
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn frames_may_arrive_in_any_pieces() {
        let mut body = vec![1, 0, 0, 0, 0, 0, 0, 2];
        body.extend_from_slice(b"hi");
        body.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 3]);
        body.extend_from_slice(b"bad");
        let mut decoder = FrameDecoder::default();
        let mut got = Vec::new();
        for byte in body {
            decoder.push(&[byte]);
            got.extend(decoder.next_frame().unwrap());
        }
        let chunk =
            |source, text: &'static str| LogFrame::Chunk(LogChunk { source, bytes: text.into() });
        assert_eq!(got, [chunk(LogSource::Stdout, "hi"), chunk(LogSource::Stderr, "bad")]);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let mut decoder = FrameDecoder::default();
        decoder.push(b"plain text");
        assert_eq!(decoder.next_frame().unwrap_err(), "`[70, 6c, 61, 69]` is no frame header");
        let mut decoder = FrameDecoder::default();
        decoder.push(&[1, 0, 0, 0, 255, 255, 255, 255]);
        assert_eq!(decoder.next_frame().unwrap_err(), "a frame of 4294967295 bytes");
    }

    #[tokio::test]
    async fn an_error_ends_a_stream_of_frames() {
        let mut body = b"\x01\0\0\0\0\0\0\x02hi".to_vec();
        let error = br#"{"code":"engine_unavailable","message":"no engine"}"#;
        body.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, u8::try_from(error.len()).unwrap()]);
        body.extend_from_slice(error);
        body.extend_from_slice(b"\x01\0\0\0\0\0\0\x05never");
        let got: Vec<_> = frames(stream::iter([Ok(Bytes::from(body))]), "/x").collect().await;
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].as_ref().unwrap().bytes, "hi");
        let error = got[1].as_ref().unwrap_err();
        assert_eq!(error.code(), Some(smr_wire::Code::EngineUnavailable));
        let mut decoder = FrameDecoder::default();
        decoder.push(b"\x03\0\0\0\0\0\0\x01{");
        assert!(decoder.next_frame().unwrap_err().starts_with("a frame with a bad error"));
    }

    #[tokio::test]
    async fn an_error_ends_a_stream_of_items() {
        let body = concat!(
            r#"{"progress":7}"#,
            "\n",
            r#"{"error":{"code":"compacted","message":"revision 3 is gone"}}"#,
            "\n",
            r#"{"progress":8}"#
        );
        let chunks = stream::iter([Ok(Bytes::from_static(body.as_bytes()))]);
        let got: Vec<_> = items(chunks, "/x").collect().await;
        assert_eq!(got.len(), 2);
        assert_eq!(got[0].as_ref().unwrap(), &StreamItem::Progress(7));
        assert_eq!(got[1].as_ref().unwrap_err().to_string(), "revision 3 is gone");
    }
}
