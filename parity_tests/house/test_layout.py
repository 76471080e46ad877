"""The links under src/twinzoo, the build mapping and the build's exclusions name the same folders."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_links_and_mapping_agree() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    mapped = {k: v for k, v in hatch["targets"]["wheel"]["sources"].items() if k != "src"}
    links = {p for p in (ROOT / "src" / "twinzoo").iterdir() if p.is_symlink()}
    assert {p.resolve().relative_to(ROOT.resolve()).as_posix() for p in links} == set(mapped)
    assert {f"twinzoo/{p.name}" for p in links} == set(mapped.values())
    assert {f"/src/twinzoo/{p.name}" for p in links} == set(hatch["exclude"])
    assert set(hatch["targets"]["wheel"]["only-include"]) == {"src/twinzoo", *mapped}
    assert hatch["skip-excluded-dirs"] is True  # without it hatchling drops folders from the sdist


def test_constraints_name_no_host() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "==" in text
    assert "://" not in text
    assert "@" not in text
