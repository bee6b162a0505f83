"""A chat at a terminal, through a pseudo-terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")


class Terminal:
    """A program at a pseudo-terminal."""

    def __init__(self, *arguments: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "dumb"
            os.execv(sys.executable, [sys.executable, "-m", "edgewise", *arguments])  # noqa: S606  our own program
        self.seen = ""

    def expect(self, text: str, limit_s: float = 30) -> str:
        """Reads until `text` shows; gives what came before it."""
        end = time.monotonic() + limit_s
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} did not show, but {self.seen!r}"
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                raise AssertionError(f"{text!r} did not show, but {self.seen!r}, then the end") from None
        before, _, self.seen = self.seen.partition(text)
        return before

    def say(self, line: str) -> None:
        os.write(self.fd, line.encode() + b"\n")

    def exit_code(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def chat(story_model: Path) -> Iterator[Terminal]:
    terminal = Terminal("run", str(story_model), "--temp", "0", "-n", "12", "-t", "1")
    terminal.expect(">>> ")
    yield terminal
    os.close(terminal.fd)


def test_it_answers_and_leaves(chat: Terminal) -> None:
    chat.say("Once upon a time")
    answer = chat.expect(">>> ")
    assert ", there was a little girl named" in answer
    assert "decode 12 tokens" in answer
    chat.say("/exit")
    assert chat.exit_code() == 0


def test_it_leaves_at_the_end_of_input(chat: Terminal) -> None:
    os.write(chat.fd, b"\x04")
    assert chat.exit_code() == 0


def test_commands_are_explained(chat: Terminal) -> None:
    chat.say("/help")
    assert "/clear" in chat.expect(">>> ")
    chat.say("/nonsense")
    assert "is no command" in chat.expect(">>> ")


def test_a_message_may_have_several_lines(chat: Terminal) -> None:
    chat.say('"""Once')
    chat.expect("... ")
    chat.say('upon a time"""')
    assert "prefill" in chat.expect(">>> ")
    chat.say("Once upon \\")
    chat.expect("... ")
    chat.say("a time")
    assert "prefill" in chat.expect(">>> ")


def test_ctrl_c_clears_a_line_and_the_chat_goes_on(chat: Terminal) -> None:
    os.write(chat.fd, b"half a thou")
    chat.expect("half a thou")
    time.sleep(0.1)  # the line editor waits for a key again
    os.write(chat.fd, b"\x03")
    chat.expect(">>> ")
    chat.say("Once upon a time")
    assert "there was" in chat.expect(">>> ")


def test_ctrl_c_stops_the_answer_not_the_program(story_model: Path) -> None:
    terminal = Terminal("run", str(story_model), "--temp", "1.5", "-c", "60000", "--isa", "scalar", "-t", "1")
    terminal.expect(">>> ")
    terminal.say("Once upon a time")
    terminal.expect(" ", limit_s=60)  # the answer has begun
    time.sleep(0.3)
    os.kill(terminal.pid, signal.SIGINT)
    terminal.expect("decode ")
    terminal.expect(">>> ")
    terminal.say("/exit")
    assert terminal.exit_code() == 0
    os.close(terminal.fd)


def test_bytes_that_are_no_text_do_not_end_the_chat(story_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    terminal = Terminal("run", str(story_model), "--temp", "0", "-n", "12", "-t", "1")
    terminal.expect(">>> ")
    os.write(terminal.fd, b"Once \xff upon\n")
    assert "decode 12 tokens" in terminal.expect(">>> ")
    terminal.say("/exit")
    assert terminal.exit_code() == 0
    os.close(terminal.fd)
