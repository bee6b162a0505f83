//! Ctrl-C while Rust computes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use edgewise_core::Result;
use pyo3::prelude::*;

use crate::errors::{detached, to_python};

/// How often a computation looks for a pending Ctrl-C.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(30);

/// Computes without the GIL, and lets Ctrl-C through: what a signal handler raises is raised here.
pub(crate) fn interruptible<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> Result<T> + Send,
) -> PyResult<T> {
    let signals = Signals::new(py)?;
    let result = detached(py, || Ok(work(&|| signals.pending())))?;
    result.map_err(|error| signals.raised().unwrap_or_else(|| to_python(&error)))
}

/// Looks for signals now and then, on behalf of Python, which cannot while Rust computes.
struct Signals {
    /// Python runs signal handlers on its main thread alone.
    is_main_thread: bool,
    looked: Mutex<Instant>,
    raised: Mutex<Option<PyErr>>,
}

impl Signals {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let threading = py.import("threading")?;
        let is_main_thread = threading.call_method0("current_thread")?.is(threading.call_method0("main_thread")?);
        Ok(Self { is_main_thread, looked: Mutex::new(Instant::now()), raised: Mutex::new(None) })
    }

    fn pending(&self) -> bool {
        if !self.is_main_thread {
            return false;
        }
        let Ok(mut looked) = self.looked.try_lock() else { return false };
        if looked.elapsed() < SIGNAL_INTERVAL {
            return false;
        }
        let error = Python::attach(|py| py.check_signals().err());
        *looked = Instant::now();
        let is_pending = error.is_some();
        if let Ok(mut raised) = self.raised.lock() {
            *raised = raised.take().or(error);
        }
        is_pending
    }

    fn raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
