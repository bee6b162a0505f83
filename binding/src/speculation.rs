//! Guesses of the next tokens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgewise_core::speculation::{Controller as CoreController, Speculation as CoreSpeculation};
use pyo3::prelude::*;

use crate::token::Tokens;
use crate::tokenizer::Tokenizer;

/// Decides how many tokens to guess.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Controller(Arc<Mutex<CoreController>>);

#[pymethods]
impl Controller {
    #[new]
    #[pyo3(signature = (*, eager = false))]
    fn new(eager: bool) -> Self {
        let controller = if eager { CoreController::eager() } else { CoreController::default() };
        Self(Arc::new(Mutex::new(controller)))
    }
}

/// What one answer guesses, and how well.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Speculation(Mutex<CoreSpeculation>);

#[pymethods]
impl Speculation {
    #[new]
    fn new(py: Python<'_>, controller: &Bound<'_, Controller>, tokenizer: &Bound<'_, Tokenizer>, text: Tokens) -> Self {
        let Tokens(text) = text;
        let (controller, ends) = (Arc::clone(&controller.get().0), tokenizer.get().ends());
        py.detach(|| Self(Mutex::new(CoreSpeculation::new(controller, ends, &text))))
    }

    fn ask(&self, py: Python<'_>, most: usize) -> usize {
        py.detach(|| self.locked().ask(most))
    }

    fn read(&self, py: Python<'_>, tokens: Tokens) {
        let Tokens(tokens) = tokens;
        py.detach(|| self.locked().read(&tokens));
    }

    #[getter]
    fn drafted(&self, py: Python<'_>) -> usize {
        py.detach(|| self.locked().drafted())
    }

    #[getter]
    fn accepted(&self, py: Python<'_>) -> usize {
        py.detach(|| self.locked().accepted())
    }
}

impl Speculation {
    pub(crate) fn locked(&self) -> MutexGuard<'_, CoreSpeculation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guesses from Python: an integer that cannot be a token is one that no vocabulary has.
pub(crate) struct Guesses(pub(crate) Vec<u32>);

impl<'py> FromPyObject<'_, 'py> for Guesses {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        object.try_iter()?.map(|guess| Ok(guess?.extract().unwrap_or(u32::MAX))).collect::<PyResult<_>>().map(Self)
    }
}
