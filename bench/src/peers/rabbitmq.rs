//! RabbitMQ with a quorum queue of one member, publisher confirms and manual acknowledgements.
//!
//! A quorum queue confirms a message when its log is synced (its write-ahead log's `wal_sync_method`, read back here).
//! There are no batches: a list is a hundred publishes whose confirms are waited for together. The protocol does not
//! answer a worker's acknowledgement, so its completions are counted when they are sent: in its favour. Quorum queues
//! have no priorities in this version; urgent jobs go into a second queue.

use std::{ops::Range, path::Path, process::Command, time::Duration};

use anyhow::{Context, bail};
use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt, future::try_join_all, stream::select_all};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};

use super::{LOG, Lanes, Load, Peer, Producer, Setting, Worker, until_ready};
use crate::{
    calls::keep_under_way,
    floor::Floor,
    intake::Intake,
    jobs::Payload,
    process::{Process, free_port, program},
};
use std::sync::Arc;

const PROBE: &str = "probe";

pub(super) struct Rabbitmq {
    process: Process,
    /// Erlang's register of names, our own, so that it ends with us.
    names: Process,
    port: u16,
    connection: Connection,
    version: String,
    sync_method: String,
}

pub(super) async fn start(data: &Path) -> anyhow::Result<Rabbitmq> {
    let bin = Path::new("/usr/lib/rabbitmq/bin");
    let (port, names_port, distribution) = (free_port()?.port(), free_port()?.port(), free_port()?.port());
    let plugins = data.join("enabled_plugins");
    std::fs::write(&plugins, "[].\n")?;
    std::fs::write(
        data.join("rabbitmq.conf"),
        format!("listeners.tcp.1 = 127.0.0.1:{port}\nloopback_users.guest = true\n"),
    )?;
    let names_at = names_port.to_string();
    let with_environment = |command: &mut Command| {
        command
            .current_dir(data)
            .env("HOME", data)
            .env("ERL_EPMD_PORT", &names_at)
            .env("RABBITMQ_NODENAME", format!("bench{port}@localhost"))
            .env("RABBITMQ_MNESIA_BASE", data.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", data.join("log"))
            .env("RABBITMQ_CONFIG_FILE", data.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", data.join("none"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", &plugins)
            .env("RABBITMQ_DIST_PORT", distribution.to_string());
    };
    let mut names = Command::new(program("epmd", &[])?);
    names.args(["-port", &names_at, "-address", "127.0.0.1"]);
    let names = Process::start(&mut names, &data.join(LOG))?;
    let server =
        program("rabbitmq-server", &[bin, Path::new("/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin")])?;
    let mut command = Command::new(server);
    with_environment(&mut command);
    let mut process = Process::start(&mut command, &data.join(LOG))?;
    let connection = until_ready(Duration::from_secs(90), || connect(port)).await?;
    process.check()?;
    let version = version_of(&connection);
    let peer = Rabbitmq { process, names, port, connection, version, sync_method: String::new() };
    peer.declare(PROBE).await?;

    // What its log does, and of what kind its queues are, it says itself.
    let control = program("rabbitmqctl", &[bin])?;
    let mut ask = Command::new(control);
    with_environment(&mut ask);
    ask.args([
        "eval",
        "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"probe\">>)), \
         {amqqueue:get_type(Q), maps:get(wal_sync_method, ra_system:fetch(quorum_queues), datasync), \
          maps:get(wal_write_strategy, ra_system:fetch(quorum_queues), default)}.",
    ]);
    let output = ask.output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !said.contains("rabbit_quorum_queue") {
        bail!(
            "it does not say that its queues are quorum queues: {said} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let sync_method = ["datasync", "sync"].into_iter().find(|method| said.contains(&format!(",{method},")));
    let sync_method = sync_method.with_context(|| format!("its log is not synced: {said}"))?.to_owned();
    Ok(Rabbitmq { sync_method, ..peer })
}

async fn connect(port: u16) -> anyhow::Result<Connection> {
    let address = format!("amqp://guest:guest@127.0.0.1:{port}/%2f?heartbeat=0");
    Ok(Connection::connect(&address, ConnectionProperties::default()).await?)
}

fn version_of(_connection: &Connection) -> String {
    // The client library does not show the server's properties; the package's directory does.
    let found = std::fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    let mut names = found.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find_map(|name| name.strip_prefix("rabbitmq_server-").map(String::from)).unwrap_or_default()
}

fn urgent_of(queue: &str) -> String {
    format!("{queue}-urgent")
}

impl Rabbitmq {
    async fn declare(&self, queue: &str) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.into(), options, arguments).await?;
        Ok(())
    }
}

#[async_trait]
impl Peer for Rabbitmq {
    async fn in_force(&self) -> anyhow::Result<Setting> {
        Ok(Setting {
            version: self.version.clone(),
            durability: format!(
                "quorum queue (of one member), confirms, wal_sync_method {}",
                self.sync_method
            ),
            list: "100 publishes, their confirms together".into(),
            single: "publish with its own confirm, 256 under way on each of 4 connections".into(),
            working:
                "a consumer with prefetch 200, acknowledged up to 100 at once; AMQP does not answer that"
                    .into(),
            urgent: "a second queue, consumed beside the first".into(),
        })
    }

    async fn open(&self, queue: &str) -> anyhow::Result<()> {
        self.declare(queue).await?;
        self.declare(&urgent_of(queue)).await
    }

    async fn producer(&self, queue: &str, load: Load) -> anyhow::Result<Box<dyn Producer>> {
        let connection = connect(self.port).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let queue = if load == Load::Urgent { urgent_of(queue) } else { queue.to_owned() };
        Ok(Box::new(Publishes { connection, channel, queue }))
    }

    async fn worker(&self, queue: &str, urgent: bool) -> anyhow::Result<Box<dyn Worker>> {
        let mut queues = vec![queue.to_owned()];
        if urgent {
            queues.push(urgent_of(queue));
        }
        Ok(Box::new(Consumes { connection: connect(self.port).await?, queues }))
    }

    async fn left(&self, queue: &str) -> anyhow::Result<u64> {
        let mut left = 0;
        for name in [queue.to_owned(), urgent_of(queue)] {
            let channel = self.connection.create_channel().await?;
            let options = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
            let found = channel.queue_declare(name.into(), options, FieldTable::default()).await?;
            left += u64::from(found.message_count());
            channel.close(200, "done".into()).await?;
        }
        Ok(left)
    }

    async fn remove(&self, queue: &str) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        for name in [queue.to_owned(), urgent_of(queue)] {
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
        }
        channel.close(200, "done".into()).await?;
        Ok(())
    }

    fn lanes(&self, load: Load) -> Lanes {
        match load {
            Load::Lists => Lanes { connections: 4, depth: 8 },
            Load::Singles | Load::Plain => Lanes { connections: 4, depth: 256 },
            Load::Clock | Load::Urgent => Lanes::STEADY,
        }
    }

    fn freeze(&self) {
        self.process.freeze();
    }

    fn thaw(&self) {
        self.process.thaw();
    }

    fn resident_bytes(&self) -> u64 {
        self.process.resident_bytes() + self.names.resident_bytes()
    }
}

