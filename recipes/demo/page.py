"""The demo's page: for each case what went in, what came out on both sides, their difference, and the report."""

from __future__ import annotations

import base64
import html
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twinzoo.parity.html import page
from twinzoo.recipes.demo.cases import Floats, photograph
from twinzoo.zoo.files import write_text

if TYPE_CHECKING:
    from twinzoo.recipes.demo.run import Outcome

_INTRO = (
    "PyTorch checkpoints were converted to MindSpore and both models were run on the same photograph. Every layer of "
    "each side was recomputed in float64 from that side's own inputs, and must lie within the rounding error of its "
    "operation. Differences in the pictures are amplified until they can be seen."
)


_ROW = "display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1rem;margin:1rem 0"


def write_page(path: Path, outcomes: list[Outcome]) -> None:
    """Write one self-contained HTML file."""
    sections = [(outcome.case.title, outcome.report, _pictures(outcome)) for outcome in outcomes]
    write_text(path, page(sections, heading="From PyTorch to MindSpore", intro=_INTRO))


def _pictures(outcome: Outcome) -> str:
    """Input, both outputs and the amplified difference, each with a caption."""
    difference = np.abs(outcome.before - outcome.after)
    largest = float(difference.max())
    gain = 10.0 ** math.floor(-math.log10(largest)) if 0 < largest < 1 else 1.0
    before, after = _seen(outcome.before), _seen(outcome.after)
    is_image = outcome.case.shown == "output"
    low, high = (outcome.case.low, 1.0) if is_image else (0.0, float(before.max()))
    shown = "output" if is_image else f"{outcome.case.shown}, mean over channels"
    items = [
        (photograph(outcome.case.photo, outcome.case.size), "photograph"),
        (_pixels(before, low, high), f"PyTorch: {shown}"),
        (_pixels(after, low, high), f"MindSpore: {shown}"),
        (_pixels(difference[0].max(axis=0) * gain, 0.0, 1.0), f"difference × {gain:.0e}, largest {largest:.1e}"),
    ]
    figures = "".join(_figure(pixels, caption) for pixels, caption in items)
    weights = "real weights" if outcome.real else "seeded weights, in place of published ones that are not at hand"
    note = html.escape(f"{outcome.case.stem}.pth: {weights}. {outcome.conversion.summary()}.")
    return f'<div style="{_ROW}">{figures}</div><p>{note}</p>'


def _seen(tensor: Floats) -> Floats:
    """A tensor (1, C, H, W) as a picture: (H, W, 3) where C is 3, else the mean over channels, (H, W)."""
    return np.asarray(tensor[0].transpose(1, 2, 0) if tensor.shape[1] == 3 else tensor[0].mean(axis=0))


def _pixels(picture: Floats, low: float, high: float) -> NDArray[np.uint8]:
    """Values from `low` to `high` as pixels from black to white."""
    unit = np.clip((picture - low) / (high - low or 1.0), 0, 1)
    return np.asarray(np.rint(unit * 255), np.uint8)


def _figure(pixels: NDArray[np.uint8], caption: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    text = html.escape(caption)
    image = f'<img style="width:100%;image-rendering:pixelated" src="data:image/png;base64,{data}" alt="{text}">'
    return f'<figure style="margin:0">{image}<figcaption>{text}</figcaption></figure>'
