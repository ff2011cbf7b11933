//! A proxy before PostgreSQL that counts how often the server says "ready for query": once for each wait of a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Default)]
pub struct Answers {
    pub ready: Arc<AtomicU64>,
    pub connections: Arc<AtomicU64>,
}

impl Answers {
    /// Answers to statements: each connection's first one ended its handshake.
    pub fn statements(&self) -> u64 {
        self.ready.load(Ordering::SeqCst) - self.connections.load(Ordering::SeqCst)
    }
}

/// Starts the proxy on the test's runtime; returns the URL that leads through it, without encryption, which it could not read.
pub async fn counting(url: &str) -> (String, Answers) {
    let server = url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = url.replace(&server, &listener.local_addr().unwrap().to_string());
    let answers = Answers::default();
    let counted = answers.clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let upstream = TcpStream::connect(&server).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = upstream.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut first = true;
                // A message is a byte for its kind, its length (which counts itself), its body.
                while let Ok(kind) = from_server.read_u8().await {
                    let length = from_server.read_u32().await.unwrap();
                    let mut body = vec![0; length as usize - 4];
                    from_server.read_exact(&mut body).await.unwrap();
                    if kind == b'Z' {
                        counted.ready.fetch_add(1, Ordering::SeqCst);
                        counted.connections.fetch_add(u64::from(std::mem::take(&mut first)), Ordering::SeqCst);
                    }
                    let message = [&[kind][..], &length.to_be_bytes(), &body].concat();
                    if to_client.write_all(&message).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (format!("{through}?sslmode=disable"), answers)
}
