//! NATS JetStream with a work-queue stream in files, synced at every write (`sync_interval: always`).
//!
//! There are no batches: a list is a hundred publishes whose acknowledgements are waited for together. Workers share a
//! pull consumer; every job is acknowledged explicitly, and the server's answer to that is waited for (`+ACK` with a
//! reply), pipelined. Urgent jobs go into a second stream.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use async_nats::jetstream::{self, consumer, stream};
use async_trait::async_trait;
use futures_util::{StreamExt, future::try_join_all, stream::select_all};

use super::{LOG, Lanes, Load, Peer, Producer, Programs, Setting, Worker, until_ready};
use crate::{
    calls::keep_under_way,
    floor::Floor,
    intake::Intake,
    jobs::Payload,
    process::{Process, free_port, program},
    wire::Wire,
};

pub(super) struct Nats {
    process: Option<Process>,
    program: PathBuf,
    data: PathBuf,
    port: u16,
    monitor: std::net::SocketAddr,
    context: Option<jetstream::Context>,
}

pub(super) async fn start(programs: &Programs, data: &Path) -> anyhow::Result<Nats> {
    let program = match programs.nats.is_file() {
        true => programs.nats.clone(),
        false => program("nats-server", &[])?,
    };
    let (port, monitor) = (free_port()?.port(), free_port()?);
    let mut peer = Nats { process: None, program, data: data.to_owned(), port, monitor, context: None };
    peer.begin(true).await?;
    // With its last stream the server removes the streams' directory, in the background: after a pause that may be in
    // the very moment in which the next stream is made there, which then fails. So there always is one.
    peer.context().create_stream(work_queue("kept")).await?;
    Ok(peer)
}

impl Nats {
    async fn begin(&mut self, sync: bool) -> anyhow::Result<()> {
        let config = self.data.join("nats.conf");
        let (port, monitor) = (self.port, self.monitor);
        let interval = if sync { "always" } else { "2m" };
        std::fs::write(
            &config,
            format!(
                "listen: 127.0.0.1:{port}\nhttp: {monitor}\njetstream {{\n  store_dir: {:?}\n  sync_interval: {interval}\n  max_file_store: 50GB\n}}\n",
                self.data.join("store")
            ),
        )?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&config);
        let process = self.process.insert(Process::start(&mut command, &self.data.join(LOG))?);
        let context = until_ready(Duration::from_secs(120), || async {
            let context = connect(port).await?;
            context.query_account().await?;
            Ok(context)
        })
        .await?;
        process.check()?;
        self.context = Some(context);
        Ok(())
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs, but for a moment while it is started over")
    }

    fn context(&self) -> &jetstream::Context {
        self.context.as_ref().expect("it was reached when it started")
    }

    /// A page of the monitoring port.
    async fn page(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        let mut wire = Wire::open(self.monitor).await?;
        wire.send(request.as_bytes()).await?;
        // The page ends with the connection.
        while wire.receive().await.is_ok() {}
        let at = memchr::memmem::find(wire.bytes(), b"\r\n\r\n").context("no page")? + 4;
        Ok(serde_json::from_slice(&wire.bytes()[at..])?)
    }
}

async fn connect(port: u16) -> anyhow::Result<jetstream::Context> {
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    let builder = jetstream::context::ContextBuilder::new().timeout(Duration::from_secs(60));
    Ok(builder.max_ack_inflight(16_384).build(client))
}

