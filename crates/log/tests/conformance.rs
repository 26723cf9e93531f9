//! The shared suite, held against each engine.

mod common;

use std::sync::{Arc, Mutex};

use tidegate_log::conformance::Subject;
use tidegate_log::disk::simulated::SimulatedDisk;
use tidegate_log::{LocalLog, LocalOptions, Log, MemoryLog, Opened};

fn shared<L: Log + 'static>(opened: Opened<L>) -> Opened<Arc<dyn Log>> {
    Opened { log: Arc::new(opened.log), recovery: opened.recovery }
}

mod memory {
    use super::*;

    #[derive(Default)]
    struct Memory(Mutex<Option<MemoryLog>>);

    impl Memory {
        fn log(&self) -> MemoryLog {
            self.0.lock().expect("no panic").clone().expect("it has been opened")
        }
    }

    impl Subject for Memory {
        fn open(&self) -> Opened<Arc<dyn Log>> {
            let mut log = self.0.lock().expect("no panic");
            let opened = log.as_ref().map_or_else(MemoryLog::open, MemoryLog::reopen);
            *log = Some(opened.log.clone());
            shared(opened)
        }

        fn hold(&self) {
            self.log().hold();
        }

        fn release(&self) {
            self.log().release();
        }

        fn fail(&self) {
            self.log().fail("a test wants it so");
        }
    }

    tidegate_log::conformance_tests!(Memory::default());
}

mod local_in_steps {
    use super::*;

    /// Nothing becomes durable but in a step, and only waiting makes one: holding needs nothing more.
    #[derive(Default)]
    struct Steps(SimulatedDisk);

    impl Subject for Steps {
        fn open(&self) -> Opened<Arc<dyn Log>> {
            shared(common::open(&self.0).expect("nothing is wrong with this disk"))
        }

        fn hold(&self) {}

        fn release(&self) {}

        fn fail(&self) {
            self.0.fail_next_sync();
        }
    }

    tidegate_log::conformance_tests!(Steps::default());
}

mod local_with_threads {
    use super::*;

    #[derive(Default)]
    struct Threads(SimulatedDisk);

    impl Subject for Threads {
        fn open(&self) -> Opened<Arc<dyn Log>> {
            // Without a filler: a sync of its own would meet the failure that is meant for the log's.
            let options = LocalOptions { spares: 0, ..common::small() };
            let opened = LocalLog::open_on(Arc::new(self.0.clone()), options);
            shared(opened.expect("nothing is wrong with this disk"))
        }

        fn hold(&self) {
            self.0.hold_syncs(true);
        }

        fn release(&self) {
            self.0.hold_syncs(false);
        }

        fn fail(&self) {
            self.0.fail_next_sync();
        }
    }

    tidegate_log::conformance_tests!(Threads::default());
}
