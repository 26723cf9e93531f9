//! Who used the processor: load and service share one machine.

use std::time::{Duration, Instant};

/// Processor time of generator and service at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) at: Instant,
    pub(crate) generator: Option<Duration>,
    pub(crate) service: Option<Duration>,
}

impl Usage {
    /// How many cores generator and service kept busy from this moment to a later one.
    pub(crate) fn cores_until(&self, later: &Usage) -> (Option<f64>, Option<f64>) {
        let wall = (later.at - self.at).as_secs_f64().max(1e-3);
        let cores = |from: Option<Duration>, to: Option<Duration>| {
            Some(to?.saturating_sub(from?).as_secs_f64() / wall)
        };
        (cores(self.generator, later.generator), cores(self.service, later.service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_processor_time_over_time() {
        let start = Instant::now();
        let usage = |seconds, generator, service: Option<u64>| Usage {
            at: start + Duration::from_secs(seconds),
            generator: Some(Duration::from_secs(generator)),
            service: service.map(Duration::from_secs),
        };
        assert_eq!(usage(0, 1, Some(2)).cores_until(&usage(4, 3, Some(8))), (Some(0.5), Some(1.5)));
        assert_eq!(usage(0, 1, None).cores_until(&usage(4, 3, Some(8))), (Some(0.5), None));
    }
}
