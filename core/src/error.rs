//! The one error type of the core: what kind it is, what was found, and the way out.

use std::fmt;

/// Result of every fallible function of the core.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, as a caller needs to tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The model file is malformed, truncated or inconsistent.
    ModelFile,
    /// The file is sound, but holds a format, architecture or tokenizer that the core does not run.
    Unsupported,
    /// An argument is out of its range.
    InvalidArgument,
    /// The tokens do not fit the context window.
    ContextFull,
    /// The caller asked to stop.
    Interrupted,
    /// The operating system refused: no such file, no permission, no memory.
    Io,
}

/// An error with the thing it names, and a hint where there is a way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

const DAMAGED: &str = "the file is damaged or was written wrongly; get it again, or another file of this model";

impl Error {
    /// A new error; the message names the thing, the finding and the rule.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// A malformed model file; its hint is to get another, until [`Self::with_hint`] knows better.
    pub fn model_file(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ModelFile, message).with_hint(DAMAGED)
    }

    /// Something sound that the core does not run.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An argument out of its range.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// Adds the way out, shown on its own line.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the place, such as the file's path, in front of the finding.
    #[must_use]
    pub fn within(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The finding, without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The way out, if one is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}
