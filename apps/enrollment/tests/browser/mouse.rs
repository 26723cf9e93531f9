//! A browser with a real mouse for a scene: pointer actions of WebDriver, so that a press is where it was whatever the page has drawn there since.
//! It does nothing else; [`crate::browser`] has the rest.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Patience with a machine that is busy with other tests; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(20);

/// One browser, and the mouse in it.
pub(crate) struct Mouse {
    client: Client,
    session: String,
    port: u16,
    driver: Child,
    _profile: TempDir,
}

impl Mouse {
    /// A browser that shows nothing yet.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory");
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|failure| {
                panic!("chromedriver does not start ({failure}); `make prepare` installs it")
            });
        let said = BufReader::new(driver.stdout.take().expect("an output"));
        let port = said.lines().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("chromedriver says its port");
        let flags = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": flags }));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|failure| panic!("Chromium does not start: {failure}"));
        let session = client.session_id().await.expect("an answer").expect("a session");
        Self { client, session, port, driver, _profile: profile }
    }

    /// Goes there, and waits until the page is drawn.
    pub(crate) async fn go(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|failure| panic!("{url} does not load: {failure}"));
        self.until("the page to be drawn", "document.documentElement.dataset.ready").await;
        // What is pressed before a page is painted is pressed on nothing: the browser throws it away.
        let painted = "performance.getEntriesByName('first-contentful-paint').length > 0";
        self.until("the page to be painted", painted).await;
        self.until("the page to hear of changes", "document.querySelector('#live').dataset.state === 'live'")
            .await;
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

    /// The value of an expression.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.client.execute(&script, Vec::new()).await.unwrap_or_else(|failure| panic!("{script}: {failure}"))
    }

    /// Presses twice at one place, with so much time between: where `selector` finds something before the first press.
    pub(crate) async fn press_twice(&self, selector: &str, gap: Duration) {
        self.until(selector, &format!("document.querySelector({})", json!(selector))).await;
        // In the middle of the screen, so that nothing is scrolled between.
        let centre = format!(
            "(() => {{ const one = document.querySelector({}); one.scrollIntoView({{ block: 'center' }});
               const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()",
            json!(selector)
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

    /// Presses what a selector finds.
    pub(crate) async fn press(&self, selector: &str) {
        self.until(selector, &format!("document.querySelector({})", json!(selector))).await;
        let found = self.client.find(Locator::Css(selector)).await.expect("it is there");
        found.click().await.unwrap_or_else(|failure| panic!("{selector}: {failure}"));
    }
}

impl Drop for Mouse {
    /// The session is ended by hand: a scene that panics has no time for the client, and Chromium would outlive its driver.
    fn drop(&mut self) {
        let farewell = || -> std::io::Result<()> {
            let mut driver = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            driver.set_read_timeout(Some(Duration::from_secs(10)))?;
            let (session, port) = (&self.session, self.port);
            write!(driver, "DELETE /session/{session} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
            driver.read(&mut [0; 64]).map(drop)
        };
        drop(farewell());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
