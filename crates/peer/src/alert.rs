//! A TLS stream that remembers what TLS said when it ended, and counts bytes.
//!
//! With TLS 1.3 a client learns only after its handshake that its certificate was refused, and
//! HTTP/2 does not hand on why a connection ended.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of a connection from outside.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Serial number of the certificate of the other side.
    pub(crate) serial: String,
    /// Why the other side ended it, if it said so.
    pub(crate) alert: OnceLock<rustls::AlertDescription>,
}

/// Bytes to and from a peer, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// The stream.
pub(crate) struct Gauged<S> {
    inner: S,
    gauge: Arc<Gauge>,
    traffic: Arc<Traffic>,
    /// How writing ended.
    broken: Option<io::ErrorKind>,
}

impl<S> Gauged<S> {
    pub(crate) fn new(inner: S, gauge: Arc<Gauge>, traffic: Arc<Traffic>) -> Self {
        Self { inner, gauge, traffic, broken: None }
    }

    fn note(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            let _ = self.gauge.alert.set(*alert);
        }
    }
}

impl<S: AsyncRead + Unpin> Gauged<S> {
    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Ok(count) => {
                self.traffic.sent.fetch_add(count as u64, Relaxed);
                Poll::Ready(Ok(count))
            }
            Err(error) => {
                self.note(&error);
                self.broken = Some(error.kind());
                self.last_words(context).map(Err)
            }
        }
    }

    /// Who is hung up on while writing finds the reason among what was sent to it before; the
    /// end of that is sure to come.
    fn last_words(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let kind = self.broken.unwrap_or(io::ErrorKind::BrokenPipe);
        let mut scratch = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) => return Poll::Ready(kind.into()),
                Err(error) => {
                    self.note(&error);
                    return Poll::Ready(kind.into());
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gauged<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.inner).poll_read(context, buffer);
        if let Poll::Ready(result) = &poll {
            if let Err(error) = result {
                self.note(error);
            }
            self.traffic.received.fetch_add((buffer.filled().len() - before) as u64, Relaxed);
        }
        poll
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gauged<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return self.last_words(context).map(Err);
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes));
        self.written(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.broken.is_some() {
            return self.last_words(context).map(Err);
        }
        let flushed = ready!(Pin::new(&mut self.inner).poll_flush(context));
        self.written(context, flushed.map(|()| 0)).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.broken.is_some() {
            return self.last_words(context).map(Err);
        }
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, pieces));
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
