//! Text to token ids and back.

use std::sync::Arc;

use edgewise_core::Error;
use edgewise_core::tokenizer::Tokenizer as CoreTokenizer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{detached, to_python};
use crate::file::ModelFile;
use crate::token::Tokens;

/// The tokenizer that a file's metadata describes.
#[pyclass(frozen, module = "edgewise._core")]
pub(crate) struct Tokenizer(CoreTokenizer);

#[pymethods]
impl Tokenizer {
    #[new]
    fn new(py: Python<'_>, file: &Bound<'_, ModelFile>) -> PyResult<Self> {
        let gguf = Arc::clone(&file.get().0);
        detached(py, || CoreTokenizer::from_metadata(gguf.metadata())).map(Self)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[pyo3(signature = (text, *, add_special, parse_special))]
    fn encode(&self, py: Python<'_>, text: &[u8], add_special: bool, parse_special: bool) -> PyResult<Vec<u32>> {
        detached(py, || Ok(self.0.encode(text, add_special, parse_special)))
    }

    #[pyo3(signature = (tokens, *, special))]
    fn decode<'py>(&self, py: Python<'py>, tokens: Tokens, special: bool) -> PyResult<Bound<'py, PyBytes>> {
        let Tokens(tokens) = tokens;
        let bytes = detached(py, || {
            tokens.iter().try_for_each(|&token| self.check(token))?;
            Ok(self.0.decode(&tokens, special))
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[pyo3(signature = (tokens, *, special = false))]
    fn pieces<'py>(&self, py: Python<'py>, tokens: Tokens, special: bool) -> PyResult<Bound<'py, PyBytes>> {
        let Tokens(tokens) = tokens;
        tokens.iter().try_for_each(|&token| self.check(token)).map_err(|error| to_python(&error))?;
        let pieces: Vec<&[u8]> = tokens.iter().map(|&token| self.0.visible_piece(token, special)).collect();
        Ok(PyBytes::new(py, &pieces.concat()))
    }

    fn is_end(&self, token: u32) -> bool {
        self.0.is_end(token)
    }

    #[getter]
    fn bos(&self) -> Option<u32> {
        self.0.bos()
    }

    #[getter]
    fn eos(&self) -> Option<u32> {
        self.0.eos()
    }

    /// What stands before the text ahead of a gap, before the text behind it, and before what fills it.
    #[getter]
    fn infill(&self) -> Option<(u32, u32, u32)> {
        let special = self.0.special();
        Some((special.fim_pre?, special.fim_suf?, special.fim_mid?))
    }

    #[getter]
    fn newline(&self) -> Option<u32> {
        self.0.encode(b"\n", false, false).last().copied()
    }

    #[getter]
    fn adds_bos(&self) -> bool {
        self.0.add_bos()
    }
}

impl Tokenizer {
    pub(crate) fn ends(&self) -> &[u32] {
        self.0.ends()
    }

    fn check(&self, token: u32) -> edgewise_core::Result<()> {
        if (token as usize) < self.0.len() {
            return Ok(());
        }
        Err(Error::invalid_argument(format!("token {token} is not in the vocabulary of {}", self.0.len())))
    }
}
