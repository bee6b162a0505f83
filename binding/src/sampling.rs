//! Sampling and text, one token at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use edgewise_core::Result;
use edgewise_core::sampler::{Mirostat, Sampler as CoreSampler, SamplerOptions, log_probabilities};
use edgewise_core::text::TextStream as CoreTextStream;
use pyo3::prelude::*;

use crate::errors::to_python;

/// (token, log-probability if asked for, the likeliest tokens with theirs)
pub(crate) type Sampled = (u32, Option<f32>, Vec<(u32, f32)>);

/// Chooses tokens; holds the random state.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Sampler(Mutex<CoreSampler>);

#[pymethods]
impl Sampler {
    #[new]
    #[pyo3(signature = (*, temperature, top_k, top_p, min_p, typical_p, repeat_penalty, frequency_penalty,
        presence_penalty, penalty_last_n, logit_bias, mirostat, seed))]
    #[expect(clippy::too_many_arguments, reason = "one per option, all of them by keyword")]
    fn new(
        temperature: f32,
        top_k: usize,
        top_p: f32,
        min_p: f32,
        typical_p: f32,
        repeat_penalty: f32,
        frequency_penalty: f32,
        presence_penalty: f32,
        penalty_last_n: usize,
        logit_bias: Vec<(u32, f32)>,
        mirostat: Option<(f32, f32)>,
        seed: u64,
    ) -> PyResult<Self> {
        let options = SamplerOptions {
            temperature,
            top_k,
            top_p,
            min_p,
            typical_p,
            repeat_penalty,
            frequency_penalty,
            presence_penalty,
            penalty_last_n,
            logit_bias,
            mirostat: mirostat.map(|(tau, eta)| Mirostat { tau, eta }),
            seed,
        };
        CoreSampler::new(options).map(|sampler| Self(Mutex::new(sampler))).map_err(|error| to_python(&error))
    }
}

impl Sampler {
    /// Chooses a token from `adjusted`, and reports its probability under the model's own `logits` if `top` is given.
    pub(crate) fn choose_any(&self, logits: &[f32], adjusted: &[f32], top: Option<usize>) -> Sampled {
        let token = self.locked().sample(adjusted);
        self.report(logits, token, top)
    }

    /// The same, among the tokens of a mask if there is one.
    pub(crate) fn choose(
        &self,
        logits: &[f32],
        adjusted: &[f32],
        allowed: Option<&[u8]>,
        top: Option<usize>,
    ) -> Result<Sampled> {
        let Some(allowed) = allowed else { return Ok(self.choose_any(logits, adjusted, top)) };
        let token = self.locked().sample_allowed(adjusted, allowed)?;
        Ok(self.report(logits, token, top))
    }

    fn locked(&self) -> MutexGuard<'_, CoreSampler> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, logits: &[f32], token: u32, top: Option<usize>) -> Sampled {
        self.locked().accept(token);
        let Some(top) = top else { return (token, None, Vec::new()) };
        let probabilities = log_probabilities(logits, token, top);
        (token, Some(probabilities.chosen), probabilities.top)
    }
}

/// Token bytes to text that is safe to show.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct TextStream(Mutex<CoreTextStream>);

#[pymethods]
impl TextStream {
    #[new]
    fn new(stops: Vec<String>) -> Self {
        Self(Mutex::new(CoreTextStream::new(stops)))
    }

    fn push(&self, data: &[u8]) -> String {
        self.stream().push(data)
    }

    fn finish(&self) -> String {
        self.stream().finish()
    }

    #[getter]
    fn is_stopped(&self) -> bool {
        self.stream().stopped().is_some()
    }
}

impl TextStream {
    fn stream(&self) -> MutexGuard<'_, CoreTextStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
