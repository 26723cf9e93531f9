//! A real browser for a scene: headless Chromium behind chromedriver, with a profile of its own.
//!
//! It waits for what a scene names, never for time; a wait that takes too long panics with what the page showed. A page may
//! be drawn anew at any moment: so what is read or pressed is found and read or pressed in one step, and where the browser
//! needs two, they are done again if the page was drawn anew in between. It takes everything it started with it, also when a
//! scene panics. What a page looks like is not its business.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{
    InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::Url;

use crate::{PATIENCE, POLL_EVERY};

pub use fantoccini::key::Key;

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

/// So often chromedriver may find its port taken.
const STARTS_MAX: usize = 10;

/// Presses `it` as a mouse would: only what is seen, can be pressed, and has nothing over it.
const PRESS: &str = "
    if (it.disabled || !it.checkVisibility()) return null;
    it.scrollIntoView({ block: 'center', behavior: 'instant' });
    const box = it.getBoundingClientRect();
    if (!it.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2))) return null;
    it.focus({ preventScroll: true });
    it.click();
    return true;";

/// One browser with one window.
pub struct Browser {
    client: Client,
    session: String,
    driver: Driver,
    drawn: &'static str,
}

/// An element as a screen reader and an eye meet it.
#[derive(Debug)]
pub struct Met {
    /// The name that is said.
    pub name: String,
    /// The role that is said.
    pub role: String,
    /// Whether it is seen.
    pub is_displayed: bool,
    /// Its text in the page.
    pub html: String,
}

impl Browser {
    /// A browser 1280 pixels wide that shows nothing yet. Its pages are drawn when the expression `drawn` is true.
    pub async fn start(drawn: &'static str) -> Self {
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
        let browser = Self { client, session, driver, drawn };
        browser.resize(1280, 900).await;
        browser
    }

