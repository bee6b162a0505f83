//! What this machine offers: instruction sets and threads.

use std::path::PathBuf;

use edgewise_core::isa::{Isa, Pool};
use edgewise_core::kernels::ceilings;
use edgewise_core::{Result, threads};
use pyo3::prelude::*;

use crate::errors::detached;

/// How many threads to start, and why.
#[pyclass(frozen, get_all, module = "edgewise._core")]
pub(crate) struct ThreadChoice {
    threads: usize,
    limit: usize,
    allowed: usize,
    fast_cores: usize,
    quota: Option<f64>,
    reasons: Vec<String>,
}

/// Decides from what the system says below `root`.
#[pyfunction]
#[pyo3(signature = (root = None))]
pub(crate) fn choose_threads(py: Python<'_>, root: Option<PathBuf>) -> ThreadChoice {
    let root = root.unwrap_or_else(|| PathBuf::from("/"));
    let choice = py.detach(|| threads::choose(&threads::read_facts(&root)));
    ThreadChoice {
        threads: choice.threads,
        limit: choice.limit,
        allowed: choice.allowed,
        fast_cores: choice.fast_cores,
        quota: choice.quota,
        reasons: choice.reasons,
    }
}

/// The number of threads for a request; 0 asks for the choice.
pub(crate) fn resolve_threads(requested: usize) -> usize {
    threads::choose(&threads::read_facts(std::path::Path::new("/"))).resolve(Some(requested))
}

/// An instruction set by its name; `auto` is the best one.
pub(crate) fn named_isa(name: &str) -> Result<Isa> {
    if name == "auto" { Ok(Isa::detect()) } else { Isa::named(name) }
}

/// Instruction sets that this build and this CPU share, slowest first.
#[pyfunction]
pub(crate) fn instruction_sets() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

/// Multiply-adds of 8-bit integers per second that the threads reach together: the bound of prefill.
#[pyfunction]
#[pyo3(signature = (*, isa, threads))]
pub(crate) fn int8_peak(py: Python<'_>, isa: &str, threads: usize) -> PyResult<f64> {
    detached(py, || Ok(ceilings::int8_peak(&Pool::new(resolve_threads(threads)), named_isa(isa)?)))
}
