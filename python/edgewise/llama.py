"""`Llama`: answers like `llama_cpp.Llama`, so that programs written for it run with another import."""

from __future__ import annotations

import sys
import time
import uuid
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edgewise import _core
from edgewise import engine as engines
from edgewise.chat.infill import infill_prompt
from edgewise.config import load as load_config
from edgewise.dropin import chat as chats
from edgewise.dropin.arguments import (
    NOT_IN_CONSTRUCTOR,
    adapters,
    biases,
    cache_format,
    check_numbers,
    mirostat,
    refuse,
)
from edgewise.dropin.caches import LlamaCache, LlamaDiskCache, LlamaRAMCache
from edgewise.dropin.completion import Request, chunks, whole
from edgewise.dropin.conveniences import Conveniences
from edgewise.dropin.embedding import Embedding, pooling_name, resolved
from edgewise.dropin.grammar import (
    Demands,
    LlamaGrammar,
    check_grammar,
    demands_of,
    format_grammar,
    openai_tools,
)
from edgewise.dropin.hooks import CallersDrafter, LogitsProcessorList, StoppingCriteriaList, adjuster, stopper
from edgewise.dropin.low_level import RANDOM_SEED, LlamaState, LowLevel, first_seed
from edgewise.dropin.opening import opening_error, require_path
from edgewise.dropin.tool_calls import to_answer
from edgewise.dropin.vocabulary import Vocabulary
from edgewise.engine.native import NativeEngine
from edgewise.errors import InvalidArgument, ModelFileError, SystemRefused, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from edgewise.chat.grammar import Grammars
    from edgewise.config import EngineConfig
    from edgewise.dropin.types import ChatCompletion, ChatCompletionChunk, Completion
    from edgewise.engine.protocol import Constraint, Engine, GenerateOptions, Generation

__all__ = [
    "Llama",
    "LlamaCache",
    "LlamaDiskCache",
    "LlamaGrammar",
    "LlamaRAMCache",
    "LlamaState",
    "LogitsProcessorList",
    "StoppingCriteriaList",
]


