"""How a model is made: from another one, from files or from uploaded blobs, with what is said about it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgewise.errors import InternalError, InvalidArgument, ModelFileError, SystemRefused, UnsupportedError
from edgewise.store import go_templates, parameters, split_models
from edgewise.store.blobs import Blob, checked_digest
from edgewise.store.details import FileFacts, prove
from edgewise.store.installed import MOST_TEXT_BYTES
from edgewise.store.manifest import Layer, Manifest, canonical
from edgewise.store.modelfile import ROLES
from edgewise.store.unfinished import WorkFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from edgewise.store.blobs import Blobs, Upload
    from edgewise.store.installed import InstalledModel
    from edgewise.store.leases import Lease

_FILES = ("model", "projector", "adapter")
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*", re.ASCII)


@dataclass(frozen=True)
class Recipe:
    """What a model is made of. One of `source` and `files` says where its weights come from.

    Args:
        source: the name of a model; or as a `Path` a GGUF file, or a model folder.
        files: uploaded blobs by the names that the files had.
        projectors: GGUF files of what turns images into embeddings, in addition.
        adapters: LoRA adapters: GGUF files as `Path`, uploaded blobs as their digests. They replace those of `source`.
        template: the chat template, in Jinja or one of Ollama's in Go's language; None for that of `source`.
        system: the system message; None for that of `source`, empty for none.
        parameters: Ollama's options; they are added to those of `source`.
        licenses: texts; they are added to those of `source`.
        messages: what conversations begin with: `role` and `content` of each; they replace those of `source`.
        quantize: the format that the weights get, such as `q4_k_m`; empty for the one that they have.
        is_linked: whether files may become the store's own, on the same file system: nothing is copied then, and they
            become read-only.
    """

    source: str | Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    projectors: Sequence[Path] = ()
    adapters: Sequence[Path | str] = ()
    template: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    licenses: Sequence[str] = ()
    messages: Sequence[Mapping[str, Any]] = ()
    quantize: str = ""
    is_linked: bool = False


@dataclass(frozen=True)
class Workers:
    """What the store itself cannot do.

    Args:
        quantize: writes a model in another format: source, target, format.
        convert: makes a GGUF file of a model folder: folder, target.
        report: gets what is being done, in Ollama's words, and bytes done and in all where they are known.
        try_out: opens a model with adapters that is new here, and raises what keeps it from working.
    """

    quantize: Callable[[Path, Path, str], None] | None = None
    convert: Callable[[Path, Path], None] | None = None
    report: Callable[[str, int, int], None] = lambda status, done, total: None
    try_out: Callable[[Path, Sequence[Path]], None] | None = None


@dataclass
class _Part:
    """A file that will be a layer: an upload that waits for its proof, or a blob that is there.

    Where it was uploaded under a name, `title` is that.
    """

    kind: str
    path: Path
    blob: Blob | None = None
    upload: Upload | None = None
    title: str = ""

    @property
    def called(self) -> str:
        """What messages call it: where a blob lies is nobody's business."""
        return self.title or (str(self.path) if self.blob is None else self.blob.digest)


