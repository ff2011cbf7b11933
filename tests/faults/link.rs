//! The way from the daemons to PostgreSQL: a proxy that behaves as it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Clear,
    /// Each piece waits for so long.
    Late(Duration),
    /// Byte by byte.
    Dripping,
    /// Nothing travels, nothing is closed.
    Silent,
    /// Open connections go on; new ones are closed at once.
    Refusing,
}

#[derive(Clone)]
struct Orders {
    weather: watch::Receiver<Weather>,
    /// Changed: every connection is closed.
    cut: watch::Receiver<u64>,
    /// Changed: the server's half of every connection is closed.
    half_close: watch::Receiver<u64>,
}

pub struct Link {
    address: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    weather: watch::Sender<Weather>,
    cut: watch::Sender<u64>,
    half_close: watch::Sender<u64>,
}

impl Link {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(target));
        let (weather, weather_seen) = watch::channel(Weather::Clear);
        let (cut, cut_seen) = watch::channel(0);
        let (half_close, half_close_seen) = watch::channel(0);
        let orders = Orders { weather: weather_seen, cut: cut_seen, half_close: half_close_seen };
        let to = target.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = *to.lock().unwrap();
                let refused = *orders.weather.borrow() == Weather::Refusing;
                if !refused {
                    tokio::spawn(carry(client, server, orders.clone()));
                }
            }
        });
        Self { address, target, weather, cut, half_close }
    }

    /// A URL to the server as one through this link, without encryption, which would not change the bytes' way.
    pub fn through(&self, url: &str) -> String {
        let (head, rest) = url.split_once('@').unwrap();
        let (_, path) = rest.split_once('/').unwrap();
        format!("{head}@{}/{path}?sslmode=disable", self.address)
    }

    /// The server listens elsewhere now.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.target.lock().unwrap() = target;
    }

    pub fn weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    pub fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    pub fn half_close(&self) {
        self.half_close.send_modify(|count| *count += 1);
    }
}

async fn carry(client: TcpStream, server: SocketAddr, mut orders: Orders) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // What was ordered before this connection is none of its own.
    orders.cut.mark_unchanged();
    orders.half_close.mark_unchanged();
    let (weather, mut half_close) = (orders.weather.clone(), orders.half_close.clone());
    let upward = pump(from_client, to_server, weather.clone());
    let downward = async {
        tokio::select! {
            () = pump(from_server, to_client, weather) => {}
            _ = half_close.changed() => {}
        }
        // Here the server's half is dropped, and the client sees its end.
    };
    tokio::select! {
        _ = async { tokio::join!(upward, downward) } => {}
        _ = orders.cut.changed() => {}
    }
}

async fn pump(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, mut weather: watch::Receiver<Weather>) {
    let mut buffer = vec![0; 8192];
    loop {
        let Ok(length @ 1..) = from.read(&mut buffer).await else { return };
        if weather.wait_for(|weather| *weather != Weather::Silent).await.is_err() {
            return;
        }
        let now = *weather.borrow();
        let sent = match now {
            Weather::Late(delay) => {
                tokio::time::sleep(delay).await;
                to.write_all(&buffer[..length]).await
            }
            Weather::Dripping => drip(&mut to, &buffer[..length]).await,
            _ => to.write_all(&buffer[..length]).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn drip(to: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        to.write_all(std::slice::from_ref(byte)).await?;
        to.flush().await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