class Llama(Vocabulary, LowLevel, Embedding, Conveniences):
    """A model with the interface of llama-cpp-python. Unlike there, threads may share one.

    Args:
        model_path: a GGUF file; of a split model any part.
        n_gpu_layers: accepted; this package's core runs on the CPU.
        vocab_only: read the tokenizer alone, from a file that may have no tensors.
        seed: where the sequence of seeds starts that completions without an own seed use; -1 starts anywhere. The
            default always starts at the same place, as there.
        n_ctx: tokens that prompt and answer may have together; 0 is what the model was trained for.
        n_batch: prompt tokens evaluated at once, at most n_ctx.
        n_threads: how many threads to use; more than can run is clamped. Chosen where not given.
        pooling_type: how `embed` makes one vector of a text: -1 as the file says, 0 not, 1 mean, 2 first, 3 last.
        logits_all: allow log-probabilities, and `scores`.
        embedding: allow `embed`.
        last_n_tokens_size: tokens of the answer that the penalties look back on.
        chat_format: a format's name, for files without a chat template.
        type_k: ggml's number of the key cache's format: 0 f32, 1 f16, 8 q8_0.
        type_v: the same for the values.
        verbose: say on stderr what is opened and how fast answers are.
        split_mode, main_gpu, tensor_split, use_mmap, use_mlock, n_ubatch, n_threads_batch, offload_kqv, flash_attn,
            op_offload, swa_full, no_perf, lora_base, numa: accepted; they change nothing here.
        kv_overrides, rope_scaling_type, attention_type, rope_freq_base, rope_freq_scale, yarn_ext_factor,
            yarn_attn_factor, yarn_beta_fast, yarn_beta_slow, yarn_orig_ctx, chat_handler, tokenizer, spm_infill: not
            supported; anything but the default is an UnsupportedError.
        lora_path: a LoRA adapter in GGUF form, or several.
        lora_scale: multiplies what it adds; one number for all, or one for each.
        draft_model: a function from the tokens so far to those that it expects next, for speculative decoding; by
            default they are looked up in the text so far. The answers are the same with and without.
        outdated: arguments of older versions are accepted and mean nothing, as there.

    Raises:
        ValueError: `Model path does not exist: ...`, `Failed to load model from file: ...`. The latter is also a
            ModelFileError, SystemRefused or UnsupportedError, whichever is the cause.
        RuntimeError: `Failed to initialize LoRA adapter from lora path: ...`, and one of those three, too.
        UnsupportedError: if an argument is not supported.
    """

    def __init__(
        self,
        model_path: str,
        *,
        n_gpu_layers: int = 0,
        split_mode: int = 1,
        main_gpu: int = 0,
        tensor_split: list[float] | None = None,
        vocab_only: bool = False,
        use_mmap: bool = True,
        use_mlock: bool = False,
        kv_overrides: dict[str, bool | int | float | str] | None = None,
        seed: int = RANDOM_SEED,
        n_ctx: int = 512,
        n_batch: int = 512,
        n_ubatch: int = 512,
        n_threads: int | None = None,
        n_threads_batch: int | None = None,
        rope_scaling_type: int | None = -1,
        pooling_type: int = -1,
        attention_type: int = -1,
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        yarn_ext_factor: float = -1.0,
        yarn_attn_factor: float = 1.0,
        yarn_beta_fast: float = 32.0,
        yarn_beta_slow: float = 1.0,
        yarn_orig_ctx: int = 0,
        logits_all: bool = False,
        embedding: bool = False,
        offload_kqv: bool = True,
        flash_attn: bool = False,
        op_offload: bool | None = None,
        swa_full: bool | None = None,
        no_perf: bool = False,
        last_n_tokens_size: int = 64,
        lora_base: str | None = None,
        lora_scale: float | Sequence[float] = 1.0,
        lora_path: str | Sequence[str] | None = None,
        numa: bool | int = False,
        chat_format: str | None = None,
        chat_handler: object = None,
        draft_model: Any = None,
        tokenizer: object = None,
        type_k: int | None = None,
        type_v: int | None = None,
        spm_infill: bool = False,
        verbose: bool = True,
        **outdated: object,
    ) -> None:
        # Pickling opens the model again with the same arguments.
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self._engine: Engine | None = None
        check_numbers(self._arguments)
        self._seed = first_seed(seed)
        self._logits_all = logits_all
        self._embedding = embedding
        self.last_n_tokens_size = last_n_tokens_size
        self.verbose = verbose
        self.model_path = model_path
        refuse(self._arguments, NOT_IN_CONSTRUCTOR)
        if draft_model is not None and not callable(draft_model):
            raise InvalidArgument(f"draft_model must be a function from tokens to tokens, got {draft_model!r}")
        pooling_name(pooling_type)
        config = load_config(
            {
                "context_length": n_ctx,
                "threads": n_threads,
                "batch": max(1, min(n_ctx, n_batch) if n_ctx else n_batch),
                "key_format": cache_format("type_k", type_k),
                "value_format": cache_format("type_v", type_v),
                "gpu_layers": 0,
                "prompt_cache_bytes": 0,
                "lora": adapters(lora_path, lora_scale),
            }
        )
        require_path(model_path)
        try:
            metadata = self._open(config, vocab_only=vocab_only)
        except (ModelFileError, SystemRefused, UnsupportedError) as error:
            raise opening_error(error, model_path, config.lora) from error
        self._context_length = n_ctx if self._engine is None else self._engine.context_length
        self._pooling_type = resolved(pooling_type, self._engine)
        self.n_batch = min(config.batch, self._context_length)
        self._file_metadata = metadata
        self.metadata = {key: _as_text(value) for key, value in metadata.items()}
        self.chat_format = chat_format or chats.default_format(metadata)
        self._say(f"opened {model_path}" + (f" with the {self._engine.name} engine" if self._engine else ""))

    def _open(self, config: EngineConfig, *, vocab_only: bool) -> Mapping[str, object]:
        if vocab_only:
            file = _core.ModelFile(self.model_path)
            self._tokenizer: _core.Tokenizer | None = _core.Tokenizer(file)
            return file.metadata()
        self._engine = engines.open(self.model_path, config)
        self._tokenizer = None
        if isinstance(self._engine, NativeEngine):
            self._tokenizer = self._engine.tokenizer
            if self._arguments["draft_model"] is not None:
                self._engine.draft_with(lambda: CallersDrafter(self._arguments["draft_model"]))
        return self._engine.metadata

    def create_completion(
        self,
        prompt: str | list[int],
        suffix: str | None = None,
        max_tokens: int | None = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        logprobs: int | None = None,
        echo: bool = False,
        stop: str | list[str] | None = None,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        top_k: int = 40,
        stream: bool = False,
        seed: int | None = None,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        stopping_criteria: Any = None,
        logits_processor: Any = None,
        grammar: object = None,
        logit_bias: Mapping[int, float] | Mapping[str, float] | None = None,
    ) -> Completion | Iterator[Completion]:
        """Continues a prompt; no chat template is applied.

        Args:
            prompt: text, or token ids.
            suffix: what stands behind the answer, for models that fill gaps.
            max_tokens: the longest answer, in tokens; None or 0 is as much as the context holds.
            temperature: 0 takes the likeliest token.
            top_p: sample among the likeliest tokens that together have this probability.
            min_p: drop tokens less likely than this share of the likeliest.
            typical_p: locally typical sampling; 1 is off.
            logprobs: report this many likeliest tokens for each; needs logits_all=True.
            echo: put the prompt before the answer.
            stop: a text or texts that end the answer.
            frequency_penalty: lowers the logit of a recent token by this for each time it occurred.
            presence_penalty: lowers the logit of a recent token by this once.
            repeat_penalty: divides the logits of recent tokens; 1 is off.
            top_k: sample among this many likeliest tokens; 0 for all.
            stream: return an iterator of chunks.
            seed: the same seed gives the same text; -1 and 0xFFFFFFFF take a new one each time.
            tfs_z: accepted; tail-free sampling means nothing, as there.
            mirostat_mode: 0 is off, 2 is Mirostat 2.0.
            mirostat_tau: its target surprise.
            mirostat_eta: its learning rate.
            model: the name to report.
            stopping_criteria: a function or functions of (tokens, logits) that say whether to stop; needs numpy.
            logits_processor: a function or functions from (tokens, logits) to logits; needs numpy.
            grammar: a LlamaGrammar, which the answer keeps to; needs llguidance (extra `serve`).
            logit_bias: added to the logits of these tokens.

        Returns:
            A completion as a dict, or an iterator of such dicts with `stream`.

        Raises:
            ValueError: `Requested tokens (...) exceed context window of ...`, or logprobs without logits_all=True.
            UnsupportedError: for a suffix if the model fills no gaps, for a grammar without llguidance.
        """
        demands = check_grammar(grammar)
        if logprobs is not None and not self._logits_all:
            raise InvalidArgument("logprobs is not supported for models created with logits_all=False")
        if suffix is not None:
            tokens = infill_prompt(self._opened, self._text_of(prompt), suffix)
        else:
            tokens = self.tokenize(prompt.encode(), special=True) if isinstance(prompt, str) else list(prompt)
        wants_prompt = echo and logprobs is not None and not stream
        request = Request(
            id=f"cmpl-{uuid.uuid4()}",
            created=int(time.time()),
            model=self.model_path if model is None else model,
            prompt=prompt,
            prompt_tokens=tokens,
            bos=self.token_bos(),
            echo=echo,
            logprobs=logprobs,
            prompt_logprobs=self._prompt_logprobs(tokens, logprobs or 0) if wants_prompt else None,
            detokenize=lambda ids: self.detokenize(ids).decode("utf-8", errors="ignore"),
        )
        options = self._sampling(
            max_tokens=max(1, max_tokens - request.counted_bos) if max_tokens is not None and max_tokens > 0 else None,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            typical_p=typical_p,
            repeat_penalty=repeat_penalty,
            frequency_penalty=frequency_penalty,
            presence_penalty=presence_penalty,
            mirostat=mirostat(mirostat_mode, mirostat_tau, mirostat_eta),
            logit_bias=biases(logit_bias),
            seed=self._next_seed(seed),
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            logprobs=logprobs is not None,
            top_logprobs=logprobs or 0,
            shown_tokens=demands.shown_tokens if isinstance(demands, Demands) else frozenset(),
        )
        constraint = None if demands is None else demands.constraint(self._grammars)
        answer = self._answer(tokens, options, constraint, adjuster(logits_processor), stopper(stopping_criteria))
        if stream:
            return chunks(request, answer)
        completion = whole(request, answer)
        self._report(answer)
        return completion

    __call__ = create_completion

    def create_chat_completion(
        self,
        messages: Sequence[Mapping[str, Any]],
        functions: object = None,
        function_call: object = None,
        tools: object = None,
        tool_choice: object = None,
        temperature: float = 0.2,
        top_p: float = 0.95,
        top_k: int = 40,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        stream: bool = False,
        stop: str | list[str] | None = None,
        seed: int | None = None,
        response_format: object = None,
        max_tokens: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        logits_processor: Any = None,
        grammar: object = None,
        logit_bias: Mapping[int, float] | Mapping[str, float] | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
    ) -> ChatCompletion | Iterator[ChatCompletionChunk]:
        """Answers messages, with the file's own chat template or the constructor's `chat_format`.

        Args:
            messages: dicts with `role` and `content`.
            tools, tool_choice: functions that the answer may call, or has to, in OpenAI's form.
            functions, function_call: the same in OpenAI's older form.
            response_format: `{"type": "json_object"}`, with `schema` where there is one, or OpenAI's `json_schema`.
            grammar: see `create_completion`.
            logprobs: report log-probabilities; needs logits_all=True.
            top_logprobs: and this many likeliest tokens with them.
            temperature, top_p, top_k, min_p, typical_p, stream, stop, seed, max_tokens: see `create_completion`.
            presence_penalty, frequency_penalty, repeat_penalty, tfs_z: see `create_completion`.
            mirostat_mode, mirostat_tau, mirostat_eta: see `create_completion`.
            model, logits_processor, logit_bias: see `create_completion`.

        Returns:
            An answer as a dict, or an iterator of chunks with `stream`.

        Raises:
            UnsupportedError: naming an argument that is not supported.
            ValueError: if the template refuses the messages, or they exceed the context window.
        """
        offered, choice = openai_tools(tools, tool_choice, functions, function_call)
        demands: LlamaGrammar | Demands | None = check_grammar(grammar) or format_grammar(response_format)
        prompt = chats.ask(messages, self._opened, self.chat_format, offered)
        if prompt.prompt is not None and offered:
            demands = demands_of(lambda: self._grammars, prompt.prompt, choice, demands)
        stops = [stop] if isinstance(stop, str) else list(stop or ())
        completion = self.create_completion(
            prompt=self.tokenize(prompt.text.encode(), add_bos=not prompt.has_special, special=True),
            temperature=temperature,
            top_p=top_p,
            top_k=top_k,
            min_p=min_p,
            typical_p=typical_p,
            logprobs=(top_logprobs or 0) if logprobs else None,
            stream=stream,
            stop=stops if prompt.stop is None else [*stops, prompt.stop],
            seed=seed,
            max_tokens=max_tokens,
            presence_penalty=presence_penalty,
            frequency_penalty=frequency_penalty,
            repeat_penalty=repeat_penalty,
            mirostat_mode=mirostat_mode,
            mirostat_tau=mirostat_tau,
            mirostat_eta=mirostat_eta,
            model=model,
            logits_processor=logits_processor,
            grammar=demands,
            logit_bias=logit_bias,
        )
        return to_answer(completion, prompt.reader())

    def n_ctx(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self._context_length

    def set_cache(self, cache: LlamaDiskCache | LlamaRAMCache | None) -> None:
        """Keeps prompts on disk from now on, with a LlamaDiskCache; with None or a LlamaRAMCache no longer.

        Raises:
            UnsupportedError: for other caches.
        """
        if isinstance(cache, LlamaDiskCache):
            self._native.cache_prompts(Path(cache.cache_dir), cache.capacity_bytes)
        elif cache is None or isinstance(cache, LlamaRAMCache):
            if isinstance(self._engine, NativeEngine):
                self._engine.cache_prompts(None)
        else:
            raise UnsupportedError(f"set_cache({cache!r}) is not supported", hint="LlamaDiskCache and None are")
        self.cache = cache

    @classmethod
    def from_pretrained(cls, repo_id: str, filename: str | None = None, **arguments: object) -> NoReturn:
        """Not supported: download the file, then open it."""
        raise UnsupportedError(
            "from_pretrained is not supported by edgewise.Llama", hint=f"download {repo_id}, then Llama(model_path=...)"
        )

    def close(self) -> None:
        """Gives the memory back."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self._arguments

    def __setstate__(self, state: dict[str, Any]) -> None:
        outdated = state.pop("outdated")
        self.__init__(**state, **outdated)  # type: ignore[misc]

    def _answer(
        self,
        tokens: list[int],
        options: GenerateOptions,
        constraint: Constraint | None,
        adjust: Callable[[list[int], bytes], bytes] | None,
        should_stop: Callable[[list[int], bytes], bool] | None,
    ) -> Generation:
        if adjust is None and should_stop is None and constraint is None:
            return self._opened.generate(tokens, options)
        return self._native.generate(tokens, options, constraint=constraint, adjust=adjust, should_stop=should_stop)

    @cached_property
    def _grammars(self) -> Grammars:
        from edgewise.chat.grammar import Grammars

        return Grammars(self._opened)

    def _text_of(self, prompt: str | list[int]) -> str:
        return prompt if isinstance(prompt, str) else self.detokenize(prompt).decode("utf-8", errors="ignore")

    def _report(self, answer: Generation) -> None:
        timings = answer.timings
        self._say(
            f"{timings.cached_tokens} tokens cached, "
            f"{timings.evaluated_tokens} evaluated at {timings.prefill_tokens_per_second:.1f}/s, "
            f"{timings.generated_tokens} generated at {timings.decode_tokens_per_second:.1f}/s"
        )

    def _say(self, text: str) -> None:
        if self.verbose:
            print(f"edgewise: {text}", file=sys.stderr)  # noqa: T201  what `verbose` asks for


def _as_text(value: object) -> str:
    """A metadata value the way llama.cpp prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, float) else str(value)
