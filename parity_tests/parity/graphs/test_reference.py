"""The reference port beside somebody's own model: a clean twin agrees, a planted bug is named, and records have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import twinzoo as tz  # noqa: E402
from twinzoo.parity.graphs.compare import compare_runs  # noqa: E402
from twinzoo.parity.graphs.run import How, run  # noqa: E402
from twinzoo.parity.inputs import default_inputs  # noqa: E402
from twinzoo.parity.report import ParityReport  # noqa: E402
from twinzoo.ports.reference.port import PORT, ReferenceModel  # noqa: E402
from twinzoo.zoo import registry  # noqa: E402
from twinzoo.zoo.errors import ParityError  # noqa: E402
from twinzoo.zoo.init import initial_state  # noqa: E402
from twinzoo.zoo.spec import Spec  # noqa: E402

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)


def network(momentum: float = 0.1, slope: float = 0.2) -> Spec:
    """A convolution that is called twice, in a network of its own, between a norm and an activation."""
    inner = Spec("inner")
    x = inner.input("x", shape=("N", 4, "H", "W"))
    inner.output(y=inner.conv2d("conv", x, 4, kernel=3, padding=1))
    s = Spec("net")
    image = s.input("image", shape=("N", 3, "H", "W"))
    role = s.role("block", inner)
    x = s.batch_norm("norm", s.conv2d("first", image, 4, kernel=1), momentum=momentum)
    (x,) = s.call("once", role, s.leaky_relu("act", x, slope=slope))
    (y,) = s.call("again", role, x)
    s.output(image=s.learned_scale("scaled", y), features=x)
    return s


class Stranger(torch.nn.Module):  # type: ignore[misc, name-defined]
    """The same, as somebody writes it."""

    def __init__(self, slope: float = 0.2, momentum: float = 0.1) -> None:
        super().__init__()
        nn = torch.nn
        self.head, self.bn, self.act = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, momentum=momentum), nn.LeakyReLU(slope)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, image: Any) -> Any:
        x = self.body(self.act(self.bn(self.head(image))))
        return self.body(x) * self.gain, x


def reference(spec: Spec) -> ReferenceModel:
    model = PORT.build(spec)
    PORT.load(model, initial_state(spec))
    return model


def stranger(spec: Spec, **options: float) -> Any:
    made = Stranger(**options)
    state = initial_state(spec)
    names = {"head": "first", "bn": "norm", "body": "block.conv"}
    own = {
        key: torch.tensor(state[f"{names[p]}.{r}"])
        for key in made.state_dict()
        if (p := key.partition(".")[0]) in names and (r := key.partition(".")[2]) != "num_batches_tracked"
    }
    made.load_state_dict(own | {"gain": torch.tensor(state["scaled.weight"]).reshape(1)}, strict=False)
    return made.eval()


def report(a: Any, b: Any, inputs: Any = IMAGE, **how: bool) -> ParityReport:
    asked = How(**how)
    return compare_runs(run("a", a, inputs, asked), run("b", b, inputs, asked), 0.0)


HOW: list[dict[str, bool]] = [{}, {"grad": True}, {"train": True}, {"train": True, "grad": True}]


@pytest.mark.parametrize("how", HOW)
def test_a_clean_stranger_agrees(how: dict[str, bool]) -> None:
    spec = network()
    ours, theirs = reference(spec), stranger(spec)
    for sides in ((ours, theirs), (theirs, ours), (ours, ours)):
        found = report(*sides, **how)
        assert found.ok, str(found)
        quantities = {row.quantity for row in found.layers}
        assert any(q.startswith("gradient of weight") for q in quantities) is ("grad" in how)
        assert ("buffer running_var" in quantities) is ("train" in how)
    assert not any(np.any(value) for name, value in ours.state.items() if name == "norm.running_mean")


BUGS: list[tuple[dict[str, float], dict[str, bool], str]] = [
    ({"slope": 0.1}, {}, "slope"),
    ({"slope": 0.1}, {"grad": True}, "slope"),
    ({"momentum": 0.2}, {"train": True}, "momentum"),
    ({"momentum": 0.2}, {}, "momentum"),
]


@pytest.mark.parametrize(("options", "how", "cause"), BUGS)
def test_a_bug_is_named(options: dict[str, float], how: dict[str, bool], cause: str) -> None:
    spec = network()
    for sides in ((reference(spec), stranger(spec, **options)), (stranger(spec, **options), reference(spec))):
        found = report(*sides, **how)
        assert {finding.cause for finding in found.findings} == {cause}


def test_a_wrong_weight_is_named() -> None:
    spec = network()
    b = stranger(spec)
    with torch.no_grad():
        b.body.weight[0, 0, 0, 0] += 1e-3
    findings = report(reference(spec), b).findings  # one for each call
    assert {(finding.cause, finding.layer) for finding in findings} == {("weight-value", "block.conv ~ body")}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("unet", {"width": 4, "depth": 3, "dropout": 0.0}),
        ("resnet_generator", {"width": 4, "blocks": 1, "antialias": True}),
        ("patchgan", {"width": 4, "layers": 2}),
        ("aodnet", {}),
    ],
)
def test_it_computes_what_a_twin_computes(name: str, options: dict[str, Any], grad: bool) -> None:
    spec = registry.spec(name, **options)
    inputs = default_inputs(spec, 0, {"H": 32, "W": 32, "N": 1})
    found = report(reference(spec), tz.build(spec, "torch"), inputs, grad=grad)
    assert found.ok, str(found)
    assert found.unmatched == (0, 0)


def test_dropouts_of_the_spec_are_known() -> None:
    spec = Spec("drop")
    spec.output(y=spec.dropout("thin", spec.relu("act", spec.input("x", shape=("N", 3, 8, 8))), p=0.3))
    nn = torch.nn
    for p, causes in ((0.3, []), (0.5, ["dropout"])):
        found = report(reference(spec), nn.Sequential(nn.ReLU(), nn.Dropout(p)).eval())
        assert [finding.cause for finding in found.findings] == causes and not found.notes
    with pytest.raises(ParityError, match="a: the reference port draws nothing"):
        report(reference(spec), nn.Sequential(nn.ReLU(), nn.Dropout(0.3)), train=True)


def test_what_it_cannot_do_is_one_line() -> None:
    spec = Spec("stopped")
    x = spec.input("x", shape=("N", 3, 8, 8))
    spec.output(y=spec.relu("act", spec.stop_gradient("stop", x)))
    assert report(reference(spec), torch.nn.ReLU()).ok
    with pytest.raises(ParityError, match="a: the reference port beside another model has no gradients through stop"):
        report(reference(spec), torch.nn.ReLU(), grad=True)
    with pytest.raises(ParityError, match="a: the reference port cannot call a loss"):
        report(reference(spec), torch.nn.ReLU(), loss=True)
    with pytest.raises(ParityError, match="a: inputs: 2 were given: the model takes x"):
        report(reference(spec), torch.nn.ReLU(), (IMAGE, IMAGE))
    with pytest.raises(ParityError, match=r"a: .*must be \(N, 3, 8, 8\)"):
        report(reference(spec), torch.nn.ReLU(), IMAGE[:, :2])


@pytest.mark.parametrize("how", [{}, {"grad": True, "train": True}])
def test_a_record_of_it_stands_beside_a_stranger(how: dict[str, Any], tmp_path: Path) -> None:
    spec, path = network(), tmp_path / "reference.safetensors"
    tz.record(reference(spec), IMAGE, path, **how)
    assert tz.compare(path, stranger(spec), **how).ok
    assert not tz.compare(stranger(spec, slope=0.1), path, **how).ok
