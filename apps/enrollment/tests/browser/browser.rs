//! A real browser for a scene: headless Chromium behind chromedriver, with a profile of its own.
//!
//! It waits for what a scene names, never for time; a wait that takes too long panics with what the page showed. It takes
//! everything it started with it, also when a scene panics. What a page looks like is not its business.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

/// Patience with a machine that is busy with other tests; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(20);

const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// One browser with one window.
pub(crate) struct Browser {
    client: Client,
    session: String,
    driver: Driver,
}

impl Browser {
    /// A browser 1280 pixels wide that shows nothing yet.
    pub(crate) async fn start() -> Self {
        let driver = Driver::start();
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", driver.profile.path().display()));
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": flags }));
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .unwrap_or_else(|failure| panic!("Chromium does not start: {failure}"));
        let session = client.session_id().await.expect("an answer").expect("a session");
        let browser = Self { client, session, driver };
        browser.resize(1280, 900).await;
        browser
    }

    /// A browser that shows `url`, drawn.
    pub(crate) async fn open(url: &str) -> Self {
        let browser = Self::start().await;
        browser.go(url).await;
        browser
    }

    /// Goes there, and waits until the page is drawn.
    pub(crate) async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|failure| panic!("{url} does not load: {failure}"));
        self.ready().await;
    }

    pub(crate) async fn reload(&self) {
        self.client.refresh().await.expect("the page loads again");
        self.ready().await;
    }

    async fn ready(&self) {
        self.until("the page to be drawn", "document.documentElement.dataset.ready").await;
    }

    /// Requests whose address is like one of these fail from now on.
    pub(crate) async fn block(&self, addresses: &[&str]) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setBlockedURLs", json!({ "urls": addresses })).await;
    }

    /// The size of the page itself: windows of Chromium cannot be as narrow as a phone.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// What a script returns; its arguments are `arguments[0]` and on.
    pub(crate) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        match self.client.execute(script, arguments).await {
            Ok(value) => value,
            Err(failure) => panic!("{script}: {failure}"),
        }
    }

    /// The value of an expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), Vec::new()).await
    }

    /// Waits until an expression is true.
    pub(crate) async fn until(&self, what: &str, expression: &str) {
        let started = Instant::now();
        while self.value(&format!("Boolean({expression})")).await != json!(true) {
            if started.elapsed() > PATIENCE {
                let page = self.value("document.body.innerText").await;
                panic!("waited too long for {what}; the page says:\n{}", page.as_str().unwrap_or_default());
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Waits until a selector finds something.
    pub(crate) async fn find(&self, selector: &str) {
        self.until(&format!("a {selector}"), &format!("document.querySelector({})", json!(selector))).await;
    }

    /// Presses what a selector finds, as soon as it is there and can be pressed.
    pub(crate) async fn press(&self, selector: &str) {
        let started = Instant::now();
        // The page may draw it anew between the look and the press; then nothing was pressed, and it is looked for again.
        while let Err(failure) = self.pressed(selector).await {
            assert!(started.elapsed() < PATIENCE, "{selector}: {failure}");
        }
    }

    async fn pressed(&self, selector: &str) -> Result<(), CmdError> {
        self.find(selector).await;
        self.client.find(Locator::Css(selector)).await?.click().await
    }

    /// What can be read in what a selector finds; waits until it is there.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let read = format!("document.querySelector({})?.innerText ?? null", json!(selector));
        let started = Instant::now();
        // Found and read in one step: between two, the page may draw it anew.
        loop {
            if let Value::String(text) = self.value(&read).await {
                return text;
            }
            assert!(started.elapsed() < PATIENCE, "waited too long for a {selector}");
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Waits until what a selector finds can be read to say `words`.
    pub(crate) async fn says(&self, selector: &str, words: &str) {
        let (found, words) = (json!(selector), json!(words));
        let says = format!("document.querySelector({found})?.innerText.includes({words})");
        self.until(&format!("{found} to say {words}"), &says).await;
    }

    /// Asserts that the console has no error and no warning but those that contain `expected`: Chromium itself writes one
    /// for every refused request, and some scenes want requests refused. Asking empties the console.
    pub(crate) async fn assert_quiet_but(&self, expected: &[&str]) {
        let body = Some(json!({ "type": "browser" }));
        let entries = self.ask(Ask { method: Method::POST, path: "se/log".to_owned(), body }).await;
        let loud: Vec<&str> = entries
            .as_array()
            .expect("a list of entries")
            .iter()
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].as_str().expect("a message"))
            .filter(|message| !expected.iter().any(|part| message.contains(part)))
            .collect();
        assert!(loud.is_empty(), "the console says: {loud:#?}");
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let body = Some(json!({ "cmd": command, "params": parameters }));
        self.ask(Ask { method: Method::POST, path: "goog/cdp/execute".to_owned(), body }).await;
    }

    async fn ask(&self, ask: Ask) -> Value {
        let described = format!("{ask:?}");
        match self.client.issue_cmd(ask).await {
            Ok(value) => value,
            Err(failure) => panic!("{described}: {failure}"),
        }
    }
}

impl Drop for Browser {
    /// The session is ended by hand: a scene that panics has no time for the client, and Chromium would outlive its driver.
    fn drop(&mut self) {
        let farewell = || -> std::io::Result<()> {
            let mut driver = TcpStream::connect((Ipv4Addr::LOCALHOST, self.driver.port))?;
            driver.set_read_timeout(Some(Duration::from_secs(10)))?;
            let (session, port) = (&self.session, self.driver.port);
            write!(driver, "DELETE /session/{session} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
            // The driver answers when the browser is gone, and keeps the connection.
            driver.read(&mut [0; 64]).map(drop)
        };
        // Nothing can be done about a failure here but to end the driver, which comes next.
        drop(farewell());
    }
}

/// What WebDriver has and the client has no method for.
#[derive(Debug)]
struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
}

impl WebDriverCompatibleCommand for Ask {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (self.method.clone(), self.body.as_ref().map(Value::to_string))
    }
}

/// chromedriver on a free port, and the profile its browser will have.
struct Driver {
    child: Child,
    port: u16,
    profile: TempDir,
}

impl Driver {
    fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|failure| {
                panic!("chromedriver does not start ({failure}); `make prepare` installs it")
            });
        // It chooses its port itself and says so: "ChromeDriver was started successfully on port 40123."
        let said = BufReader::new(child.stdout.take().expect("an output"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        Self { child, port: port.expect("chromedriver says its port"), profile }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
