"""The compiled half of Edgewise: conversions around the Rust core, nothing else.

Every call that works releases the GIL. Errors are those of `edgewise.errors`.
"""

from collections.abc import Sequence
from os import PathLike
from typing import Final, Literal, final

__all__ = [
    "VERSION",
    "Controller",
    "Encoder",
    "GgufWriter",
    "Model",
    "ModelFile",
    "Rows",
    "Sampler",
    "Session",
    "Speculation",
    "TextStream",
    "ThreadChoice",
    "Tokenizer",
    "block_size",
    "choose_threads",
    "dequantize",
    "encodable_formats",
    "encode",
    "instruction_sets",
    "int8_peak",
]

VERSION: Final[str]
"""Version of the core and of the package."""

@final
class ModelFile:
    """A model file whose layout is proven."""

    def __new__(cls, path: str | PathLike[str]) -> ModelFile:
        """Maps and checks a file and the other parts of a split model."""

    @property
    def size_bytes(self) -> int:
        """Size of all parts together."""

    def read_bandwidth(self, *, isa: str, threads: int) -> float:
        """Bytes per second at which threads read all tensors once, where they lie in memory: the bound of decode."""

    def metadata(self) -> dict[str, object]:
        """Every metadata value that is no array, in file order."""

    def arrays(self) -> list[tuple[str, str, int]]:
        """(key, type of the values, how many) of every metadata array."""

    def array(self, key: str) -> list[object] | None:
        """The values of one array; None if the file has none of that key."""

    def tensors(self) -> list[tuple[str, str, list[int], int]]:
        """(name, format, shape with columns first, bytes) of every tensor, in file order."""

    def read(self, name: str, first_row: int, rows: int) -> Rows:
        """Some rows of a tensor, where they are: nothing is copied.

        Raises:
            InvalidArgument: if there is no such tensor, or it has fewer rows.
        """

    def release(self, name: str, first_row: int, rows: int) -> None:
        """Lets the system take back the memory of rows that are not needed soon; to read them again is possible."""

