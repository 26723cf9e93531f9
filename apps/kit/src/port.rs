//! A port of our own: nobody else gets it, also while the program that listens on it is away.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port on loopback. Its socket is bound and never listened on, so that the system gives the port to nobody else as long as
/// this value is there; a program that is told to can listen on it. Whoever connects while none does is refused.
#[derive(Debug)]
pub struct Port {
    _bound: TcpSocket,
    address: SocketAddr,
}

impl Port {
    /// One that nobody else has.
    ///
    /// # Errors
    /// The system's.
    pub fn own() -> std::io::Result<Self> {
        let bound = TcpSocket::new_v4()?;
        // Who listens on it says this as well, as servers do; else one of the two would be in the other's way.
        bound.set_reuseaddr(true)?;
        bound.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = bound.local_addr()?;
        Ok(Self { _bound: bound, address })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn a_port_of_ones_own_is_refused_listened_on_again_and_again_and_nobody_elses() {
        let port = Port::own().expect("a port");
        for _ in 0..2 {
            TcpStream::connect(port.address()).expect_err("nobody listens");
            let listener = tokio::net::TcpListener::bind(port.address()).await.expect("it is ours");
            drop(TcpStream::connect(port.address()).expect("somebody listens"));
            drop(listener);
        }
        let others: Vec<Port> = (0..200).map(|_| Port::own().expect("a port")).collect();
        assert!(others.iter().all(|other| other.address() != port.address()));
    }
}