fn work_queue(name: &str) -> stream::Config {
    stream::Config {
        name: name.to_owned(),
        subjects: vec![name.to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        storage: stream::StorageType::File,
        ..Default::default()
    }
}

fn urgent_of(queue: &str) -> String {
    format!("{queue}-urgent")
}

#[async_trait]
impl Peer for Nats {
    async fn in_force(&self) -> anyhow::Result<Setting> {
        let config = &self.page("/jsz").await?["config"];
        if config["sync_always"] != true {
            bail!("/jsz does not say sync_always: {config}");
        }
        let version = self.page("/varz").await?["version"].as_str().unwrap_or_default().to_owned();
        Ok(Setting {
            version,
            durability: "file storage, sync_interval always (/jsz: sync_always true)".into(),
            list: "100 publishes, their acknowledgements together".into(),
            single: "publish with its own acknowledgement, 256 under way on each of 4 connections".into(),
            working: "a pull consumer, explicit acknowledgement of each, answered by the server, pipelined"
                .into(),
            urgent: "a second stream".into(),
        })
    }

    async fn open(&self, queue: &str) -> anyhow::Result<()> {
        for name in [queue.to_owned(), urgent_of(queue)] {
            let stream = self.context().create_stream(work_queue(&name)).await?;
            let consumer = consumer::pull::Config {
                durable_name: Some("workers".into()),
                ack_policy: consumer::AckPolicy::Explicit,
                ack_wait: Duration::from_secs(120),
                max_ack_pending: 50_000,
                ..Default::default()
            };
            stream.create_consumer(consumer).await?;
        }
        Ok(())
    }

    async fn producer(&self, queue: &str, load: Load) -> anyhow::Result<Box<dyn Producer>> {
        let subject = if load == Load::Urgent { urgent_of(queue) } else { queue.to_owned() };
        Ok(Box::new(Publishes { context: connect(self.port).await?, subject: subject.into() }))
    }

    async fn worker(&self, queue: &str, urgent: bool) -> anyhow::Result<Box<dyn Worker>> {
        let context = connect(self.port).await?;
        let mut consumers = Vec::new();
        let mut names = vec![queue.to_owned()];
        if urgent {
            names.push(urgent_of(queue));
        }
        for name in names {
            consumers.push(context.get_consumer_from_stream("workers", name).await?);
        }
        Ok(Box::new(Pulls { context, consumers }))
    }

    async fn left(&self, queue: &str) -> anyhow::Result<u64> {
        let mut left = 0;
        for name in [queue.to_owned(), urgent_of(queue)] {
            left += self.context().get_stream(name).await?.cached_info().state.messages;
        }
        Ok(left)
    }

    async fn remove(&self, queue: &str) -> anyhow::Result<()> {
        for name in [queue.to_owned(), urgent_of(queue)] {
            self.context().delete_stream(name).await?;
        }
        Ok(())
    }

    async fn sync(&mut self, on: bool) -> anyhow::Result<bool> {
        self.context = None;
        if let Some(process) = self.process.take() {
            process.stop()?;
        }
        self.begin(on).await?;
        Ok(true)
    }

    fn lanes(&self, load: Load) -> Lanes {
        match load {
            Load::Lists => Lanes { connections: 4, depth: 8 },
            Load::Singles | Load::Plain => Lanes { connections: 4, depth: 256 },
            Load::Clock | Load::Urgent => Lanes::STEADY,
        }
    }

    fn freeze(&self) {
        self.process().freeze();
    }

    fn thaw(&self) {
        self.process().thaw();
    }

    fn resident_bytes(&self) -> u64 {
        self.process().resident_bytes()
    }
}

struct Publishes {
    context: jetstream::Context,
    subject: Arc<str>,
}

#[async_trait]
impl Producer for Publishes {
    async fn produce(
        self: Box<Self>,
        intake: Arc<Intake>,
        per_call: usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        let Publishes { context, subject } = *self;
        let mut payload = Payload::new();
        keep_under_way(&intake, per_call, depth, |numbers: Range<u64>| {
            let payloads = payload.each(numbers);
            let (context, subject) = (&context, Arc::clone(&subject));
            async move {
                let count = payloads.len() as u64;
                let mut acknowledgements = Vec::with_capacity(payloads.len());
                for payload in payloads {
                    acknowledgements
                        .push(context.publish(subject.to_string(), payload.into()).await?.into_future());
                }
                try_join_all(acknowledgements).await?;
                Ok(count)
            }
        })
        .await
    }
}

struct Pulls {
    context: jetstream::Context,
    consumers: Vec<consumer::PullConsumer>,
}

#[async_trait]
impl Worker for Pulls {
    async fn work(self: Box<Self>, floor: Arc<Floor>, max: usize) -> anyhow::Result<()> {
        let client = self.context.client();
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await?;
        let mut streams = Vec::new();
        for consumer in &self.consumers {
            streams.push(consumer.stream().max_messages_per_batch(max).messages().await?);
        }
        let mut messages = select_all(streams);
        let mut unanswered = 0;
        loop {
            let stopping = floor.stopping();
            if stopping && unanswered == 0 {
                return Ok(());
            }
            tokio::select! {
                answer = answers.next(), if unanswered > 0 => {
                    let answer = answer.context("the connection was closed")?;
                    if answer.status.is_some() {
                        bail!("an acknowledgement was answered {:?}", answer.status);
                    }
                    unanswered -= 1;
                    floor.complete(1);
                }
                message = messages.next(), if !stopping && unanswered < 2 * max => {
                    let message = message.context("the consumer ended")??;
                    floor.deliver(&message.payload);
                    let reply = message.reply.clone().context("a message cannot be acknowledged")?;
                    client.publish_with_reply(reply, inbox.clone(), "+ACK".into()).await?;
                    unanswered += 1;
                }
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
            }
        }
    }
}
