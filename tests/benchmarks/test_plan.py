"""A suite turns into jobs that measure each thing once."""

from pathlib import Path

from speed.plan import HEADLINE_FORMATS, PARTS, Job, Suite


def jobs(*parts: str, formats: tuple[str, ...] = HEADLINE_FORMATS, file: Path | None = None) -> list[Job]:
    return Suite(
        parts=parts,
        formats=formats,
        shape="large",
        small_shape="small",
        file=file,
        isa="avx512vnni",
        instruction_sets=("scalar", "avx2", "avx512vnni"),
        threads=2,
        rounds=5,
        folder=Path("models"),
    ).jobs()


def test_the_headline_figures_of_a_model_come_from_the_same_processes() -> None:
    found = jobs("prefill", "decode", "start", formats=("q4_k_m",))
    assert [job.work for job in found] == [("decode:0", "prefill:64", "prefill:256", "prefill:1024")]
    assert found[0].path == Path("models/large-q4_k_m.gguf")
    assert found[0].rounds == 5


def test_a_single_part_measures_nothing_else() -> None:
    assert [job.work for job in jobs("decode", formats=("q6_k",))] == [("decode:0",)]
    assert [job.work for job in jobs("start", formats=("q6_k",))] == [()]


def test_the_context_holds_what_the_work_needs() -> None:
    (job,) = jobs("context")
    assert (job.format, job.work) == ("q4_k_m", ("decode:4096",))
    assert job.context >= 4096 + 64


def test_streams_have_room_for_as_many_texts_as_run_at_once() -> None:
    found = jobs("streams")
    assert [job.format for job in found] == ["q4_k_m", "q6_k", "q8_0"]
    assert {(job.streams, job.work[-1], job.rounds) for job in found} == {(8, "streams:8", 3)}
    assert {job.streams for job in jobs("decode", "context", "small")} == {1}


def test_forced_threads_and_instruction_sets_take_fewer_rounds() -> None:
    one_thread, avx2 = jobs("one-thread", "avx2", formats=("q4_0",))
    assert (one_thread.threads, one_thread.isa, one_thread.rounds) == (1, "avx512vnni", 2)
    assert (avx2.threads, avx2.isa, avx2.rounds) == (2, "avx2", 2)


def test_a_file_takes_the_place_of_the_large_model() -> None:
    found = jobs(*PARTS, file=Path("mine.gguf"))
    assert {job.path for job in found} == {Path("mine.gguf")}
    assert [job.parts for job in found] == [
        ("prefill", "decode", "start"),
        ("context",),
        ("streams",),
        ("one-thread",),
        ("avx2",),
    ]
