"""Pictures: what is folded is counted, what is drawn has room, and networks of down and up look like it."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import twinzoo as tz
from twinzoo.cli import cli
from twinzoo.zoo import registry
from twinzoo.zoo.pictures import picture
from twinzoo.zoo.pictures.boxes import Box, boxes
from twinzoo.zoo.pictures.layout import CHARACTER, Layout, Place, layout
from twinzoo.zoo.pictures.page import pages
from twinzoo.zoo.pictures.repeats import folded
from twinzoo.zoo.pictures.sides import _apart
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.step import Step

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
WIDEST = 1900

registry.load()
ENTRIES = registry.MODELS | registry.LOSSES | registry.STEPS


def drawn(name: str) -> Spec:
    small = ENTRIES[name].small
    return registry.training_step(name, **small) if registry.is_step(name) else registry.spec(name, **small)


def convolutions(made: list[Box]) -> int:
    """How many convolutions the boxes stand for."""
    return sum(
        sum("conv " in word for word in box.words) * box.times * box.parallel * (box.frame.times if box.frame else 1)
        for box in made
    )


def overlaps(at: Layout) -> list[tuple[str, str]]:
    def apart(p: Place, q: Place) -> bool:
        return p.x + p.width <= q.x or q.x + q.width <= p.x or p.y + p.height <= q.y or q.y + q.height <= p.y

    return [(a, b) for (a, p), (b, q) in combinations(at.places.items(), 2) if not apart(p, q)]


def test_the_pictures_of_the_docs_are_the_registry() -> None:
    made = pages()
    assert {path.name for path in FOLDER.iterdir()} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text() == text, "run `twinzoo show --pictures docs/pictures`"
        width = re.search(r'<svg .*?width="(\d+)"', text)
        assert len(text) < 60_000 and (not width or int(width[1]) < WIDEST), name


@pytest.mark.parametrize("name", ENTRIES)
def test_every_spec_is_drawn_with_room_for_all(name: str) -> None:
    spec = drawn(name)
    made = folded(boxes(spec))
    at = layout(made)
    assert overlaps(at) == []
    for box in made:
        place = at.places[box.name]
        assert place.x >= -0.01 and place.x + place.width <= at.width + 0.01
        assert place.y >= 0 and place.y + place.height <= at.height + 0.01
        assert all(len(text) * CHARACTER < place.width for _, text in box.lines)
    assert sum(len(box.links) for box in made) == len(at.routes)
    convs = sum(node.op in ("conv1d", "conv2d", "conv_transpose2d") for node in spec.nodes.values())
    assert convolutions(made) == convolutions(boxes(spec)) == convs
    root = ElementTree.fromstring(picture(spec))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"


def test_overlaps_are_seen() -> None:
    at = layout(folded(boxes(drawn("unet"))))
    first, second, *_ = at.places
    places = dict(at.places) | {second: at.places[first]}
    assert overlaps(Layout(places, at.routes, at.width, at.height)) == [(first, second)]


@given(depth=st.integers(2, 6))
def test_a_unet_looks_like_one(depth: int) -> None:
    made = folded(boxes(tz.spec("unet", width=2, depth=depth)))
    at = layout(made).places
    left = [at[f"down{level}_conv"] for level in range(1, depth + 1)]
    right = [at[f"up{level}_conv"] for level in range(1, depth + 1)]
    for down, up in zip(left, right, strict=True):
        assert down.y + down.height / 2 == pytest.approx(up.y + up.height / 2)
        assert down.x + down.width < up.x
    assert all(a.y + a.height < b.y for a, b in pairwise(left))
    skips = {(link.source, box.name) for box in made for link in box.links}
    assert {(f"down{level}_conv", f"up{level}_conv") for level in range(1, depth + 1)} <= skips
    assert {(f"up{level + 1}_conv", f"up{level}_conv") for level in range(1, depth)} <= skips


@given(blocks=st.integers(0, 7))
def test_equal_blocks_are_one_with_their_number(blocks: int) -> None:
    made = folded(boxes(tz.spec("resnet_generator", width=2, blocks=blocks)))
    frames = {box.frame.times for box in made if box.frame}
    assert frames == ({blocks} if blocks > 1 else set())
    assert sum(box.name.startswith("block") for box in made) == (3 if blocks else 0)


def test_a_block_that_is_used_elsewhere_ends_the_run() -> None:
    s = Spec("chain")
    x = s.input("image", channels=4)
    for number in range(5):
        x = s.relu(f"act{number}", s.conv2d(f"conv{number}", x, 4, kernel=3, padding=1))
        if number == 2:
            middle = x
    s.output(middle=middle, last=x)
    assert [(box.name, box.times) for box in folded(boxes(s)) if box.kind == "conv"] == [("conv0", 3), ("conv3", 2)]


def test_equal_branches_are_one_and_others_are_not() -> None:
    s = Spec("branches")
    x = s.input("image", channels=4)
    kernels = (3, 3, 5, 3)
    s.output(
        y=s.concat("joined", *(s.conv2d(f"conv{i}", x, 4, kernel=k, padding=k // 2) for i, k in enumerate(kernels)))
    )
    made = {box.name: box.parallel for box in folded(boxes(s)) if box.kind == "conv"}
    assert made == {"conv0": 3, "conv2": 1}


def test_layers_keep_their_order_in_a_box() -> None:
    made = {box.name: box for box in boxes(tz.spec("unet", width=2, depth=3, dropout=0.5))}
    assert made["up1_conv"].words == ("concat, relu", "4×4 transposed conv 3, stride 2", "tanh")
    assert made["up1_conv"].title == 1
    assert made["down2_conv"].words == ("4×4 conv 4, stride 2", "batch norm, leaky relu 0.2")
    assert made["down2_conv"].note == "down2_conv: 4 × H/4 × W/4"


@pytest.mark.parametrize("name", registry.STEPS)
def test_updates_are_bars_in_their_order(name: str) -> None:
    step = drawn(name)
    assert isinstance(step, Step)
    made = folded(boxes(step))
    at = layout(made)
    bars = [at.places[box.name] for box in made if box.kind == "update"]
    assert [box.words[0].split()[1] for box in made if box.kind == "update"] == [u.optimizer for u in step.updates]
    assert all(bar.width == at.width for bar in bars)
    assert [bar.y for bar in bars] == sorted(bar.y for bar in bars)
    for box in made:
        if box.kind not in ("input", "update"):
            middle = at.places[box.name].y
            assert sum(bar.y < middle for bar in bars) == box.phase


def test_a_history_is_one_box_between_its_images_and_who_judges_them() -> None:
    made = {box.words[0]: box for box in boxes(drawn("cyclegan")) if "history" in box.words[0]}
    (box,) = made.values()
    assert box.note.startswith("history_") and [link.detached for link in box.links] == [True]
    assert "picks" not in picture(drawn("cyclegan"))


def test_a_line_without_gradient_is_dashed() -> None:
    made = boxes(drawn("pix2pix"))
    assert [(link.source, box.name) for box in made for link in box.links if link.detached] == [
        ("fake_pair", "seen_fake")
    ]
    assert picture(drawn("pix2pix")).count('class="edge cut"') == 1


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 20), st.floats(0.5, 8)), min_size=1, max_size=12))
def test_places_keep_their_order_and_stay_near(given: list[tuple[float, float, float]]) -> None:
    wanted, gaps, weights = (list(column) for column in zip(*given, strict=True))
    found = _apart(wanted, gaps[1:], weights)
    assert all(b - a >= gap - 1e-9 for (a, b), gap in zip(pairwise(found), gaps[1:], strict=True))
    moved = sum(w * (x - y) for w, x, y in zip(weights, wanted, found, strict=True))
    assert moved == pytest.approx(0, abs=1e-6), "the weighted mean does not move"
    assert _apart(found, gaps[1:], weights) == pytest.approx(found), "what fits stays"


def test_the_command_writes_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "unet.svg"
    done = CliRunner().invoke(cli, ["show", "unet,width=4", "--svg", str(file)])
    assert done.exit_code == 0, done.output
    assert file.read_text() == picture(tz.spec("unet", width=4))


def test_the_command_needs_a_name_or_a_folder() -> None:
    assert CliRunner().invoke(cli, ["show"]).exit_code == 2