class Creation:
    """One model in the making. Blobs that it brought are in `brought`, those that turned out malformed in `malformed`.

    Args:
        blobs: where its parts go.
        lease: keeps them meanwhile.
        find: a model by its name, and its manifest if the store has one; it leases its blobs.
        workers: what the store cannot do itself.
    """

    def __init__(
        self,
        blobs: Blobs,
        lease: Lease,
        find: Callable[[str, Lease], tuple[InstalledModel, Manifest | None]],
        workers: Workers,
    ) -> None:
        self._blobs = blobs
        self._lease = lease
        self._find = find
        self._workers = workers
        self._stack = ExitStack()
        self.brought: set[str] = set()
        self.malformed: set[str] = set()

    def manifest(self, recipe: Recipe) -> Manifest:
        """Makes all blobs, and the manifest that names them.

        Raises:
            InvalidArgument: if the recipe is not sound.
            ModelFileError: if a file is malformed, with the finding of the core.
            NotFound: if there is no model, or blob, that it names.
            SystemRefused: if a file cannot be read, or nothing be written.
            UnsupportedError: if something of it cannot be done here.
        """
        _require_one_source(recipe)
        options = parameters.typed(recipe.parameters)
        messages = [_message(message) for message in recipe.messages]
        with self._stack:
            folder = self._stack.enter_context(WorkFolder(self._blobs.unfinished, self._blobs.lock))
            self._report("gathering model components")
            base, parts = self._gather(recipe, folder)
            facts = self._prove_model(parts)
            if recipe.quantize:
                parts, facts = self._quantized(parts, recipe.quantize, folder)
            adapters = self._adapters(recipe, folder)
            if adapters:
                parts = [part for part in parts if part.kind != "adapter"] + adapters
            parts += [self._copied(path, "projector", recipe.is_linked) for path in recipe.projectors]
            families = self._prove_others(parts)
            if base is None or recipe.quantize or adapters:
                self._try_out(parts)
            if recipe.template:
                go_templates.as_jinja(recipe.template, facts.chat_template)
            layers = [self._layer(part) for kind in _FILES for part in parts if part.kind == kind]
            template = base.template if base and recipe.template is None else recipe.template
            system = base.system if base and recipe.system is None else recipe.system
            layers += self._texts("template", [template])
            layers += self._texts("system", [system])
            options = {**(base.parameters if base else {}), **options}
            layers += self._texts("params", [canonical(options).decode() if options else None])
            licenses = dict.fromkeys([*(base.licenses if base else ()), *recipe.licenses])
            layers += self._texts("license", licenses)
            said = messages or [dict(message) for message in (base.messages if base else ())]
            layers += self._texts("messages", [canonical(said).decode() if said else None])
            details = replace(facts.details, families=tuple(dict.fromkeys([*facts.details.families, *families])))
            return Manifest(self._add(canonical(details.as_config())), tuple(layers))

    def write(self, manifest: Manifest) -> str:
        """Makes the manifest itself a blob; gives its digest."""
        self._report("writing manifest")
        return self._add(manifest.encode()).digest

    def _gather(self, recipe: Recipe, folder: WorkFolder) -> tuple[InstalledModel | None, list[_Part]]:
        if recipe.files:
            return None, self._uploaded(recipe.files, folder)
        if isinstance(recipe.source, Path):
            return None, self._from_path(recipe.source, recipe.is_linked, folder)
        base, manifest = self._find(str(recipe.source), self._lease)
        if manifest is None:
            parts = self._from_path(base.path, False, folder)
            parts += [self._copied(path, "projector", False) for path in base.projectors]
            return base, parts + [self._copied(path, "adapter", False) for path in base.adapters]
        parts = [self._existing(layer.kind, layer.blob.digest) for layer in manifest.layers if layer.kind in _FILES]
        models = [part for part in parts if part.kind == "model"]
        if len(models) > 1:
            self._stage_shards(models, split_models.names(len(models)), folder)
        return base, parts

    def _from_path(self, path: Path, is_linked: bool, folder: WorkFolder) -> list[_Part]:
        if path.is_dir():
            return [self._converted(path, folder)]
        prove(path)  # before anything is copied
        files = _shards(path)
        parts = [self._copied(file, "model", is_linked) for file in files]
        if len(parts) > 1:
            self._stage_shards(parts, [file.name for file in files], folder)
        return parts

    def _uploaded(self, files: Mapping[str, str], folder: WorkFolder) -> list[_Part]:
        names = {_checked_file(name): checked_digest(digest) for name, digest in files.items()}
        if any(name.endswith(".safetensors") for name in names):
            for name, digest in names.items():
                folder.stage(self._existing("model", digest).path, f"folder/{name}")
            return [self._converted(folder.path / "folder", folder)]
        _require_all_shards([PurePosixPath(name).name for name in names])
        parts = []
        for name in sorted(names):
            parts.append(self._existing("model", names[name]))
            parts[-1].title = name
        if sum(_SHARD.fullmatch(PurePosixPath(name).name) is not None for name in names) > 1:
            self._stage_shards(parts, [PurePosixPath(name).name for name in sorted(names)], folder)
            return parts
        for part in parts:
            part.kind = self._proven(part).kind
        return parts

    def _adapters(self, recipe: Recipe, folder: WorkFolder) -> list[_Part]:
        parts = []
        for adapter in recipe.adapters:
            if isinstance(adapter, Path):
                if adapter.is_dir():
                    raise UnsupportedError(
                        f"{adapter} is a folder; an adapter is a GGUF file", hint="`edgewise convert` makes one of it"
                    )
                parts.append(self._copied(adapter, "adapter", recipe.is_linked))
            else:
                parts.append(self._existing("adapter", checked_digest(adapter)))
        return parts

    def _prove_model(self, parts: list[_Part]) -> FileFacts:
        models = [part for part in parts if part.kind == "model"]
        if not models:
            raise InvalidArgument("the files hold no model", hint="name the model's GGUF file among them")
        try:
            facts = self._proven(models[0])
        except ModelFileError as error:
            raise _retold(error, models) from error
        if facts.kind != "model":
            raise InvalidArgument(f"the file given as the model is of another kind: {facts.kind}")
        if len(models) > 1 and _SHARD.fullmatch(models[0].path.name) is None:
            raise InvalidArgument(
                f"the files hold {len(models)} models; one is needed",
                hint="parts of a split model are called NAME-00001-of-00003.gguf and so on",
            )
        return facts

    def _prove_others(self, parts: list[_Part]) -> list[str]:
        """Proves projectors and adapters; gives the families of the projectors."""
        families: list[str] = []
        for part in parts:
            if part.kind == "model":
                continue
            facts = self._proven(part)
            if facts.kind != part.kind:
                finding = f'by its "general.type" it is of another kind: {facts.kind}'
                raise InvalidArgument(f"{part.called} is needed as {part.kind}, but {finding}")
            if part.kind == "projector":
                families += facts.details.families
        return families

    def _try_out(self, parts: list[_Part]) -> None:
        if self._workers.try_out is None:
            return
        model = next(part for part in parts if part.kind == "model")
        adapters = [part for part in parts if part.kind == "adapter"]
        try:
            self._workers.try_out(model.path, [part.path for part in adapters])
        except ModelFileError as error:
            if model.blob is not None and not adapters:
                self.malformed.add(model.blob.digest)
            raise _retold(error, (model, *adapters)) from error

    def _proven(self, part: _Part) -> FileFacts:
        self._report("parsing GGUF")
        try:
            return prove(part.path, part.called)
        except ModelFileError:
            if part.blob is not None:
                self.malformed.add(part.blob.digest)
            raise

    def _quantized(self, parts: list[_Part], name: str, folder: WorkFolder) -> tuple[list[_Part], FileFacts]:
        if self._workers.quantize is None:
            raise UnsupportedError(f"nothing is here that quantizes to {name!r}")
        model = next(part for part in parts if part.kind == "model")
        self._report(f"quantizing model to {name.upper()}")
        target = folder.path / "quantized.gguf"
        self._workers.quantize(model.path, target, name)
        made = self._copied(target, "model", is_linked=True)
        return [made, *(part for part in parts if part.kind != "model")], self._proven(made)

    def _converted(self, source: Path, folder: WorkFolder) -> _Part:
        if self._workers.convert is None:
            raise UnsupportedError(f"{source} is a model folder, and nothing is here that converts it")
        self._report("converting model")
        target = folder.path / "converted.gguf"
        self._workers.convert(source, target)
        return self._copied(target, "model", is_linked=True)

    def _copied(self, path: Path, kind: str, is_linked: bool) -> _Part:
        def progress(done: int, total: int) -> None:
            self._workers.report(f"copying file {path.name}", done, total)

        upload = self._stack.enter_context(self._blobs.copy_in(path, link=is_linked, progress=progress))
        return _Part(kind, upload.path, upload=upload)

    def _existing(self, kind: str, digest: str) -> _Part:
        """A blob that is there, and stays."""
        with self._blobs.lock.held():
            self._lease.add(digest)
            size_bytes = self._blobs.size(digest)
        if size_bytes is None:
            raise InvalidArgument(f"there is no blob {digest}", hint="upload it first, or get the model again")
        return _Part(kind, self._blobs.path(digest), blob=Blob(digest, size_bytes))

    def _stage_shards(self, parts: list[_Part], names: list[str], folder: WorkFolder) -> None:
        """Lets the core find the parts of a split model, by the names that it looks for."""
        for part, name in zip(parts, names, strict=True):
            part.path = folder.stage(part.path, f"shards/{name}")

    def _layer(self, part: _Part) -> Layer:
        if part.upload is not None:
            part.blob = self._commit(part.upload)
        elif part.blob is None:
            raise InternalError(f"{part.path} is neither a blob nor on its way to be one")
        return Layer(part.kind, part.blob)

    def _texts(self, kind: str, texts: Iterable[str | None]) -> list[Layer]:
        layers = []
        for text in texts:
            if text:
                data = text.encode("utf-8", "surrogatepass")
                if len(data) > MOST_TEXT_BYTES:
                    raise InvalidArgument(f"{kind} has {len(data)} bytes, at most {MOST_TEXT_BYTES} are allowed")
                layers.append(Layer(kind, self._add(data)))
        return layers

    def _add(self, data: bytes) -> Blob:
        with self._blobs.upload() as upload:
            upload.write(data)
            return self._commit(upload)

    def _commit(self, upload: Upload) -> Blob:
        blob = upload.commit(self._lease)
        if upload.is_new:
            self.brought.add(blob.digest)
        self._report(f"{'creating new' if upload.is_new else 'using existing'} layer {blob.digest}")
        return blob

    def _report(self, status: str) -> None:
        self._workers.report(status, 0, 0)