    /// Goes there, and waits until the page is drawn.
    pub async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|failure| panic!("{url} does not load: {failure}"));
        self.drawn().await;
    }

    /// Loads the page again, and waits until it is drawn.
    pub async fn reload(&self) {
        self.client.refresh().await.expect("the page loads again");
        self.drawn().await;
    }

    /// Waits until the page is drawn.
    pub async fn drawn(&self) {
        self.until("the page to be drawn", self.drawn).await;
    }

    /// Requests whose address is like one of these fail from now on.
    pub async fn block(&self, addresses: &[&str]) {
        self.devtools("Network.enable", json!({})).await;
        self.devtools("Network.setBlockedURLs", json!({ "urls": addresses })).await;
    }

    /// The size of the page itself, when it has it: windows of Chromium cannot be as narrow as a phone.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        self.until("the page to have its size", &format!("innerWidth === {width}")).await;
    }

    /// A slow line: what is sent takes its time, and progress can be seen.
    pub async fn upload_bytes_per_second(&self, rate: u32) {
        self.devtools("Network.enable", json!({})).await;
        let conditions =
            json!({ "offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate });
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// What the reader's system asks for, as `("prefers-color-scheme", "dark")`.
    pub async fn prefer(&self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// The mouse pressed twice at one place, with so much time between: in the middle of what `selector` finds before the first
    /// press, whatever the page has drawn there since.
    pub async fn press_twice(&self, selector: &str, gap: Duration) {
        // What is pressed before a page is painted is pressed on nothing: the browser throws it away.
        let painted = "performance.getEntriesByName('first-contentful-paint').length > 0";
        self.until("the page to be painted", painted).await;
        let found = format!("document.querySelector({})", json!(selector));
        self.until(selector, &found).await;
        // In the middle of the screen, so that nothing is scrolled between.
        let centre = format!(
            "(() => {{ const one = {found}; one.scrollIntoView({{ block: 'center', behavior: 'instant' }});
               const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let centre = self.value(&centre).await;
        let [x, y] = [0, 1].map(|at| centre[at].as_f64().expect("a number").round());
        let twice = MouseActions::new("mouse".into())
            .then(PointerAction::MoveTo { duration: None, x, y })
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
            .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT })
            .then(PointerAction::Pause { duration: gap })
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
            .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.client.perform_actions(twice).await.expect("the mouse presses");
    }

    /// What a script returns; its arguments are `arguments[0]` and on.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        match self.client.execute(script, arguments).await {
            Ok(value) => value,
            Err(failure) => panic!("{script}: {failure}"),
        }
    }

    /// The value of an expression.
    pub async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), Vec::new()).await
    }

    /// Waits until an expression is true.
    pub async fn until(&self, what: &str, expression: &str) {
        let started = Instant::now();
        while self.value(&format!("Boolean({expression})")).await != json!(true) {
            self.wait(started, what).await;
        }
    }

    /// Waits until a selector finds something.
    pub async fn find(&self, selector: &str) {
        self.until(&format!("a {selector}"), &format!("document.querySelector({})", json!(selector))).await;
    }

    /// Waits until what a selector finds can be read to say `words`.
    pub async fn says(&self, selector: &str, words: &str) {
        let (found, words) = (json!(selector), json!(words));
        // Of what is not seen, innerText is all that would be there to see.
        let says = format!(
            "(it => it?.checkVisibility() && it.innerText.includes({words}))(document.querySelector({found}))"
        );
        self.until(&format!("{found} to say {words}"), &says).await;
    }

    /// What can be read in what a selector finds; waits until it is there.
    pub async fn text(&self, selector: &str) -> String {
        self.on(selector, "return it.innerText;", json!(null)).await.as_str().expect("a text").to_owned()
    }

    /// An attribute of what a selector finds; waits until it is there and has it.
    pub async fn attr(&self, selector: &str, name: &str) -> String {
        let value = self.on(selector, "return it.getAttribute(more);", json!(name)).await;
        value.as_str().expect("a text").to_owned()
    }

    /// Presses what a selector finds, as soon as it is there and can be pressed.
    pub async fn press(&self, selector: &str) {
        self.on(selector, PRESS, json!(null)).await;
    }

    /// Writes into a field behind what is in it, as a keyboard does.
    pub async fn type_into(&self, selector: &str, text: &str) {
        self.on(selector, "it.focus(); return true;", json!(null)).await;
        self.key(Key::End).await;
        self.strokes(text.chars()).await;
        self.on(selector, "return it.value.endsWith(more) || null;", json!(text)).await;
    }

    /// One key, pressed and let go, wherever the focus is.
    pub async fn key(&self, key: Key) {
        self.strokes([key.into()]).await;
    }

    async fn strokes(&self, keys: impl IntoIterator<Item = char>) {
        let nothing = KeyActions::new("keyboard".to_owned());
        let strokes = keys.into_iter().fold(nothing, |strokes, value| {
            strokes.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.client.perform_actions(strokes).await.expect("the keys are pressed");
    }

    /// Chooses files with the page's file field, as the dialog of a browser does.
    pub async fn choose(&self, files: &[impl AsRef<Path>]) {
        let paths: Vec<&str> =
            files.iter().map(|file| file.as_ref().to_str().expect("a plain path")).collect();
        let paths = paths.join("\n");
        self.with("input[type=file]", async |field| field.send_keys(&paths).await).await;
    }

    /// The first of what a selector finds, as it is met; waits until there is one.
    pub async fn meet(&self, selector: &str) -> Met {
        self.with(selector, async |element| self.met(&element).await).await
    }

    /// Everything that a selector finds, as it is met.
    pub async fn meet_all(&self, selector: &str) -> Vec<Met> {
        let all = async || {
            let mut all = Vec::new();
            for element in self.client.find_all(Locator::Css(selector)).await? {
                all.push(self.met(&element).await?);
            }
            Ok(all)
        };
        self.until_done(selector, all).await
    }

    async fn met(&self, element: &Element) -> Result<Met, CmdError> {
        let computed = async |what: &str| {
            let path = format!("element/{}/{what}", element.element_id());
            let value = self.client.issue_cmd(Ask { method: Method::GET, path, body: None }).await?;
            Ok::<_, CmdError>(value.as_str().expect("a word").to_owned())
        };
        Ok(Met {
            name: computed("computedlabel").await?,
            role: computed("computedrole").await?,
            is_displayed: element.is_displayed().await?,
            html: element.html(false).await?,
        })
    }

    /// Runs a script on what a selector finds, `it`, with `more`, until it returns something.
    async fn on(&self, selector: &str, script: &str, more: Value) -> Value {
        let script = format!(
            "const [selector, more] = arguments;
             const it = document.querySelector(selector);
             if (!it) return null;
             {script}"
        );
        let started = Instant::now();
        loop {
            match self.run(&script, vec![json!(selector), more.clone()]).await {
                Value::Null => self.wait(started, selector).await,
                value => return value,
            }
        }
    }

    /// Does something with what a selector finds, in the two steps that the browser needs.
    async fn with<T>(&self, selector: &str, act: impl AsyncFn(Element) -> Result<T, CmdError>) -> T {
        let act = async || act(self.client.find(Locator::Css(selector)).await?).await;
        self.until_done(selector, act).await
    }

    /// What is found may be drawn anew before something was done with it; then nothing was done, and it is found again.
    async fn until_done<T>(&self, selector: &str, act: impl AsyncFn() -> Result<T, CmdError>) -> T {
        let started = Instant::now();
        loop {
            match act().await {
                Ok(done) => return done,
                Err(failure) => self.wait(started, &format!("{selector} ({failure})")).await,
            }
        }
    }

    /// A short wait; panics when all patience has been used, with what the page says.
    async fn wait(&self, started: Instant, what: &str) {
        if started.elapsed() > PATIENCE {
            let page = self.value("document.body.innerText").await;
            panic!("waited too long for {what}; the page says:\n{}", page.as_str().unwrap_or_default());
        }
        tokio::time::sleep(POLL_EVERY).await;
    }

    /// Asserts that the console has no error and no warning but those that contain `expected`: Chromium itself writes one
    /// for every refused request, and some scenes want requests refused. Asking empties the console.
    pub async fn assert_quiet_but(&self, expected: &[&str]) {
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

    /// Asserts that the console has no error and no warning.
    pub async fn assert_quiet(&self) {
        self.assert_quiet_but(&[]).await;
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
            driver.read_exact(&mut [0; 1])
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
    /// It chooses a port that is free for IPv6 and wants the same one for IPv4, where somebody may have it. Then it ends, and
    /// another one has another port.
    fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut said = String::new();
        for _ in 0..STARTS_MAX {
            let mut child = Command::new("chromedriver")
                .arg("--port=0")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|failure| {
                    panic!("chromedriver does not start ({failure}); `make prepare` installs it")
                });
            let lines = BufReader::new(child.stdout.take().expect("an output")).lines();
            for line in lines.map_while(Result::ok) {
                // "ChromeDriver was started successfully on port 40123."
                let port = line.split_once("started successfully on port ");
                if let Some(port) = port.and_then(|(_, port)| port.trim_end_matches('.').parse().ok()) {
                    return Self { child, port, profile };
                }
                said += &line;
                said.push('\n');
            }
            drop(child.kill());
            drop(child.wait());
        }
        panic!("chromedriver does not say its port, {STARTS_MAX} times; it says:\n{said}");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
