//! A real server in this process, on a socket and a directory of its own, that can be stopped and started again.
#![allow(dead_code, reason = "every test target uses its own part")]

use std::net::SocketAddr;

use tempfile::TempDir;
use tidegate::Client;
use tidegate_engine::Engine;
use tidegate_server::{Options, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server. Its directory goes when it is dropped.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl House {
    /// A server on a new directory.
    pub(crate) async fn open() -> House {
        let directory = tempfile::tempdir().expect("a directory");
        let mut house = House {
            address: "127.0.0.1:0".parse().expect("an address"),
            directory,
            stop: None,
            serving: None,
        };
        house.start().await;
        house
    }

    /// Starts the server on its directory, at the address it had before.
    pub(crate) async fn start(&mut self) {
        let options = tidegate_engine::Options { seed: Some(1), ..tidegate_engine::Options::default() };
        let engine = Engine::open(self.directory.path().join("data"), options).expect("the engine opens");
        let server = Server::listen(self.address, Options::default()).await.expect("the address is free");
        self.address = server.local_address();
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        self.serving = Some(tokio::spawn(async move {
            server.serve(engine, async { drop(stopped.await) }).await.expect("the server serves");
        }));
    }

    /// Stops the server; its directory stays.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            serving.await.expect("the server ends well");
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.url()).expect("an address")
    }
}
