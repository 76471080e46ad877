"""Run the demo: write checkpoints, convert them, compare the twins, make the page."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinzoo.converters import files
from twinzoo.converters.convert import convert
from twinzoo.converters.result import Conversion
from twinzoo.parity.compare import compare
from twinzoo.parity.report import ParityReport
from twinzoo.ports.build import build
from twinzoo.ports.registry import port
from twinzoo.recipes.demo.cases import CASES, Case, Floats
from twinzoo.zoo import registry
from twinzoo.zoo.errors import TwinzooError
from twinzoo.zoo.spec import Spec

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What the demo found for one case.

    `before` and `after` are the tensors to show, (1, C, H, W), from PyTorch and from MindSpore.
    """

    case: Case
    real: bool
    conversion: Conversion
    report: ParityReport
    image: Floats
    before: Floats
    after: Floats
    seconds: float


def run(folder: Path, weights_dir: Path | None, tamper: bool, say: Say) -> bool:
    """Run every case, write `folder`/index.html, and say the verdict.

    Args:
        folder: where checkpoints and page go; made if absent.
        weights_dir: a folder that may hold vgg16.pth, pix2pix.pth, cyclegan.pth, aodnet.pth.
        tamper: change one weight of the converted CycleGAN checkpoint.

    Returns:
        Whether every pair of twins agrees.

    Raises:
        TwinzooError: a framework or scikit-image is missing, or the folder cannot be written.
    """
    from twinzoo.recipes.demo.page import write_page

    _require_frameworks()
    if weights_dir is not None and not weights_dir.is_dir():
        raise TwinzooError(f"{weights_dir}: is not a folder: give one with vgg16.pth, pix2pix.pth, ...")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TwinzooError(f"{folder}: cannot be made: {error.strerror}") from None
    outcomes = []
    for case in CASES:
        outcomes.append(_run_case(case, folder, weights_dir, tamper and case.stem == "cyclegan", say))
        say(_line(outcomes[-1]))
    page = folder / "index.html"
    write_page(page, outcomes)
    ok = all(outcome.report.ok for outcome in outcomes)
    say("")
    say(_verdict(outcomes))
    say(f"The page with pictures, plots and tables: {page.resolve()}")
    return ok


def _require_frameworks() -> None:
    for name in ("torch", "mindspore"):
        port(name)
    try:
        import skimage  # noqa: F401
        import torchvision  # noqa: F401
    except ImportError as error:
        raise TwinzooError(f"the demo needs {error.name}: pip install 'twinzoo[all]'") from None


def _run_case(case: Case, folder: Path, weights_dir: Path | None, tamper: bool, say: Say) -> Outcome:
    started = time.perf_counter()
    spec = case.spec
    real = weights_dir / f"{case.stem}.pth" if weights_dir else None
    found = real is not None and real.exists()
    source = real if real is not None and found else folder / f"{case.stem}.pth"
    if not found:
        case.write(spec, source)
    say(f"{case.title}: {source.name} ({'real weights' if found else 'seeded weights, written by PyTorch'})")
    converted = folder / f"{case.stem}.ckpt"
    conversion = convert(source, spec, converted)
    say(f"  converted to {converted.name}: {conversion.summary()}")
    if tamper:
        say(f"  {_tamper(case, converted)}")
    say("  comparing the twins layer by layer ...")
    before = build(spec, "torch", weights=dict(conversion.state))
    after = build(spec, "mindspore", weights=dict(convert(converted, spec).state))
    image = case.image()
    report = compare(before, after, image)
    shown = _shown_spec(case)
    pictures = [
        port(name).run(build(shown, name, weights=_part(port(name).state(model), shown)), {"image": image})
        for name, model in (("torch", before), ("mindspore", after))
    ]
    seconds = time.perf_counter() - started
    first, second = (np.asarray(next(iter(p.values())), np.float32) for p in pictures)
    return Outcome(case, found, conversion, report, image, first, second, seconds)


def _shown_spec(case: Case) -> Spec:
    """The network up to the value that is shown."""
    taps = {} if case.shown == "output" else {"taps": (case.shown,)}
    return registry.spec(case.model, **case.options, **taps)


def _part(state: dict[str, Floats], spec: Spec) -> dict[str, Floats]:
    return {name: state[name] for name in spec.params}


def _tamper(case: Case, path: Path) -> str:
    """Change the sign of the largest value of one weight in a MindSpore checkpoint, and say so."""
    tensors = {key: np.array(value) for key, value in files.read(path).items()}
    weight = tensors[case.tampered]
    place = np.unravel_index(np.argmax(np.abs(weight)), weight.shape)
    weight[place] = -weight[place]
    files.write(path, tensors)
    return f"tampered: {case.tampered}[{', '.join(str(int(i)) for i in place)}] changed its sign in {path.name}"


def _line(outcome: Outcome) -> str:
    report = outcome.report
    worst = max(max(layer.a.ratio, layer.b.ratio) for layer in report.layers)
    if report.ok:
        return (
            f"  agrees in {len(report.layers)} layers: at worst {worst:.2f} of what rounding allows"
            f" ({outcome.seconds:.0f} s)"
        )
    finding = report.findings[0]
    return f"  DIFFERS at {finding.layer}: {finding.cause}: {finding.evidence}"


def _verdict(outcomes: list[Outcome]) -> str:
    wrong = [o.case.stem for o in outcomes if not o.report.ok]
    layers = sum(len(o.report.layers) for o in outcomes)
    if wrong:
        return f"DIFFERS: {', '.join(wrong)} of {len(outcomes)} converted models."
    slack = sorted({f"{kernel.port}'s {kernel.op}" for o in outcomes for kernel in o.report.kernels})
    but = f" but for {', '.join(slack)}, whose measured error the page lists" if slack else ""
    return f"AGREE: {len(outcomes)} models, {layers} layers, each within rounding of its float64 definition{but}."
