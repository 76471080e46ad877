"""The table of causes: its ids, its page, and its default values against the installed frameworks."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from twinzoo.cli import cli
from twinzoo.parity.causes import TABLE
from twinzoo.parity.causes_page import markdown
from twinzoo.parity.results import CAUSES

PAGE = Path(__file__).parents[2] / "docs" / "causes.md"

IDS = """
eps momentum norm-kind norm-mode variance affine padding pad-mode stride kernel dilation groups output-padding bias
weight-value weight-layout weight-swapped weight-shared activation slope approximation inplace dropout resize-mode
align-corners pool-kind ceil-mode count-include-pad axis operand-order missing-op extra-op scale offset reduction label
dtype lr betas optimizer-eps weight-decay bias-correction grad-missing update-order schedule nondeterminism unexplained
"""


def roots(framework: str) -> dict[str, Any]:
    """What the first word of a name means in a framework's texts."""
    if framework == "torch":
        torch = pytest.importorskip("torch")
        return {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "optim": torch.optim}
    mindspore = pytest.importorskip("mindspore")
    return {"ms": mindspore, "nn": mindspore.nn, "ops": mindspore.ops}


def calls(text: str) -> Iterator[ast.expr]:
    """The names and calls among what stands in backquotes."""
    for code in re.findall(r"`([^`]+)`", text):
        try:
            tree = ast.parse(code, mode="eval").body
        except SyntaxError:
            continue
        yield tree


def signature(found: Any) -> inspect.Signature | None:
    """The signature, through the wrapper of MindSpore's optimizers; None of what is built in."""
    wrapper = getattr(getattr(found, "__init__", None), "__closure__", None) or ()
    wrapped = [cell.cell_contents for cell in wrapper if inspect.isfunction(cell.cell_contents)]
    try:
        return inspect.signature(wrapped[0] if wrapped else found)
    except ValueError:
        return None


def claims(text: str, known: Mapping[str, Any], *, defaults: bool) -> tuple[int, list[str]]:
    """How many arguments the text names, and what of it is not so.

    Args:
        defaults: whether each is a default value, and not only an argument that there is.
    """
    count, wrong = 0, []
    for tree in calls(text):
        name = ast.unparse(tree.func if isinstance(tree, ast.Call) else tree)
        first, *rest = name.split(".")
        if first not in known or not re.fullmatch(r"[\w.]+", name):
            continue
        found = reduce(lambda value, part: getattr(value, part, None), rest, known[first])
        if found is None:
            wrong.append(name)
            continue
        signed = signature(found) if isinstance(tree, ast.Call) else None
        parameters = signed.parameters if signed else {}
        for argument in tree.keywords if isinstance(tree, ast.Call) and parameters else ():
            count += 1
            given = parameters.get(str(argument.arg))
            if given is None or (defaults and given.default != ast.literal_eval(argument.value)):
                wrong.append(f"{name}({ast.unparse(argument)}): {given}")
    return count, wrong


def test_the_ids_are_those_of_the_stable_list_in_its_order() -> None:
    assert list(TABLE) == IDS.split()
    assert set(TABLE) == CAUSES


def test_every_text_says_something() -> None:
    for name, cause in TABLE.items():
        for text in vars(cause).values():
            assert len(text) > 10 and text.count("`") % 2 == 0 and "|" not in text, name


def test_the_page_is_the_table(tmp_path: Path) -> None:
    assert PAGE.read_text() == markdown(TABLE), "run `twinzoo causes --markdown docs/causes.md`"
    done = CliRunner().invoke(cli, ["causes", "--markdown", str(tmp_path / "causes.md")])
    assert done.exit_code == 0
    assert (tmp_path / "causes.md").read_text() == PAGE.read_text()
    assert all(re.search(rf"^{name} ", done.output, re.MULTILINE) for name in TABLE)


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
def test_defaults_and_arguments_are_those_of_the_installed_version(framework: str) -> None:
    known = roots(framework)
    stated = [claims(getattr(cause, framework), known, defaults=True) for cause in TABLE.values()]
    advised = [claims(getattr(cause, f"{framework}_fix"), known, defaults=False) for cause in TABLE.values()]
    assert [line for _, wrong in stated + advised for line in wrong] == []
    assert sum(count for count, _ in stated) > 30
    assert sum(count for count, _ in advised) > 15


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`nn.LeakyReLU(negative_slope=0.2)`", "nn.LeakyReLU(negative_slope=0.2)"),
        ("`nn.LeakyReLU(alpha=0.01)`", "nn.LeakyReLU(alpha=0.01)"),
        ("`nn.Leaky`", "nn.Leaky"),
        ("`nn.Leaky(slope=1)`", "nn.Leaky"),
    ],
)
def test_a_wrong_claim_is_seen(text: str, wrong: str) -> None:
    _, found = claims(text, roots("torch"), defaults=True)
    assert found and found[0].startswith(wrong)
