//! A mail server that is closed at first: it answers every connection with 421, as one does that cannot take mail now.
//! Once opened it takes every mail and counts them. It speaks as much SMTP as it takes to receive a mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A mail server on a port of its own.
pub(crate) struct MailServer {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: AtomicBool,
    mails: AtomicUsize,
}

impl MailServer {
    /// One that refuses every connection, with words.
    pub(crate) async fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&accepting);
                // A client that hangs up in the middle has not delivered anything.
                tokio::spawn(async move { drop(shared.talk(stream).await) });
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    pub(crate) fn open(&self) {
        self.shared.open.store(true, Ordering::SeqCst);
    }

    /// How many mails it has taken.
    pub(crate) fn mails(&self) -> usize {
        self.shared.mails.load(Ordering::SeqCst)
    }
}

impl Shared {
    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        if !self.open.load(Ordering::SeqCst) {
            return stream.write_all(b"421 4.3.2 closed for the night\r\n").await;
        }
        stream.write_all(b"220 ready\r\n").await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    while line != ".\r\n" {
                        line.clear();
                        if stream.read_line(&mut line).await? == 0 {
                            return Ok(());
                        }
                    }
                    self.mails.fetch_add(1, Ordering::SeqCst);
                    "250 taken\r\n"
                }
                "QUIT" => return stream.write_all(b"221 bye\r\n").await,
                _ => "250 fine\r\n",
            };
            stream.write_all(answer.as_bytes()).await?;
            line.clear();
        }
        Ok(())
    }
}