@final
class Rows:
    """Rows of a tensor, still in their file: `encode` and `GgufWriter.write` take them as they are, `bytes` copies."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...

@final
class GgufWriter:
    """Writes a GGUF file, tensor after tensor.

    Until `finish`, everything is in a file beside `path` whose name ends in `.part`. It stays when the writer is
    dropped, to be resumed; after an error of the system, and after `discard`, it is gone.
    """

    def __new__(
        cls,
        path: str | PathLike[str],
        metadata: Sequence[tuple[str, str, object]],
        tensors: Sequence[tuple[str, str, Sequence[int]]],
        *,
        copy: ModelFile | None = None,
        replace: bool = False,
        resume: bool = False,
        made_from: bytes | None = None,
    ) -> GgufWriter:
        """Starts a file, or resumes one.

        Args:
            path: where the file will be.
            metadata: (key, type, value). Types are u8 to u64, i8 to i64, f32, f64, bool and string; "[u32]" is an array
                of u32. Strings may be bytes, where they are not UTF-8. A key that is there already is replaced.
            tensors: (name, format, shape with columns first), in the order in which they will be written.
            copy: a file whose metadata comes first, exactly as it is; but for what describes its layout and its splits.
            replace: whether a file at the path is replaced by `finish`.
            resume: whether an unfinished file is continued; its header and `made_from` must be the same.
            made_from: 16 bytes, a digest of what the tensors are made from.

        Raises:
            InvalidArgument: if there is a file already, a value or shape does not fit, or what is to be resumed is of
                other work.
            SystemRefused: if the file cannot be written, or another process writes it.
        """

    @property
    def position(self) -> tuple[int, int]:
        """Where the next bytes go: the number of the tensor, and how many bytes of it are there.

        Those are whole rows after a resumption. The number of tensors, and 0, when all are there.
        """

    def write(self, data: bytes | Rows) -> None:
        """Appends bytes of the tensors, in any portions; padding between tensors is not among them.

        Raises:
            SystemRefused: if the disk is full, or refuses otherwise. The unfinished file is removed.
        """

    def finish(self) -> float:
        """Makes the file durable and puts it into its place; gives the seconds that the disk took.

        Raises:
            InvalidArgument: if tensors are missing.
            SystemRefused: if the disk is full, or refuses otherwise. The unfinished file is removed.
        """

    def discard(self) -> None:
        """Removes the unfinished file, if it is not finished."""

@final
class Tokenizer:
    """Text to token ids and back, as the file's metadata says."""

    def __new__(cls, file: ModelFile) -> Tokenizer:
        """Reads the vocabulary."""

    def __len__(self) -> int: ...
    def encode(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text."""

    def decode(self, tokens: Sequence[int], *, special: bool) -> bytes:
        """Text of token ids: special tokens only if `special`, without the blank that encoding put first."""

    def pieces(self, tokens: Sequence[int], *, special: bool = False) -> bytes:
        """What tokens add to a text; special tokens add nothing unless `special`."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer."""

    @property
    def bos(self) -> int | None:
        """The beginning-of-sequence token."""

    @property
    def eos(self) -> int | None:
        """The end-of-sequence token."""

    @property
    def infill(self) -> tuple[int, int, int] | None:
        """The tokens before the text ahead of a gap, before the text behind it, and before what fills it."""

    @property
    def newline(self) -> int | None:
        """The token of a line break."""

    @property
    def adds_bos(self) -> bool:
        """Whether `add_special` puts the beginning-of-sequence token first."""

@final
class Model:
    """Weights, bound and shape-checked."""

    def __new__(cls, file: ModelFile, *, adapters: Sequence[tuple[str | PathLike[str], float]] = ...) -> Model:
        """Binds the weights of a file, and of LoRA adapters: the path and the scale of each.

        Raises:
            ModelFileError: if a file does not hold what it should, or an adapter does not fit the model; the latter's
                message begins with the adapter's path.
            UnsupportedError: if the core does not run it.
            InvalidArgument: if a scale is not finite.
        """

    @property
    def architecture(self) -> str:
        """Such as `llama`."""

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained for."""

    @property
    def embedding_length(self) -> int:
        """Width of the hidden state."""

    @property
    def vocabulary_size(self) -> int:
        """Number of logits."""

@final
class Encoder:
    """A model that makes embeddings and nothing else, and the buffers that it computes in."""

    def __new__(cls, file: ModelFile, *, context_length: int, batch: int, isa: str, threads: int) -> Encoder:
        """Finds and checks all tensors, and reserves memory.

        Args:
            file: an open model file.
            context_length: tokens that a text may have; 0, or more than the model was trained for, takes that.
            batch: tokens of several texts that go through the model at once.
            isa: instruction set of all kernels, or `auto`.
            threads: threads that compute; 0 chooses.
        """

    @staticmethod
    def knows(architecture: str) -> bool:
        """Whether the core runs models of this architecture as encoders."""

    @property
    def architecture(self) -> str:
        """As the file names it."""

    @property
    def context_length(self) -> int:
        """Tokens that a text may have."""

    @property
    def embedding_length(self) -> int:
        """Length of a vector."""

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens that the model knows."""

    @property
    def pooling(self) -> Literal["none", "mean", "first", "last"] | None:
        """How the file wants the states of a text pooled, if it says so."""

    @property
    def threads(self) -> int:
        """Threads that compute."""

    @property
    def isa(self) -> str:
        """Instruction set of the kernels."""

    @property
    def scratch_bytes(self) -> int:
        """Bytes reserved; the system gives them as they are needed."""

    def embed(self, texts: Sequence[Sequence[int]], pooling: str) -> list[list[list[float]]]:
        """The states of each text: one row per token (`none`), or one row (`mean`, `first`, `last`); not normalized.

        Texts go through the model together, and see nothing of each other.

        Raises:
            ContextFull: if a text has more tokens than the model may read.
            InvalidArgument: if a text is empty, a token not in the vocabulary, or the pooling unknown.
        """

@final
class Session:
    """Sequences of tokens, the KV cache they share, their logits.

    Most methods are about the main sequence, number 0. Others begin and end at will; one step evaluates tokens of
    several, reading the weights once for all of them.
    """

    def __new__(
        cls,
        model: Model,
        *,
        context_length: int,
        batch: int,
        key_format: str,
        value_format: str,
        isa: str,
        threads: int,
        sequences: int = 1,
    ) -> Session:
        """Allocates everything that the session will need.

        Args:
            context_length: tokens that a sequence may have; 0 for the model's limit.
            sequences: how many sequences of that length the KV cache has room for.
        """

    def __len__(self) -> int: ...
    @property
    def context_length(self) -> int:
        """Tokens that a sequence may have."""

    @property
    def threads(self) -> int:
        """Threads that work."""

    @property
    def isa(self) -> str:
        """Instruction set of the kernels."""

    @property
    def cache_bytes(self) -> int:
        """Size of the KV cache."""

    @property
    def fingerprint(self) -> int:
        """The same for two sessions exactly if each can read what the other saved: model, adapters, cache formats."""

    @property
    def room(self) -> int:
        """Positions of the KV cache that no sequence holds which goes on, in whole blocks."""

    @property
    def tokens(self) -> list[int]:
        """The tokens of the main sequence."""

    def tokens_of(self, sequence: int) -> list[int]:
        """The tokens of a sequence; none if it ended."""

    def begin(self, tokens: Sequence[int], namespace: str = "") -> tuple[int, int]:
        """A new sequence: its number, and how many of `tokens` it holds already.

        Those are as many as any sequence of the session and of the namespace holds or held, but for the last, whose
        logits are wanted.
        """

    def end(self, sequence: int) -> None:
        """Ends a sequence. What it held serves those that begin alike, until its room is needed."""

    def reuse(self, tokens: Sequence[int], namespace: str = "") -> int:
        """Lets the main sequence begin anew, as `begin` does, and says how many tokens it holds."""

    def truncate(self, length: int, *, sequence: int = 0) -> None:
        """Forgets every token of a sequence from position `length` on."""

    def step(self, work: Sequence[tuple[int, Sequence[int], Literal["none", "last", "all"]]]) -> None:
        """Appends tokens to several sequences at once. Ctrl-C is a KeyboardInterrupt.

        The logits of a token are, bit for bit, what it has alone, if at most eight tokens are evaluated in all.

        Args:
            work: sequence, tokens, and which of them get logits; each sequence once.

        Raises:
            ContextFull: if the tokens exceed a sequence's context, or the room of the cache; nothing has changed then.
        """

    def evaluate(self, tokens: Sequence[int], *, all_logits: bool = False) -> None:
        """Appends tokens. Logits of the last one follow, or of all. Ctrl-C is a KeyboardInterrupt."""

    def logits(self, *, sequence: int = 0) -> bytes:
        """The logits that the last `evaluate` or `step` kept, as native float32: rows of `vocabulary_size`."""

    def sample(
        self,
        sampler: Sampler,
        *,
        top_logprobs: int | None = None,
        logits: bytes | None = None,
        sequence: int = 0,
        row: int | None = None,
        allowed: bytes | None = None,
    ) -> tuple[int, float | None, list[tuple[int, float]]]:
        """Chooses a token from a row of a sequence's logits, the last by default, or from those given.

        Args:
            allowed: the tokens that may be chosen: token `i` has bit `i % 8` of byte `i // 8`. None is all.

        Returns:
            The token; its log-probability before any option, unless `top_logprobs` is None; the likeliest tokens.

        Raises:
            InvalidArgument: if there are no logits, or no token is allowed.
        """

    def sample_each(
        self, choices: Sequence[tuple[int, Sampler, int | None, bytes | None]]
    ) -> list[tuple[int, float | None, list[tuple[int, float]]] | None]:
        """Chooses the next token of several sequences, on all threads.

        Args:
            choices: sequence, sampler, and `top_logprobs` and `allowed` of `sample`.

        Returns:
            What `sample` does, or None where no token is allowed.

        Raises:
            InvalidArgument: if a sequence has no logits; no sampler has changed then.
        """

    def advance(
        self,
        tokens: Sequence[int],
        sampler: Sampler,
        top_logprobs: int | None = None,
        speculation: Speculation | None = None,
        most: int = 0,
        guesses: Sequence[int] | None = None,
        sequence: int = 0,
    ) -> list[tuple[int, float | None, list[tuple[int, float]]]]:
        """Appends tokens to a sequence, and chooses the next one, or several where guesses are right.

        A single token is evaluated together with guesses behind it; those that turn out wrong are forgotten again.

        Args:
            top_logprobs: see `sample`.
            speculation: what guesses, from the text that earlier calls gave.
            most: how many guesses may be evaluated.
            guesses: guesses from elsewhere, in place of those that `speculation` finds in the text.

        Returns:
            As `sample` does, of each token. The last one is not evaluated.
        """

    def logprobs(self, row: int, token: int, top: int, *, sequence: int = 0) -> tuple[float, list[tuple[int, float]]]:
        """Log-probability of a token after a row of a sequence's logits, and the likeliest tokens with theirs."""

    def surprises(self, targets: Sequence[int], *, sequence: int = 0) -> list[float]:
        """Minus the logarithm of the probability of each target, in nats.

        Args:
            targets: the tokens that followed those whose logits the last `step` kept of the sequence.

        Raises:
            InvalidArgument: if there are more or fewer, or one is not in the vocabulary.
            ModelFileError: if a logit is not finite.
        """

    def compare(self, reference: Session, targets: Sequence[int]) -> list[tuple[float, float, float, bool]]:
        """The same for this session and for a reference, which evaluated the same tokens with the same vocabulary.

        Returns:
            For each target: surprise; that of the reference; Kullback-Leibler divergence from the reference over the
            whole vocabulary, in nats; whether both find the same token the likeliest.

        Raises:
            InvalidArgument: as `surprises`, or if the vocabularies differ in size.
            ModelFileError: if a logit is not finite.
        """

    def collect_importances(self) -> None:
        """Forgets what was collected, and collects from now on what `importances` gives."""

    def importances(self) -> list[tuple[str, list[float], int]]:
        """Name, sums of the squares of the inputs, and count of tokens of every matrix in the layers.

        Raises:
            ModelFileError: if an input was not finite.
        """

    def embed(self, tokens: Sequence[int], pooling: str) -> list[list[float]]:
        """Final hidden states of a text: one row per token (`none`), or one row (`mean`, `first`, `last`)."""

    def embed_more(self, sequence: int, tokens: Sequence[int], pooling: Literal["mean", "last"]) -> list[float]:
        """Appends tokens to a sequence, and gives the mean or the last of their final hidden states."""

    def save(self) -> bytes:
        """The tokens and the KV cache of the main sequence."""

    def beginning_bytes(self, length: int) -> int:
        """How many bytes `save_beginning` gives."""

    def save_beginning(self, length: int, *, sequence: int = 0) -> bytes:
        """The first `length` tokens of a sequence and their part of the KV cache, for `recall` from a file."""

    def recall(self, path: str | PathLike[str], tokens: Sequence[int], *, sequence: int = 0) -> int:
        """Appends to a sequence, which begins as `tokens` do, what a file holds of the rest of them.

        The file has what `save_beginning` gave; only the part that is needed is read. The last of `tokens`, whose
        logits are wanted, is left to be evaluated.

        Returns:
            How many of `tokens` the sequence holds now.

        Raises:
            InvalidArgument: if the file is damaged, or belongs to another model or other cache formats.
            ContextFull: if there is no room for it.
            SystemRefused: if it cannot be read. Nothing has changed in any of these cases.
        """

    def restore(self, state: bytes) -> None:
        """Takes up what `save` gave."""

@final
class Sampler:
    """Chooses tokens; holds the random state."""

    def __new__(
        cls,
        *,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        typical_p: float,
        repeat_penalty: float,
        frequency_penalty: float,
        presence_penalty: float,
        penalty_last_n: int,
        logit_bias: Sequence[tuple[int, float]],
        mirostat: tuple[float, float] | None,
        seed: int,
    ) -> Sampler:
        """Checks the options; `edgewise.engine.GenerateOptions` explains them."""

@final
class Controller:
    """Decides how many tokens to guess, from how often guesses are right and how long steps take."""

    def __new__(cls, *, eager: bool = False) -> Controller:
        """Guesses what promises to be fastest; if `eager`, as much as it may, whatever comes of it."""

@final
class Speculation:
    """What one answer guesses, and how well; see `Session.advance`."""

    def __new__(cls, controller: Controller, tokenizer: Tokenizer, text: Sequence[int]) -> Speculation:
        """Guesses for an answer to `text`. Answers that share a controller learn from each other."""

    def ask(self, most: int) -> int:
        """How many tokens, at most `most`, to guess now if a guess costs something."""

    def read(self, tokens: Sequence[int]) -> None:
        """Takes tokens of the text that came without `Session.advance`."""

    @property
    def drafted(self) -> int:
        """How many guesses were evaluated."""

    @property
    def accepted(self) -> int:
        """How many of those were right."""

@final
class TextStream:
    """Token bytes to text that is safe to show: whole characters, and nothing that may become a stop text."""

    def __new__(cls, stops: Sequence[str]) -> TextStream:
        """Ends at any of `stops`."""

    def push(self, data: bytes) -> str:
        """Takes the bytes of a token, gives what can be shown now."""

    def finish(self) -> str:
        """Gives what was held back."""

    @property
    def is_stopped(self) -> bool:
        """Whether a stop text was found."""

@final
class ThreadChoice:
    """How many threads to start, and why."""

    @property
    def threads(self) -> int:
        """Threads to start when nobody asks for a number."""

    @property
    def limit(self) -> int:
        """The most that can run at a time."""

    @property
    def allowed(self) -> int:
        """CPUs that the affinity mask allows."""

    @property
    def fast_cores(self) -> int:
        """Physical fast cores among them."""

    @property
    def quota(self) -> float | None:
        """CPUs that the cgroup quota pays for."""

    @property
    def reasons(self) -> list[str]:
        """One sentence per fact that decided."""

def choose_threads(root: str | PathLike[str] | None = None) -> ThreadChoice:
    """Decides from what the system says, or from a made-up `/proc` and `/sys` below `root`."""

def instruction_sets() -> list[str]:
    """Instruction sets that this build and this CPU share, slowest first."""

def int8_peak(*, isa: str, threads: int) -> float:
    """Multiply-adds of 8-bit integers per second that the threads reach together: the bound of prefill."""

def dequantize(format_name: str, data: bytes) -> bytes:
    """The values of whole blocks, as little-endian f32.

    Args:
        format_name: a format's name, `q4_k`.
        data: blocks as they lie in the file.

    Raises:
        InvalidArgument: if there is no such format, the core does not compute with it, or `data` is not whole blocks.
    """

def encodable_formats() -> list[str]:
    """Names of the formats that `encode` makes."""

def block_size(format_name: str) -> tuple[int, int]:
    """How many values a block of the format holds, and in how many bytes: a row is whole blocks.

    Raises:
        InvalidArgument: if there is no such format.
    """

def encode(
    source: bytes | Rows,
    source_format: str,
    target_format: str,
    columns: int,
    *,
    importance: bytes | None = None,
    threads: int,
    isa: str | None = None,
    first_row: int = 0,
) -> tuple[bytes, tuple[float, float]]:
    """Whole rows of one format as rows of another; the same bytes for every instruction set and number of threads.

    Args:
        source: the rows.
        source_format: their format, `f16`; any that can be dequantized.
        target_format: one of `encodable_formats`.
        columns: values per row.
        importance: what the squared error of each column weighs, as little-endian f32; all the same if None.
        threads: how many threads work.
        isa: instruction set; the fastest if None.
        first_row: number of the first row in its tensor, for messages.

    Returns:
        The rows; the weighted sum of squared errors, and the weighted sum of the squares of the values.

    Raises:
        InvalidArgument: if sizes do not fit, or a value is not finite or too large for the format; the first such
            value is named by its row and column.
        UnsupportedError: if a format cannot be read, or not be made.
    """
