//! A model's weights, and a session that computes with them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgewise_core::gguf::Gguf;
use edgewise_core::isa::Chunks;
use edgewise_core::model::{Adapter, CacheFormat, Model as CoreModel};
use edgewise_core::sampler::log_probabilities;
use edgewise_core::session::{Logits, Pooling, SequenceId, Session as CoreSession, SessionOptions, Work};
use edgewise_core::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::errors::{detached, to_python};
use crate::file::ModelFile;
use crate::machine::{named_isa, resolve_threads};
use crate::sampling::{Sampled, Sampler};
use crate::signals::interruptible;
use crate::speculation::{Guesses, Speculation};
use crate::token::Tokens;

/// What a token is chosen from and how: sequence, sampler, likeliest tokens to report, mask.
type Choice = (usize, Py<Sampler>, Option<usize>, Option<PyBackedBytes>);

/// Weights, bound and shape-checked.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Model(Arc<CoreModel>);

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (file, *, adapters = Vec::new()))]
    fn new(py: Python<'_>, file: &Bound<'_, ModelFile>, adapters: Vec<(PathBuf, f32)>) -> PyResult<Self> {
        let gguf = Arc::clone(&file.get().0);
        let open = |(path, scale): (PathBuf, f32)| {
            let gguf = Arc::new(Gguf::open(&path)?);
            Ok(Adapter { name: path.display().to_string(), gguf, scale })
        };
        detached(py, || {
            let adapters = adapters.into_iter().map(open).collect::<Result<_>>()?;
            CoreModel::load_adapted(gguf, adapters)
        })
        .map(|model| Self(Arc::new(model)))
    }

    #[getter]
    fn architecture(&self) -> &str {
        self.0.config().architecture
    }

    #[getter]
    fn context_length(&self) -> usize {
        self.0.config().context_length
    }

    #[getter]
    fn embedding_length(&self) -> usize {
        self.0.config().embedding_length
    }

    #[getter]
    fn vocabulary_size(&self) -> usize {
        self.0.config().vocabulary_size
    }
}