def _require_one_source(recipe: Recipe) -> None:
    if (recipe.source is None) == (not recipe.files):
        finding = "both are given" if recipe.files else "neither is"
        raise InvalidArgument(f"a model is made from another one, or from files: {finding}")


def _message(message: Mapping[str, Any]) -> dict[str, str]:
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or not isinstance(content, str):
        raise InvalidArgument(
            f"a message needs a role ({', '.join(ROLES)}) and a text as content, got {message!r:.100}"
        )
    return {"role": role, "content": content}


def _shards(path: Path) -> list[Path]:
    """All files of a split model; the one file of any other."""
    found = _SHARD.fullmatch(path.name)
    if found is None:
        return [path]
    count = int(found[3])
    paths = [path.with_name(f"{found[1]}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    if len(paths) > 1 and not all(part.is_file() for part in paths):
        raise SystemRefused(f"{path}: the model is split, and some of its {count} parts are not there")
    return paths


def _require_all_shards(names: Sequence[str]) -> None:
    """Refuses uploads of which some are parts of a split model, where other parts of it are not among them."""
    for found in filter(None, map(_SHARD.fullmatch, names)):
        count = int(found[3])
        numbers = range(1, min(count, len(names) + 3) + 1)  # whoever says that there are many parts need not hear all
        missing = [name for number in numbers if (name := f"{found[1]}-{number:05}-of-{found[3]}.gguf") not in names]
        if missing:
            more = " ..." if len(missing) > 3 or numbers[-1] < count else ""
            raise ModelFileError(
                f"{found[0]} is part {int(found[2])} of {count}: the model is split, "
                f"and all {count} shards are needed; missing: {', '.join(missing[:3])}{more}",
                hint="upload all parts, and name all of them in `files`",
            )


def _retold(error: ModelFileError, parts: Iterable[_Part]) -> ModelFileError:
    """The same error, of files by what their owner calls them."""
    message = error.message
    for part in parts:
        message = message.replace(str(part.path), part.called)
    return ModelFileError(message, hint=error.hint)


def _checked_file(name: str) -> str:
    """The name of an uploaded file, which may be in a folder, and never outside."""
    if not name or any(_FILE_NAME.fullmatch(part) is None for part in name.split("/")):
        hint = "names are relative, of letters, digits, '_', '-' and '.'"
        raise InvalidArgument(f"{name!r:.100} is no name of a file", hint=hint)
    return name
