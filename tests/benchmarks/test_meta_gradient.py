"""The benchmark of meta-gradients: its comparison runs without peers and tells right from wrong, its tables follow from its report."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.meta_gradient import cells, comparison, timing
from benchmarks.meta_gradient.tables import END, START, tables
from benchmarks.meta_gradient.targets import TARGETS, Target, slope
from benchmarks.meta_gradient.ways import HOW_TO_INSTALL, Way, absent, hfmeta, unrolled
from benchmarks.meta_gradient.workloads import WORKLOADS

BENCHMARKS = Path(command.__file__).parent
TINY = dataclasses.replace(WORKLOADS["A"], tasks=2, sizes=(3, 3), compared=(2, 3, 3))


@pytest.fixture
def no_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where none of the peers is installed."""
    monkeypatch.setattr(cells, "absent", lambda: HOW_TO_INSTALL)
    monkeypatch.setattr(command, "absent", lambda: HOW_TO_INSTALL)
    monkeypatch.setitem(command.WORKLOADS, "A", TINY)


@pytest.mark.usefixtures("no_peers")
@pytest.mark.parametrize("steps", [1, 5])
def test_every_way_of_ours_has_the_gradient_of_a_plain_unroll(steps):
    rows = comparison.compare(TINY, steps, cells.contenders(TINY))
    assert {row["way"] for row in rows} == {"hfmeta", cells.LOOPED, cells.RECOMPUTE}
    assert {row["gradient"] for row in rows} == {"exact", "first_order", "reptile"}
    assert all(row["ours"] and row["right"] and row["distance"] <= 1e-10 for row in rows)


def test_the_comparison_tells_first_order_from_exact():
    posing = dataclasses.replace(hfmeta("posing", "first_order"), gradient="exact")
    (row,) = comparison.compare(TINY, 2, [posing])
    assert not row["right"]
    assert row["distance"] > 1e-4


def test_a_missing_tensor_is_infinitely_far():
    assert comparison.distance({}, {"w": torch.ones(1)}) == float("inf")


@pytest.mark.usefixtures("no_peers")
def test_a_wrong_gradient_of_ours_ends_the_run_before_anything_is_timed(monkeypatch, capsys):
    wrong = Way("hfmeta", "exact", unrolled("first_order").prepare)
    monkeypatch.setattr(command, "contenders", lambda *_: [wrong])
    monkeypatch.setattr(command, "time_side_by_side", lambda *_: pytest.fail("timed"))
    monkeypatch.setattr("sys.argv", ["benchmarks", "--workloads", "A"])
    assert command.main() == 1
    said = capsys.readouterr().err
    assert "WRONG: hfmeta, exact gradient on A at K=1" in said
    assert "learn2learn is not installed and left out; to install it: bash benchmarks/install_learn2learn.sh" in said


@pytest.mark.usefixtures("no_peers")
def test_the_command_writes_a_report_and_its_tables(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "cost_of_the_trainer", lambda rounds: {"ratio": 2.0})
    monkeypatch.setattr(timing, "SAMPLE", 1e-9)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    report = tmp_path / "report.json"
    before = {
        "measured": [],
        "comparison": [],
        "times": [],
        "memory": [{"workload": "D", "steps": 5, "way": "hfmeta", "mb": 3.0}],
    }
    before["memory"][0]["adapted_mb"] = 1.0
    report.write_text(json.dumps({**before, "trainer": {}}))
    options = ["--workloads", "A", "--rounds", "2", "--json", str(report), "--readme", str(readme)]
    monkeypatch.setattr("sys.argv", ["benchmarks", *options])
    assert command.main() == 0
    found = json.loads(report.read_text())
    assert found["absent"] == ["learn2learn", "higher", "torchopt"]
    assert {len(row["cpu_ms"]) for row in found["times"]} == {2}
    assert {(row["part"], row["workload"]) for row in found["measured"]} == {
        ("times", "A"),
        ("comparison", "A"),
        ("trainer", "A"),
    }
    assert found["memory"] == before["memory"], "what was not measured anew stays"
    written = readme.read_text()
    assert written.startswith(f"before\n{START}")
    assert written.endswith(f"{END}\nafter\n")
    assert "old" not in written
    assert tables(found) in written
    assert "learn2learn was not installed." in written
    assert "through the Trainer, to the bare step | 4.00 | 2.000 | yes |" in capsys.readouterr().out


def test_targets_read_times_memory_and_slopes():
    times = [
        {"workload": "A", "steps": 1, "gradient": "exact", "way": way, "cpu_ms": cpu, "wall_ms": cpu}
        for way, cpu in (("hfmeta", [1.0, 2.0, 3.0]), ("learn2learn", [10.0, 10.0, 10.0]))
    ]
    memory = [
        {"workload": "D", "steps": steps, "way": way, "mb": mb, "adapted_mb": 10.0}
        for way, mbs in ((cells.RECOMPUTE, (30.0, 85.0)), ("learn2learn", (100.0, 340.0)))
        for steps, mb in zip((5, 10), mbs, strict=True)
    ]
    report = {"times": times, "memory": memory, "trainer": {}}
    assert Target("time", "A", 0.25, 1).measured(report) == pytest.approx((0.2, 0.15, 0.25))
    assert Target("time", "A", 0.25, 5).measured(report) is None
    assert Target("memory", "D", 0.25, 10, way=cells.RECOMPUTE).measured(report) == (0.25, 0.25, 0.25)
    assert slope(report, "D", cells.RECOMPUTE) == pytest.approx(1.1)
    assert Target("trainer", "A", 4.0).measured(report) is None


def test_every_target_is_of_a_cell_that_is_measured():
    for target in TARGETS:
        workload = WORKLOADS[target.workload]
        if target.what == "time":
            assert target.steps in workload.steps
        names = {(way.name, way.gradient) for way in cells.contenders(workload)}
        assert target.what == "trainer" or (target.way, target.gradient) in names


def test_the_figures_in_the_readme_are_those_of_the_committed_report():
    report = json.loads((BENCHMARKS / "results" / "meta_gradient.json").read_text())
    assert tables(report) in (BENCHMARKS / "README.md").read_text()
    assert all(row["right"] for row in report["comparison"] if row["ours"])


def test_every_peer_that_is_absent_comes_with_how_to_install_it():
    assert set(absent()) <= set(HOW_TO_INSTALL)
    assert (BENCHMARKS / "install_learn2learn.sh").is_file()