/// Sequences of tokens, the KV cache they share, their logits.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Session(Mutex<CoreSession>);

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (model, *, context_length, batch, key_format, value_format, isa, threads, sequences = 1))]
    #[expect(clippy::too_many_arguments, reason = "one per option, all of them by keyword")]
    fn new(
        py: Python<'_>,
        model: &Bound<'_, Model>,
        context_length: usize,
        batch: usize,
        key_format: &str,
        value_format: &str,
        isa: &str,
        threads: usize,
        sequences: usize,
    ) -> PyResult<Self> {
        let model = Arc::clone(&model.get().0);
        detached(py, || {
            let options = SessionOptions {
                context_length,
                sequences,
                batch,
                keys: CacheFormat::named(key_format)?,
                values: CacheFormat::named(value_format)?,
                isa: named_isa(isa)?,
                threads: resolve_threads(threads),
            };
            CoreSession::new(model, options)
        })
        .map(|session| Self(Mutex::new(session)))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.with(py, |session| session.len())
    }

    #[getter]
    fn context_length(&self, py: Python<'_>) -> usize {
        self.with(py, |session| session.options().context_length)
    }

    #[getter]
    fn threads(&self, py: Python<'_>) -> usize {
        self.with(py, |session| session.options().threads)
    }

    #[getter]
    fn isa(&self, py: Python<'_>) -> &'static str {
        self.with(py, |session| session.options().isa.name())
    }

    #[getter]
    fn cache_bytes(&self, py: Python<'_>) -> usize {
        self.with(py, |session| session.cache_bytes())
    }

    #[getter]
    fn fingerprint(&self, py: Python<'_>) -> u64 {
        self.with(py, |session| session.fingerprint())
    }

    #[getter]
    fn tokens(&self, py: Python<'_>) -> Vec<u32> {
        self.with(py, |session| session.tokens().to_vec())
    }

    fn tokens_of(&self, py: Python<'_>, sequence: usize) -> Vec<u32> {
        self.with(py, |session| session.tokens_of(SequenceId(sequence)).to_vec())
    }

    #[pyo3(signature = (tokens, namespace = ""))]
    fn begin(&self, py: Python<'_>, tokens: Tokens, namespace: &str) -> (usize, usize) {
        let Tokens(tokens) = tokens;
        self.with(py, |session| {
            let (SequenceId(id), cached) = session.begin(&tokens, namespace);
            (id, cached)
        })
    }

    fn end(&self, py: Python<'_>, sequence: usize) {
        self.with(py, |session| session.end(SequenceId(sequence)));
    }

    #[pyo3(signature = (tokens, namespace = ""))]
    fn reuse(&self, py: Python<'_>, tokens: Tokens, namespace: &str) -> usize {
        let Tokens(tokens) = tokens;
        self.with(py, |session| session.reuse(&tokens, namespace))
    }

    #[pyo3(signature = (length, *, sequence = 0))]
    fn truncate(&self, py: Python<'_>, length: usize, sequence: usize) {
        self.with(py, |session| session.truncate_sequence(SequenceId(sequence), length));
    }

    #[expect(clippy::needless_pass_by_value, reason = "made from Python's objects for this call")]
    fn step(&self, py: Python<'_>, work: Vec<(usize, Tokens, String)>) -> PyResult<()> {
        self.compute(py, |session, interrupted| {
            let mut items = Vec::new();
            for (id, Tokens(tokens), logits) in &work {
                let wanted = match logits.as_str() {
                    "none" => Logits::None,
                    "last" => Logits::Last,
                    "all" => Logits::All,
                    other => return Err(Error::invalid_argument(format!("logits \"{other}\" are unknown"))),
                };
                items.push(Work { sequence: SequenceId(*id), tokens, wanted });
            }
            session.step(&items, interrupted)
        })
    }

    #[pyo3(signature = (tokens, *, all_logits = false))]
    fn evaluate(&self, py: Python<'_>, tokens: Tokens, all_logits: bool) -> PyResult<()> {
        let Tokens(tokens) = tokens;
        let wanted = if all_logits { Logits::All } else { Logits::Last };
        self.compute(py, |session, interrupted| session.evaluate(&tokens, wanted, interrupted))
    }

    #[pyo3(signature = (*, sequence = 0))]
    fn logits<'py>(&self, py: Python<'py>, sequence: usize) -> Bound<'py, PyBytes> {
        let bytes: Vec<u8> = self
            .with(py, |session| session.logits_of(SequenceId(sequence)).iter().flat_map(|x| x.to_ne_bytes()).collect());
        PyBytes::new(py, &bytes)
    }

    #[getter]
    fn room(&self, py: Python<'_>) -> usize {
        self.with(py, |session| session.room())
    }

    #[pyo3(signature = (sampler, *, top_logprobs = None, logits = None, sequence = 0, row = None, allowed = None))]
    #[expect(clippy::too_many_arguments, reason = "one per option, all but the first by keyword")]
    fn sample(
        &self,
        py: Python<'_>,
        sampler: &Bound<'_, Sampler>,
        top_logprobs: Option<usize>,
        logits: Option<&[u8]>,
        sequence: usize,
        row: Option<isize>,
        allowed: Option<&[u8]>,
    ) -> PyResult<Sampled> {
        let sampler = sampler.get();
        detached(py, || {
            let session = self.locked();
            let own = one_row(&session, sequence, row.unwrap_or(-1))?;
            let Some(given) = logits else { return sampler.choose(own, own, allowed, top_logprobs) };
            if given.len() != size_of_val(own) {
                let (found, wanted) = (given.len(), size_of_val(own));
                return Err(Error::invalid_argument(format!("logits have {found} bytes, the model's have {wanted}")));
            }
            let (values, _) = given.as_chunks();
            let adjusted: Vec<f32> = values.iter().map(|&x| f32::from_ne_bytes(x)).collect();
            sampler.choose(own, &adjusted, allowed, top_logprobs)
        })
    }

    #[expect(clippy::needless_pass_by_value, reason = "made from Python's objects for this call")]
    fn sample_each(&self, py: Python<'_>, choices: Vec<Choice>) -> PyResult<Vec<Option<Sampled>>> {
        detached(py, || {
            let session = self.locked();
            let logits = choices.iter().map(|choice| one_row(&session, choice.0, -1)).collect::<Result<Vec<_>>>()?;
            let mut sampled: Vec<Option<Sampled>> = choices.iter().map(|_| None).collect();
            let places = Chunks::new(&mut sampled, 1);
            session.each(choices.len(), &|i| {
                let (_, sampler, top_logprobs, allowed) = &choices[i];
                // The one error that there is: a mask without a token.
                places.claim(i)[0] = sampler.get().choose(logits[i], logits[i], allowed.as_deref(), *top_logprobs).ok();
            });
            Ok(sampled)
        })
    }

    #[pyo3(signature = (tokens, sampler, top_logprobs = None, speculation = None, most = 0, guesses = None, sequence = 0))]
    #[expect(clippy::too_many_arguments, reason = "positions are cheaper than keywords, once per token")]
    fn advance(
        &self,
        py: Python<'_>,
        tokens: Tokens,
        sampler: &Bound<'_, Sampler>,
        top_logprobs: Option<usize>,
        speculation: Option<&Bound<'_, Speculation>>,
        most: usize,
        guesses: Option<Guesses>,
        sequence: usize,
    ) -> PyResult<Vec<Sampled>> {
        let (Tokens(tokens), sequence) = (tokens, SequenceId(sequence));
        let (sampler, speculation) = (sampler.get(), speculation.map(Bound::get));
        self.compute(py, |session, interrupted| {
            let mut sampled = Vec::with_capacity(1);
            let choose = |logits: &[f32]| {
                let found = sampler.choose_any(logits, logits, top_logprobs);
                let token = found.0;
                sampled.push(found);
                token
            };
            let vocabulary_size = session.model().config().vocabulary_size;
            match (speculation.map(Speculation::locked), &tokens[..]) {
                (None, _) => session.verify(sequence, &tokens, &[], interrupted, choose)?,
                (Some(mut speculation), &[token]) => {
                    match guesses {
                        Some(Guesses(guesses)) => speculation.take(&guesses, most, vocabulary_size),
                        None => speculation.look_up(most),
                    }
                    speculation.step(session, sequence, token, interrupted, choose)?
                }
                (Some(mut speculation), _) => {
                    let chosen = session.verify(sequence, &tokens, &[], interrupted, choose)?;
                    speculation.read(&chosen);
                    chosen
                }
            };
            Ok(sampled)
        })
    }

    #[pyo3(signature = (row, token, top, *, sequence = 0))]
    fn logprobs(
        &self,
        py: Python<'_>,
        row: isize,
        token: u32,
        top: usize,
        sequence: usize,
    ) -> PyResult<(f32, Vec<(u32, f32)>)> {
        detached(py, || {
            let session = self.locked();
            let logits = one_row(&session, sequence, row)?;
            let probabilities = log_probabilities(logits, token, top);
            Ok((probabilities.chosen, probabilities.top))
        })
    }

    #[pyo3(signature = (targets, *, sequence = 0))]
    fn surprises(&self, py: Python<'_>, targets: Tokens, sequence: usize) -> PyResult<Vec<f64>> {
        let Tokens(targets) = targets;
        detached(py, || self.locked().surprises(SequenceId(sequence), &targets))
    }

    fn compare(&self, py: Python<'_>, reference: &Self, targets: Tokens) -> PyResult<Vec<(f64, f64, f64, bool)>> {
        let Tokens(targets) = targets;
        detached(py, || {
            // A copy, so that never two sessions are locked at once.
            let reference = reference.locked().logits().to_vec();
            let comparisons = self.locked().compare(&reference, &targets)?;
            Ok(comparisons.iter().map(|c| (c.surprise, c.reference_surprise, c.divergence, c.has_same_top)).collect())
        })
    }

    fn collect_importances(&self, py: Python<'_>) {
        self.with(py, CoreSession::collect_importances);
    }

    fn importances(&self, py: Python<'_>) -> PyResult<Vec<(String, Vec<f64>, usize)>> {
        let found = detached(py, || self.locked().importances())?;
        Ok(found.into_iter().map(|found| (found.tensor, found.sums, found.tokens)).collect())
    }

    fn embed_more(&self, py: Python<'_>, sequence: usize, tokens: Tokens, pooling: &str) -> PyResult<Vec<f32>> {
        let (Tokens(tokens), sequence) = (tokens, SequenceId(sequence));
        let pooling = match pooling {
            "mean" => Pooling::Mean,
            "last" => Pooling::Last,
            other => return Err(to_python(&Error::invalid_argument(format!("pooling \"{other}\" is unknown")))),
        };
        self.compute(py, |session, interrupted| session.embed(sequence, &tokens, pooling, interrupted))
    }

    fn embed(&self, py: Python<'_>, tokens: Tokens, pooling: &str) -> PyResult<Vec<Vec<f32>>> {
        let Tokens(tokens) = tokens;
        self.compute(py, |session, interrupted| {
            session.truncate(0);
            match pooling {
                "mean" => Ok(vec![session.embed(CoreSession::MAIN, &tokens, Pooling::Mean, interrupted)?]),
                "last" => Ok(vec![session.embed(CoreSession::MAIN, &tokens, Pooling::Last, interrupted)?]),
                "first" => Ok(vec![session.embed(
                    CoreSession::MAIN,
                    tokens.get(..1).unwrap_or_default(),
                    Pooling::Last,
                    interrupted,
                )?]),
                "none" => tokens
                    .chunks(1)
                    .map(|token| session.embed(CoreSession::MAIN, token, Pooling::Last, interrupted))
                    .collect(),
                other => Err(Error::invalid_argument(format!("pooling \"{other}\" is unknown"))),
            }
        })
    }

    fn save<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let state = detached(py, || self.locked().save())?;
        Ok(PyBytes::new(py, &state))
    }

    fn beginning_bytes(&self, py: Python<'_>, length: usize) -> PyResult<usize> {
        detached(py, || self.locked().beginning_bytes(length))
    }

    #[pyo3(signature = (length, *, sequence = 0))]
    fn save_beginning<'py>(&self, py: Python<'py>, length: usize, sequence: usize) -> PyResult<Bound<'py, PyBytes>> {
        let size = detached(py, || self.locked().beginning_bytes(length))?;
        PyBytes::new_with(py, size, |out| {
            detached(py, || self.locked().save_beginning(SequenceId(sequence), length, out))
        })
    }

    #[pyo3(signature = (path, tokens, *, sequence = 0))]
    #[expect(clippy::needless_pass_by_value, reason = "made from Python's objects for this call")]
    fn recall(&self, py: Python<'_>, path: PathBuf, tokens: Tokens, sequence: usize) -> PyResult<usize> {
        let Tokens(tokens) = tokens;
        detached(py, || {
            let file =
                File::open(&path).map_err(|error| Error::new(ErrorKind::Io, format!("{}: {error}", path.display())))?;
            self.locked().recall(SequenceId(sequence), &file, &tokens)
        })
    }

    fn restore(&self, py: Python<'_>, state: &[u8]) -> PyResult<()> {
        detached(py, || self.locked().restore(state))
    }
}

