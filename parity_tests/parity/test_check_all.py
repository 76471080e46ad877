"""`twinzoo check --all`: what it goes through, what it says, and the page of figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinzoo.parity import check, zoo_page
from twinzoo.parity.check import Outcome, Sides, check_all
from twinzoo.parity.zoo_page import PAIRS, shown, write_page
from twinzoo.ports.torch.port import TorchPort
from twinzoo.zoo import listing, registry
from twinzoo.zoo.errors import ParityError

TORCH = Sides("torch", "reference")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """What is gone through: four families, one of them with presets that are the same at the small size."""
    pytest.importorskip("torch")
    names, matching = {"aodnet", "resnet_generator", "l1", "aodnet_training"}, registry.matching

    def some(table: Mapping[str, registry.Entry], pattern: str = "*") -> list[str]:
        return [name for name in matching(table, pattern) if name.partition(".")[0] in names]

    monkeypatch.setattr(registry, "matching", some)
    yield names


def test_everything_is_compared_and_what_is_the_same_once(few: set[str]) -> None:
    said: list[str] = []
    outcomes = check_all(TORCH, 0, 2, said.append)
    assert [outcome.name for outcome in outcomes] == [
        "aodnet",
        *("resnet_generator", "resnet_generator.blocks6", "resnet_generator.blocks9", "resnet_generator.cut"),
        *("l1", "aodnet_training"),
    ]
    assert all(outcome.ok for outcome in outcomes)
    assert said[-1] == "7 of 7 models, losses and training steps agree on torch and reference"
    assert sum(line.startswith("resnet_generator") for line in said) == 2  # one with other samplings, `cut`
    by_name = {outcome.name: outcome.ratios for outcome in outcomes}
    assert set(by_name["aodnet"]) == {"forward"} and 0 < by_name["aodnet"]["forward"] <= 1
    assert set(by_name["aodnet_training"]) == {"loss", "parameter", "optimizer"}


def test_two_frameworks_have_gradients_and_buffers_too(few: set[str]) -> None:
    pytest.importorskip("mindspore")
    few.clear()
    few.update({"patchgan", "l1"})
    outcomes = {outcome.name: outcome for outcome in check_all(Sides("torch", "mindspore"), 0, 1, lambda line: None)}
    assert {"patchgan", "l1"} <= set(outcomes) and all(outcome.ok for outcome in outcomes.values())
    assert set(outcomes["patchgan"].ratios) == {"forward", "gradient", "buffer"}
    assert set(outcomes["l1"].ratios) == {"forward", "gradient"}


def test_compiled_models_are_compared_too_also_where_an_operation_has_several_outputs(few: set[str]) -> None:
    pytest.importorskip("mindspore")
    few.clear()
    few.add("soft_ab_encoding")
    (outcome,) = check_all(Sides("torch", "mindspore", graph=True), 0, 1, lambda line: None)
    assert outcome.ok and "forward" in outcome.ratios


def test_a_wrong_port_is_named(few: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight of PyTorch's twins is a thousandth too large."""
    load = TorchPort.load

    def wrong(self: TorchPort, model: Any, state: Any) -> None:
        changed = {name: np.array(value) for name, value in state.items()}
        for value in list(changed.values())[:1]:
            value.flat[0] *= 1.001
        load(self, model, changed)

    monkeypatch.setattr(TorchPort, "load", wrong)
    said: list[str] = []
    outcomes = check_all(TORCH, 0, 1, said.append)
    assert [outcome.name for outcome in outcomes if not outcome.ok][:2] == ["aodnet", "resnet_generator"]
    assert "agree on torch and reference, these do not: aodnet, resnet_generator" in said[-1]


def test_what_cannot_be_compared_is_told_and_the_rest_goes_on(few: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **options: Any) -> Any:
        raise ParityError("refused")

    monkeypatch.setattr(check, "compare", refuse)
    said: list[str] = []
    outcomes = check_all(TORCH, 0, 1, said.append)
    assert said[0] == "aodnet: cannot be compared: refused"
    assert [outcome.name for outcome in outcomes if outcome.ok] == ["aodnet_training"]


def test_graph_mode_is_set_for_the_check_alone() -> None:
    ms = pytest.importorskip("mindspore")
    before = ms.get_context("mode")
    with Sides("torch", "mindspore", graph=True).mode():
        assert ms.get_context("mode") == ms.GRAPH_MODE
    assert ms.get_context("mode") == before
    with pytest.raises(ParityError, match="graph mode is MindSpore's, and the ports are torch and reference"):
        Sides("torch", "reference", graph=True).mode()


def test_ratios_in_a_cell() -> None:
    registry.load()
    found = {"forward": 0.9996, "gradient": 0.031}
    assert shown(Outcome("aodnet", True, found, "")) == "1 / 0.031 / -"
    assert shown(Outcome("aodnet", False, found | {"buffer": 2.0}, "")) == "**1 / 0.031 / 2**"
    losses = {"loss": 0.25, "parameter": 0.5, "optimizer": 1e-3}
    assert shown(Outcome("pix2pix.pixel", True, losses, "")) == "0.25 / 0.5 / - / 0.001"


def test_the_page_has_every_pair(few: set[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pairs = {"one": TORCH, "other": Sides("reference", "torch")}
    monkeypatch.setattr(zoo_page, "PAIRS", pairs)
    said: list[str] = []
    assert write_page(tmp_path / "zoo.md", 0, 1, said.append)
    page = (tmp_path / "zoo.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [row.name for row in listing.rows()]
    assert all(row.count("|") == 10 and "**" not in row for row in rows)
    assert "over 1 steps" in page and f"NumPy {np.__version__}" in page.replace("numpy", "NumPy")
    assert page.count("| one | other |") == 3
    assert [line for line in said if line.endswith(":")] == ["one:", "other:"]
    assert [*map(str, PAIRS.values())] == [
        *("torch and mindspore", "torch and mindspore, graph mode", "torch and reference")
    ]


def test_a_page_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ParityError, match="cannot be written: there is no folder"):
        write_page(tmp_path / "nowhere" / "zoo.md", 0, 1, said.append)
    assert not said