struct Publishes {
    connection: Connection,
    channel: Channel,
    queue: String,
}

#[async_trait]
impl Producer for Publishes {
    async fn produce(
        self: Box<Self>,
        intake: Arc<Intake>,
        per_call: usize,
        depth: usize,
    ) -> anyhow::Result<()> {
        let Publishes { connection, channel, queue } = *self;
        let mut payload = Payload::new();
        let (channel, queue) = (&channel, &queue);
        keep_under_way(&intake, per_call, depth, |numbers: Range<u64>| {
            let payloads = payload.each(numbers);
            async move {
                let mut confirms = Vec::with_capacity(payloads.len());
                for payload in &payloads {
                    let persistent = BasicProperties::default().with_delivery_mode(2);
                    let options = BasicPublishOptions::default();
                    confirms.push(
                        channel
                            .basic_publish("".into(), queue.as_str().into(), options, payload, persistent)
                            .await?,
                    );
                }
                let confirms = try_join_all(confirms).await?;
                if confirms.iter().any(|confirm| !confirm.is_ack()) {
                    bail!("a message was not confirmed");
                }
                Ok(payloads.len() as u64)
            }
        })
        .await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}

struct Consumes {
    connection: Connection,
    queues: Vec<String>,
}

#[async_trait]
impl Worker for Consumes {
    async fn work(self: Box<Self>, floor: Arc<Floor>, max: usize) -> anyhow::Result<()> {
        let mut consumers = Vec::new();
        let mut channels = Vec::new();
        for (at, queue) in self.queues.iter().enumerate() {
            let channel = self.connection.create_channel().await?;
            channel.basic_qos(2 * max as u16, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            let consumer = channel
                .basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default())
                .await?;
            consumers.push(consumer.map(move |delivery| (at, delivery)));
            channels.push(channel);
        }
        let mut deliveries = select_all(consumers);
        // Of each queue: the last tag that was delivered and not acknowledged, and how many there are.
        let mut held = vec![(0, 0u64); channels.len()];
        loop {
            let stopping = floor.stopping();
            let next = match deliveries.next().now_or_never() {
                Some(next) if !stopping => next,
                _ => {
                    // Nothing more is there: acknowledge what is held, then wait.
                    for (at, (tag, count)) in held.iter_mut().enumerate().filter(|(_, (_, count))| *count > 0)
                    {
                        channels[at].basic_ack(*tag, BasicAckOptions { multiple: true }).await?;
                        floor.complete(std::mem::take(count));
                    }
                    if stopping {
                        break;
                    }
                    match tokio::time::timeout(Duration::from_millis(200), deliveries.next()).await {
                        Ok(next) => next,
                        Err(_) => continue,
                    }
                }
            };
            let (at, delivery) = next.context("the consumer ended")?;
            let delivery = delivery?;
            floor.deliver(&delivery.data);
            held[at] = (delivery.delivery_tag, held[at].1 + 1);
            if held[at].1 >= max as u64 {
                channels[at].basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
                floor.complete(std::mem::take(&mut held[at].1));
            }
        }
        // What was fetched ahead goes back to the queue with the connection.
        self.connection.close(200, "done".into()).await?;
        Ok(())
    }
}
