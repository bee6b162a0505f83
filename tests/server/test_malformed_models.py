"""An uploaded model that is malformed is refused with the reason; the server goes on, and the store is whole."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from edgewise.store.checkup import verify
from server.running import Running, StartServer
from server.test_wire import ASK, parsed, request

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacks")
    command = ["cargo", "run", "--quiet", "-p", "edgewise-core", "--example", "write_attacks", "--", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def upload(running: Running, data: bytes) -> str:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert parsed(running.exchange(request(f"/api/blobs/{digest}", data)))[0] in (200, 201)
    return digest


def create(running: Running, **recipe: object) -> tuple[int, str]:
    status, _, body = parsed(running.exchange(request("/api/create", {"model": "bad", "stream": False, **recipe})))
    return status, json.loads(body).get("error", "")


def test_every_attack_is_a_400_that_names_the_fault(start: StartServer, attacks: Path) -> None:
    running = start("demo")
    table = [line.split("\t") for line in (attacks / "attacks.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(table) >= 80
    base = upload(running, (attacks / "sound.gguf").read_bytes())
    for name, file, must_name, stage in table:
        digest = upload(running, (attacks / file).read_bytes())
        if stage == "Adapter":
            status, error = create(running, files={"model.gguf": base}, adapters={file: digest})
        else:
            status, error = create(running, files={file: digest})
        assert status == 400, (name, status, error)
        assert str(running.store.root) not in error
        # Each file comes alone: a part of a split model is refused before it is read.
        is_part = re.search(r"-\d{5}-of-\d{5}\.gguf$", file)
        expected = "shards are needed; missing: " if is_part else "split." if "shard" in name else must_name
        assert expected in error, (name, error)
    assert [model.name for model in running.store.list()] == ["demo:latest"]
    assert parsed(running.exchange(request("/api/generate", {**ASK, "stream": False})))[0] == 200
    assert verify(running.store) == []


def test_what_fails_while_it_is_told_is_the_last_line(start: StartServer, attacks: Path) -> None:
    running = start("demo")
    digest = upload(running, b"GGUF" + bytes(100))
    status, _, body = parsed(running.exchange(request("/api/create", {"model": "bad", "files": {"a.gguf": digest}})))
    assert "error" in json.loads(body.splitlines()[-1])
    assert status in (200, 400)
    assert "bad:latest" not in [model.name for model in running.store.list()]


@pytest.mark.parametrize("data", [b"", b"x", b"GGUF", b"\0" * 5000, b"{}" * 500])
def test_what_is_no_model_file_at_all_is_refused(start: StartServer, data: bytes) -> None:
    running = start("demo")
    digest = upload(running, data)
    for files in ({"model.gguf": digest}, {"model.safetensors": digest, "config.json": digest}, {"../../x": digest}):
        status, error = create(running, files=files)
        assert status == 400, (status, error)
        assert error


def test_a_file_whose_digest_is_another_is_not_kept(start: StartServer) -> None:
    running = start("demo")
    digest = "sha256:" + "0" * 64
    status, _, body = parsed(running.exchange(request(f"/api/blobs/{digest}", b"abc")))
    assert (status, "mismatch" in json.loads(body)["error"]) == (400, True)
    assert parsed(running.exchange(request(f"/api/blobs/{digest}", method="HEAD")))[0] == 404
    status, error = create(running, files={"model.gguf": digest})
    assert status == 400
    assert "0000" in error
