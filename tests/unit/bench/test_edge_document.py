"""docs/promises.md has two writers, and neither loses what the other wrote."""

from bench.edge.document import part_of, with_figures
from bench.edge.model import Figure

PAGE = "# Promises\n\n| step | result |\n|---|---|\n| 1 Install | passed |\n"
RUN = ("make chaos-edge", "2 cores", "2026-11-28")
SLOW, FAST = Figure("answers", "9 ms | p99", "≤ 1 ms", False), Figure("answers", "1 ms", "≤ 1 ms", True)


def test_figures_of_a_probe_replace_that_probes_alone() -> None:
    first = with_figures(PAGE, {"overload": [SLOW], "memory": [FAST, FAST]}, *RUN)
    second = with_figures(first, {"overload": [FAST]}, *RUN)
    assert second.startswith(PAGE)
    assert first.count("| overload |") == second.count("| overload |") == 1
    assert "9 ms / p99" in first
    assert "**no**" in first
    assert "**no**" not in second
    assert second.count("| memory |") == 2
    assert with_figures(second, {}, *RUN) == second


def test_the_other_writer_keeps_the_part() -> None:
    written = with_figures(PAGE, {"overload": [SLOW]}, *RUN)
    assert PAGE + part_of(written) == written
    assert part_of(PAGE) == ""
