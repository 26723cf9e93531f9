//! Threads for work that keeps a core busy: thumbnails.
//!
//! They run at a lower priority than the rest of the process, so that the front door stays quick however many images
//! wait. At most twice as many pieces of work as threads are taken in; who comes later waits for a place, without
//! blocking a thread. Work whose caller has gone before it began is not begun.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

/// How much lower the priority is: at 10, a thread of the front door that wants a core gets nine tenths of it.
const NICENESS: i32 = 10;

/// Pieces of work taken in for each thread: the one it is at, and the next.
const WORK_PER_THREAD: usize = 2;

type Work = Box<dyn FnOnce() + Send>;

/// See the file's head. A clone is another handle on the same threads; they end with the last one.
#[derive(Clone, Debug)]
pub struct Pool {
    places: Arc<Semaphore>,
    work: mpsc::Sender<Work>,
}

/// The work panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panicked(pub String);

impl Pool {
    /// A pool of so many threads, at least one.
    ///
    /// # Errors
    /// The system's, if a thread cannot be started.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let threads = threads.max(1);
        let (work, works) = mpsc::channel::<Work>();
        let works = Arc::new(Mutex::new(works));
        for number in 0..threads {
            let works = Arc::clone(&works);
            std::thread::Builder::new().name(format!("pool-{number}")).spawn(move || {
                // On Linux this is the thread's own. Without it the work is done as well.
                if let Err(error) = rustix::process::nice(NICENESS) {
                    tracing::debug!("a pool's thread keeps its priority: {error}");
                }
                loop {
                    let next = works.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(work) = next else { return };
                    work();
                }
            })?;
        }
        Ok(Pool { places: Arc::new(Semaphore::new(threads * WORK_PER_THREAD)), work })
    }

    /// Does the work on one of the threads.
    ///
    /// # Errors
    /// [`Panicked`] with the panic's message.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move || {
            // The place is free again when the work is done, not when its caller goes.
            let _place = place;
            if !answer.is_closed() {
                let done =
                    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked(message_of(&*panic)));
                // The caller may have gone meanwhile.
                let _ = answer.send(done);
            }
        });
        self.work.send(work).expect("the threads live as long as the pool");
        answered.await.expect("all work is answered while its caller is there")
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_at_a_lower_priority() {
        let pool = Pool::new(2).expect("threads");
        // What a thread that has not lowered its own is at.
        let here = rustix::process::nice(0).expect("one may ask");
        let there = pool.run(|| rustix::process::nice(0).expect("one may ask")).await;
        assert_eq!(there, Ok((here + NICENESS).min(19)));
        assert_eq!(rustix::process::nice(0), Ok(here), "and only its threads'");
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_pool_goes_on() {
        let pool = Pool::new(1).expect("a thread");
        for _ in 0..3 {
            let answer = pool.run(|| -> u32 { panic!("a bug in {}", "a decoder") }).await;
            assert_eq!(answer, Err(Panicked("a bug in a decoder".to_owned())));
        }
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_waits() {
        let pool = Pool::new(1).expect("a thread");
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut busy = Vec::new();
        for _ in 0..WORK_PER_THREAD {
            let (pool, gate) = (pool.clone(), Arc::clone(&gate));
            busy.push(tokio::spawn(async move {
                pool.run(move || gate.lock().expect("unpoisoned").recv().expect("the gate opens")).await
            }));
        }
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut late = Box::pin(pool.run(|| 1));
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(late.as_mut().poll(context))).await;
        assert!(polled.is_pending(), "there is no place");
        for _ in 0..WORK_PER_THREAD {
            open.send(()).expect("somebody waits at the gate");
        }
        assert_eq!(late.await, Ok(1));
        for task in busy {
            task.await.expect("the task ends").expect("its work is done");
        }
    }
}
