"""Imports point one way (zoo <- ports <- parity <- recipes, converters beside ports); frameworks stay at home."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MAY_IMPORT = {
    "zoo": {"zoo"},
    "ports": {"zoo", "ports"},
    "converters": {"zoo", "converters"},
    "parity": {"zoo", "ports", "converters", "parity"},
    "recipes": {"zoo", "ports", "converters", "parity", "recipes"},
}
FRAMEWORKS = {"torch", "torchvision", "mindspore"}
FRAMEWORK_FOLDERS = {("ports/torch", "torch"), ("ports/mindspore", "mindspore")}
LIVE_FOLDERS = {("converters/live/torch", "torch"), ("converters/live/mindspore", "mindspore")}
"""Imported only where the caller has a model of that framework, so it may stand at the top."""
LAZY_FRAMEWORKS = {"recipes/demo"}
ZOO_LIBRARIES = {"numpy"}


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """The absolute names that a file imports, each with whether the import is at the top level."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def violations(folder: str, path: Path) -> list[str]:
    """What a file of a folder imports against the rules."""
    found = []
    place = path.relative_to(ROOT).parent.as_posix()
    for name, at_top in imports_of(path):
        parts = name.split(".")
        if parts[0] == "twinzoo" and len(parts) > 1 and parts[1] in MAY_IMPORT and parts[1] not in MAY_IMPORT[folder]:
            found.append(f"{path.relative_to(ROOT)}: {name}")
        if parts[0] in FRAMEWORKS:
            own = (place, parts[0]) in FRAMEWORK_FOLDERS
            lazy = any(place.startswith(home) for home in LAZY_FRAMEWORKS)
            live = any(f"{place}/".startswith(f"{home}/") and parts[0] == name for home, name in LIVE_FOLDERS)
            if not live and (at_top or not (own or lazy)):
                found.append(f"{path.relative_to(ROOT)}: {name}")
        if folder == "zoo" and parts[0] not in {"twinzoo", *ZOO_LIBRARIES, *sys.stdlib_module_names}:
            found.append(f"{path.relative_to(ROOT)}: {name}")
    return found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_point_one_way(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    assert [line for path in files for line in violations(folder, path)] == []


def test_the_check_sees_a_wrong_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    wrong = tmp_path / "zoo" / "wrong.py"
    wrong.parent.mkdir()
    wrong.write_text("import torch\nfrom twinzoo.ports.port import Port\nimport rich\nimport math\n")
    assert [line.rpartition(" ")[2] for line in violations("zoo", wrong)] == [
        "torch", "torch", "twinzoo.ports.port.Port", "rich"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "module", ["twinzoo", "twinzoo.cli", "twinzoo.api", "twinzoo.ports", "twinzoo.converters.convert", "twinzoo.parity"]
)
def test_no_framework_is_imported(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'mindspore', 'torchvision') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_bare_import_is_refused(folder: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True)
    assert f"import this package as twinzoo.{folder}" in done.stderr