impl Session {
    /// Waits for the session without the GIL, so that whoever computes with it can go on.
    fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut CoreSession) -> T + Send) -> T {
        py.detach(|| work(&mut self.locked()))
    }

    fn locked(&self) -> MutexGuard<'_, CoreSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computes without the GIL, and lets Ctrl-C through: what a signal handler raises is raised here.
    fn compute<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut CoreSession, &(dyn Fn() -> bool + Sync)) -> Result<T> + Send,
    ) -> PyResult<T> {
        interruptible(py, |interrupted| work(&mut self.locked(), interrupted))
    }
}

/// A row of the logits that the last step kept of a sequence; counted from the end where negative.
fn one_row(session: &CoreSession, sequence: usize, row: isize) -> Result<&[f32]> {
    let vocabulary = session.model().config().vocabulary_size;
    let rows = session.logits_of(SequenceId(sequence)).chunks_exact(vocabulary);
    let count = rows.len();
    if count == 0 {
        return Err(Error::invalid_argument("nothing was evaluated: there are no logits"));
    }
    let index = if row < 0 { count.checked_add_signed(row) } else { usize::try_from(row).ok() };
    index
        .and_then(|index| rows.clone().nth(index))
        .ok_or_else(|| Error::invalid_argument(format!("row {row} of the logits: there are {count}")))
}
