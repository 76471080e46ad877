"""The folders of the two frameworks mirror each other: the same functions, with the same arguments."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from twinzoo.converters.live import Live

FUNCTIONS = [name for name in vars(Live) if not name.startswith("_")]


@pytest.mark.parametrize("framework", ["torch", "mindspore"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_there_with_the_arguments_of_the_protocol(framework: str, name: str) -> None:
    pytest.importorskip(framework)
    module = import_module(f"twinzoo.converters.live.{framework}.model")
    wanted = [p.replace(annotation=p.empty) for p in inspect.signature(getattr(Live, name)).parameters.values()][1:]
    have = [p.replace(annotation=p.empty) for p in inspect.signature(getattr(module, name)).parameters.values()]
    assert have == wanted


def test_there_are_functions() -> None:
    assert {"arrays_of", "aliases_of", "assign", "trace"} <= set(FUNCTIONS)
