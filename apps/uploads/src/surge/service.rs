//! The service under load: one that is already there, or a child of our own, this same program as `uploads serve`.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use app_kit::process::{Process, Setup};

use super::admin::Admin;

/// Its messages, in its data directory.
const MESSAGES: &str = "surge-service.log";

/// A service that answers.
pub(crate) struct Service {
    pub(crate) admin: Admin,
    own: Option<Process>,
}

impl Service {
    /// The service at this URL.
    pub(crate) async fn given(url: &str) -> anyhow::Result<Service> {
        let (address, host) = resolve(url)?;
        let service = Service { admin: Admin::new(address, host), own: None };
        service.admin.backlog().await.with_context(|| format!("no upload service at {url}"))?;
        Ok(service)
    }

    /// A new child; `arguments` are further ones of `serve`.
    pub(crate) async fn start(
        program: PathBuf,
        data: PathBuf,
        arguments: Vec<String>,
    ) -> anyhow::Result<Service> {
        let messages = data.join(MESSAGES);
        let kept_back = &["UPLOADS_", "TIDEGATE_"];
        let own =
            Process::start(Setup { name: "the service", program, data, arguments, messages, kept_back })
                .await?;
        let address = own.address();
        let mut service = Service { admin: Admin::new(address, address.to_string()), own: Some(own) };
        service.wait_until_healthy().await?;
        Ok(service)
    }

    /// Kills our own service as a crash would, and starts it again on the same data and port.
    pub(crate) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.own.as_mut().context("a service that is not ours is not killed")?.kill_and_restart()?;
        self.wait_until_healthy().await
    }

    /// Processor time used so far, if the service is ours.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.own.as_ref()?.cpu()
    }

    /// Fails as soon as our own service has ended without being asked to.
    pub(crate) async fn ended(&mut self) -> anyhow::Error {
        match &mut self.own {
            Some(own) => own.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Ends our own service and waits for it; one that is not ours goes on. Says what was wrong, if anything was.
    pub(crate) async fn end(self) -> anyhow::Result<Option<String>> {
        match self.own {
            Some(own) => own.end().await,
            None => Ok(None),
        }
    }

    async fn wait_until_healthy(&mut self) -> anyhow::Result<()> {
        match &mut self.own {
            Some(own) => own.until(async || self.admin.is_healthy().await).await,
            None => Ok(()),
        }
    }
}

/// The address behind a URL, and the name to call it by.
fn resolve(url: &str) -> anyhow::Result<(SocketAddr, String)> {
    let authority =
        url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
    let authority = authority.trim_end_matches('/');
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    let mut addresses = with_port.to_socket_addrs().with_context(|| format!("cannot find {authority}"))?;
    Ok((addresses.next().with_context(|| format!("{authority} has no address"))?, authority.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_resolved() {
        let address = "127.0.0.1:7421".parse().expect("an address");
        assert_eq!(resolve("http://127.0.0.1:7421/").expect("a URL"), (address, "127.0.0.1:7421".into()));
        assert_eq!(resolve("http://127.0.0.1").expect("a URL").0.port(), 80);
        resolve("https://127.0.0.1").expect_err("no TLS");
        resolve("127.0.0.1:7421").expect_err("no URL");
    }
}
