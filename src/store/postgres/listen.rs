//! LISTEN on a connection of its own: a hint that ends the poller's pause. A connection that died in silence is noticed by a
//! ping; a lost one is made anew after a pause. Polling remains the truth.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::AsyncMessage;

use super::PostgresStore;
use super::tls::connector;
use crate::backoff::Backoff;
use crate::store::StoreError;

const PING: Duration = Duration::from_secs(30);
const RECONNECT: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(60) };

impl PostgresStore {
    /// Wakes `bell` at each notification, and after each reconnection (one may have been missed). Runs until dropped.
    pub async fn listen(self: Arc<Self>, bell: Arc<Notify>) {
        let mut failures = 0;
        loop {
            let error = match self.listen_once(&bell, &mut failures).await {
                Ok(()) => "the connection closed".to_owned(),
                Err(error) => error.to_string(),
            };
            let pause = RECONNECT.delay(failures, rand::random());
            failures += 1;
            tracing::debug!(%error, ?pause, "not listening for notifications; polling goes on");
            tokio::time::sleep(pause).await;
        }
    }

    async fn listen_once(&self, bell: &Notify, failures: &mut u32) -> Result<(), StoreError> {
        let tls = connector(&self.target).map_err(|message| super::error::permanent("connect", message))?;
        let connecting = timeout(PING, self.target.config.connect(tls)).await;
        let (client, mut connection) = connecting.map_err(|_| silent())??;
        let messages = stream::poll_fn(move |context| connection.poll_message(context));
        tokio::pin!(messages);
        let pinger = async {
            self.round_trips.count();
            timeout(PING, client.batch_execute("LISTEN nerd_jobs")).await.map_err(|_| silent())??;
            bell.notify_one();
            loop {
                tokio::time::sleep(PING).await;
                self.round_trips.count();
                timeout(PING, client.simple_query("SELECT 1")).await.map_err(|_| silent())??;
            }
        };
        tokio::pin!(pinger);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(Ok(AsyncMessage::Notification(_))) => {
                        *failures = 0;
                        bell.notify_one();
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
                ended = &mut pinger => return ended,
            }
        }
    }
}

fn silent() -> StoreError {
    super::error::transient("timeout", "the listening connection does not answer")
}
