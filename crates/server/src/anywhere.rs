//! A future that goes on where it was woken, if that thread is at leisure, and on its executor otherwise.
//!
//! An answer is let go by the log's thread, and its connection's task is on a thread of the runtime. On a busy machine that
//! one is awake; on a machine at rest waking it takes longer than all that is left to do. So the log's thread (or one that has
//! read a payload for the answer), when it is [at leisure](tidegate_engine::at_leisure), does it itself: it polls the future until that waits again, which is when
//! the answer is written and the next request is not there yet.
//!
//! Promises: the future is polled by one thread at a time, and misses nothing it was woken for; if it panics, its executor
//! hears of it, as if it had been polled there; with whoever waits for it, it is dropped. Left out: when a future should rather
//! go on at home. It says so itself, with [`come_home`]. And it must not own the last hold on its engine: whoever lets go of
//! that waits for the very threads that poll it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::thread;

use tokio::runtime::Handle;

thread_local! {
    /// Whether this thread polls a future that is at home elsewhere.
    static AWAY: Cell<bool> = const { Cell::new(false) };
}

/// See the module. It is at home in the runtime in which this is called.
pub(crate) fn anywhere<F>(future: F) -> Anywhere<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    let shared = Shared {
        stage: Mutex::new(Stage::Going(Box::pin(future))),
        home: Mutex::new(Waker::noop().clone()),
        runtime: Handle::current(),
    };
    Anywhere(Arc::new(shared))
}

/// Waits, within such a future, until it is polled at home; elsewhere it returns at once.
pub(crate) async fn come_home() {
    std::future::poll_fn(|context| {
        if AWAY.get() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

/// See [`anywhere`].
pub(crate) struct Anywhere<F: Future>(Arc<Shared<F>>);

struct Shared<F: Future> {
    stage: Mutex<Stage<F>>,
    /// Wakes whoever waits for it.
    home: Mutex<Waker>,
    runtime: Handle,
}

enum Stage<F: Future> {
    Going(Pin<Box<F>>),
    /// It ended, or panicked, where nobody waits for it.
    Ended(thread::Result<F::Output>),
    /// Its end was told, or nobody waits for it any more.
    Over,
}

impl<F> Future for Anywhere<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        lock(&self.0.home).clone_from(context.waker());
        let waker = Waker::from(Arc::clone(&self.0));
        // If it is being polled elsewhere, that does not take long.
        let mut stage = lock(&self.0.stage);
        if let Stage::Going(future) = &mut *stage {
            let output = ready!(future.as_mut().poll(&mut Context::from_waker(&waker)));
            *stage = Stage::Over;
            return Poll::Ready(output);
        }
        match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Ended(Ok(output)) => Poll::Ready(output),
            Stage::Ended(Err(panic)) => resume_unwind(panic),
            Stage::Going(_) | Stage::Over => panic!("a future that has ended is not polled"),
        }
    }
}

impl<F: Future> Drop for Anywhere<F> {
    /// The future holds wakers, which hold what it is in; and it must not outlive whoever waited for it.
    fn drop(&mut self) {
        *lock(&self.0.stage) = Stage::Over;
    }
}

impl<F> Wake for Shared<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !(tidegate_engine::at_leisure() && self.goes_on_here()) {
            lock(&self.home).wake_by_ref();
        }
    }
}

impl<F> Shared<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    /// Polls it here; false if it has to be polled at home.
    fn goes_on_here(self: &Arc<Self>) -> bool {
        // One within another would be a chain without an end in sight. And where it is polled already, by this thread or
        // another, it is polled once more at home.
        let Some(mut stage) = (!AWAY.get()).then(|| self.stage.try_lock().ok()).flatten() else {
            return false;
        };
        let Stage::Going(future) = &mut *stage else { return false };
        let waker = Waker::from(Arc::clone(self));
        let _runtime = self.runtime.enter();
        AWAY.set(true);
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        AWAY.set(false);
        match polled {
            Ok(Poll::Pending) => return true,
            Ok(Poll::Ready(output)) => *stage = Stage::Ended(Ok(output)),
            Err(panic) => *stage = Stage::Ended(Err(panic)),
        }
        false
    }
}

/// A panic within leaves a future that is not polled again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use tidegate_core::command::{self, NewJob};
    use tidegate_engine::{Engine, Enqueue, Envelope};

    use super::*;

    /// On a disk, with the log's own thread.
    fn engine() -> (Engine, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::open(directory.path(), tidegate_engine::Options::default()).expect("an engine");
        (engine, directory)
    }

    async fn write(engine: &Engine) {
        let mut command = command::Enqueue::new("q");
        command.kind("k");
        command.jobs.push(NewJob::new(0));
        let enqueue = Enqueue { command, payloads: vec![Envelope::json("{}")] };
        engine.enqueue(enqueue, None).await.expect("the job is accepted");
    }

    /// Polled by the log's thread, as it is by and by: at times the log has something else to do.
    async fn away(engine: &Engine) {
        while !AWAY.get() {
            write(engine).await;
        }
        assert_eq!(thread::current().name(), Some("log-writer"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_is_told_where_it_comes_from_and_what_follows_at_home() {
        let (engine, _directory) = engine();
        let threads = anywhere({
            let engine = engine.clone();
            async move {
                away(&engine).await;
                come_home().await;
                let at_home = thread::current().name().map(str::to_owned);
                away(&engine).await;
                at_home
            }
        });
        let at_home = tokio::spawn(threads).await.expect("no panic");
        assert_ne!(at_home.as_deref(), Some("log-writer"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_panic_elsewhere_is_heard_of_at_home_and_the_log_goes_on() {
        let (engine, _directory) = engine();
        let panics = anywhere({
            let engine = engine.clone();
            async move {
                away(&engine).await;
                panic!("on purpose");
            }
        });
        let heard = tokio::spawn(panics).await.expect_err("it has panicked");
        assert_eq!(heard.into_panic().downcast_ref(), Some(&"on purpose"));
        write(&engine).await;
    }

    #[tokio::test]
    async fn it_ends_with_whoever_waits_for_it() {
        let held = Arc::new(());
        let weak: Weak<()> = Arc::downgrade(&held);
        let mut waits = anywhere(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        let polled = std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut waits).poll(context))).await;
        assert!(polled.is_pending() && weak.strong_count() == 1);
        drop(waits);
        assert_eq!(weak.strong_count(), 0);
    }
}
