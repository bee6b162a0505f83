//! Encoders: texts in, vectors out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgewise_core::Error;
use edgewise_core::embedding::{Embedder, EmbedderOptions, Pooling};
use edgewise_core::model::encoder::Encoder as CoreEncoder;
use pyo3::prelude::*;

use crate::errors::{detached, to_python};
use crate::file::ModelFile;
use crate::machine::{named_isa, resolve_threads};
use crate::signals::interruptible;
use crate::token::Tokens;

/// An encoder, and the buffers that it computes in.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Encoder {
    core: Arc<CoreEncoder>,
    options: EmbedderOptions,
    embedder: Mutex<Embedder>,
}

#[pymethods]
impl Encoder {
    #[new]
    #[pyo3(signature = (file, *, context_length, batch, isa, threads))]
    fn new(
        py: Python<'_>,
        file: &Bound<'_, ModelFile>,
        context_length: usize,
        batch: usize,
        isa: &str,
        threads: usize,
    ) -> PyResult<Self> {
        let gguf = Arc::clone(&file.get().0);
        detached(py, || {
            let options =
                EmbedderOptions { context_length, batch, isa: named_isa(isa)?, threads: resolve_threads(threads) };
            let core = Arc::new(CoreEncoder::load(gguf)?);
            let embedder = Embedder::new(Arc::clone(&core), options)?;
            Ok(Self { core, options: *embedder.options(), embedder: Mutex::new(embedder) })
        })
    }

    #[staticmethod]
    fn knows(architecture: &str) -> bool {
        CoreEncoder::knows(architecture)
    }

    #[getter]
    fn architecture(&self) -> &str {
        self.core.config().architecture
    }

    #[getter]
    fn context_length(&self) -> usize {
        self.options.context_length
    }

    #[getter]
    fn embedding_length(&self) -> usize {
        self.core.config().embedding_length
    }

    #[getter]
    fn vocabulary_size(&self) -> usize {
        self.core.config().vocabulary_size
    }

    #[getter]
    fn pooling(&self) -> Option<&'static str> {
        self.core.config().pooling.map(|pooling| match pooling {
            Pooling::None => "none",
            Pooling::Mean => "mean",
            Pooling::First => "first",
            Pooling::Last => "last",
        })
    }

    #[getter]
    fn threads(&self) -> usize {
        self.options.threads
    }

    #[getter]
    fn isa(&self) -> &'static str {
        self.options.isa.name()
    }

    #[getter]
    fn scratch_bytes(&self, py: Python<'_>) -> usize {
        py.detach(|| self.locked().scratch_bytes())
    }

    #[expect(clippy::needless_pass_by_value, reason = "made from Python's objects for this call")]
    fn embed(&self, py: Python<'_>, texts: Vec<Tokens>, pooling: &str) -> PyResult<Vec<Vec<Vec<f32>>>> {
        let pooling = match pooling {
            "none" => Pooling::None,
            "mean" => Pooling::Mean,
            "first" => Pooling::First,
            "last" => Pooling::Last,
            other => return Err(to_python(&Error::invalid_argument(format!("pooling \"{other}\" is unknown")))),
        };
        let texts: Vec<&[u32]> = texts.iter().map(|Tokens(tokens)| &tokens[..]).collect();
        let vectors = interruptible(py, |interrupted| self.locked().embed(&texts, pooling, interrupted))?;
        let width = self.embedding_length();
        Ok(vectors.iter().map(|rows| rows.chunks_exact(width).map(<[f32]>::to_vec).collect()).collect())
    }
}

impl Encoder {
    fn locked(&self) -> MutexGuard<'_, Embedder> {
        self.embedder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
