"""The mapping as a table: written, corrected by hand in a line, and obeyed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import twinzoo as tz
from twinzoo.converters import files
from twinzoo.zoo.errors import ConversionError, IncompleteConversionError

SHAPE = (4, 4, 3, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints of two alike layers and a head, whose names say nothing about each other."""
    rng = np.random.default_rng(0)
    for name, layers in (("source", ["beta", "alpha"]), ("target", ["left", "right"])):
        state = {f"{layer}.weight": rng.normal(size=SHAPE).astype(np.float32) for layer in layers}
        state[f"head_{name}.weight"] = rng.normal(size=(2, 4)).astype(np.float32)
        files.write(tmp_path / f"{name}.npz", state)
    return tmp_path


def rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]


def test_a_tie_is_written_down_and_settled_by_hand(folder: Path) -> None:
    table = folder / "map.tsv"
    with pytest.raises(IncompleteConversionError):
        tz.convert(folder / "source.npz", folder / "target.npz", folder / "out.npz", table=table)
    assert not (folder / "out.npz").exists()
    text = table.read_text()
    assert "# beta|alpha\tleft\n# beta|alpha\tright\n" in text
    assert rows(table) == [["head_source", "head_target", "graph"]]
    table.write_text(text + "alpha\tleft\nbeta\tright\n")
    found = tz.convert(folder / "source.npz", folder / "target.npz", folder / "out.npz", table=table)
    assert {p[:2]: p.how for p in found.pairs} == {
        ("alpha.weight", "left.weight"): "map",
        ("beta.weight", "right.weight"): "map",
        ("head_source.weight", "head_target.weight"): "map",
    }
    source, out = files.read(folder / "source.npz"), files.read(folder / "out.npz")
    assert np.array_equal(out["left.weight"], source["alpha.weight"])


def test_a_whole_mapping_is_written_and_left_as_it_is(folder: Path) -> None:
    table = folder / "map.tsv"
    tz.convert(folder / "source.npz", folder / "source.npz", table=table)
    assert rows(table) == [[name, name, "name"] for name in ("beta", "alpha", "head_source")]
    before = table.read_bytes()
    tz.convert(folder / "source.npz", folder / "source.npz", table=table)
    assert table.read_bytes() == before


def test_a_corrected_line_wins_over_names(folder: Path) -> None:
    table = folder / "map.tsv"
    table.write_text("beta\talpha\nalpha\tbeta\n")
    found = tz.convert(folder / "source.npz", folder / "source.npz", table=table)
    source = files.read(folder / "source.npz")
    assert np.array_equal(found.state["alpha.weight"], source["beta.weight"])
    assert {p.how for p in found.pairs} == {"map", "name"}


def test_single_tensors_and_what_is_left_out(folder: Path) -> None:
    table = folder / "map.tsv"
    table.write_text("beta.weight\tright.weight\n-\tleft\nalpha\t-\n")
    found = tz.convert(folder / "source.npz", folder / "target.npz", table=table)
    assert sorted(found.state) == ["head_target.weight", "right.weight"]
    assert found.dropped == {"alpha.weight": "left out by the table"}
    assert not found.missing
    assert not found.unused


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gamma\tleft", "line 2: the source has no layer or tensor 'gamma'"),
        ("beta\tmiddle", "line 2: the target has no layer or tensor 'middle'"),
        ("beta left", "line 2: must be source <tab> target, got 'beta left'"),
        ("beta\tleft.weight", "line 2: beta and left.weight are a layer and a tensor"),
        ("-\t-", "line 2: leaves out nothing"),
        ("beta\tleft\nbeta\tright", "line 3: beta has a line already"),
        ("beta\tleft\nalpha\tleft", "line 3: left has a line already"),
        ("head_source.weight\tleft.weight", r"head_source.weight is \(2, 4\) and left.weight needs \(4, 4, 3, 3\)"),
    ],
)
def test_a_wrong_line_is_named(folder: Path, line: str, message: str) -> None:
    (folder / "map.tsv").write_text(f"# source\ttarget\n{line}\n")
    with pytest.raises(ConversionError, match=message):
        tz.convert(folder / "source.npz", folder / "target.npz", table=folder / "map.tsv")


def test_layers_of_other_shapes_do_not_become_each_other(folder: Path) -> None:
    (folder / "map.tsv").write_text("head_source\tleft\nalpha\thead_target\nbeta\tright\n")
    with pytest.raises(IncompleteConversionError) as caught:
        tz.convert(folder / "source.npz", folder / "target.npz", table=folder / "map.tsv")
    assert "left.weight" in caught.value.table
    assert "(4, 4, 3, 3)" in caught.value.table


def test_a_table_that_is_no_text(folder: Path) -> None:
    (folder / "map.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConversionError, match="cannot be read"):
        tz.convert(folder / "source.npz", folder / "target.npz", table=folder / "map.tsv")
