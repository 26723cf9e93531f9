//! The lines to the portal: connections that are kept alive and shared by all browsers.
//!
//! A request waits in line until a connection is free. While the portal is away, connecting is tried again and again
//! until the request's patience ends; what a student waits for that counts as waiting for the answer.

use std::{
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use app_kit::wire::{Broken, Connection, Response};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout_at},
};

/// Before a connection is tried again: doubled each time up to the second value.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// Connections to one address.
pub(crate) struct Lines {
    address: SocketAddr,
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("nothing came before the patience ended")]
    Late,
}

impl Lines {
    pub(crate) fn new(address: SocketAddr, connections: usize) -> Lines {
        Lines { address, places: Semaphore::new(connections), idle: Mutex::new(Vec::new()) }
    }

    /// One request, one answer, by this moment. What it waits for a connection is added to `stood`.
    pub(crate) async fn call<T>(
        &self,
        request: &[u8],
        by: Instant,
        stood: &mut Duration,
        read: impl FnOnce(&Response<'_>) -> T,
    ) -> Result<T, Unanswered> {
        let call = async {
            let came = Instant::now();
            let _place = self.places.acquire().await.expect("nobody closes it");
            let mut connection = self.connected().await;
            *stood += came.elapsed();
            let answer = connection.exchange(request, &[]).await?;
            let (closes, read) = (answer.head.closes, read(&answer));
            if !closes {
                self.idle.lock().expect("no holder panics").push(connection);
            }
            Ok(read)
        };
        timeout_at(by.into(), call).await.unwrap_or(Err(Unanswered::Late))
    }

    /// A connection, as soon as the portal takes it.
    async fn connected(&self) -> Connection {
        let mut wait = RECONNECT.0;
        loop {
            let idle = self.idle.lock().expect("no holder panics").pop();
            if let Some(connection) = idle {
                if connection.is_closed() {
                    continue;
                }
                return connection;
            }
            if let Ok(connection) = Connection::open(self.address).await {
                return connection;
            }
            // Nobody listens: the portal is being started again.
            sleep(wait).await;
            wait = (wait * 2).min(RECONNECT.1);
        }
    }
}
