"""Live models on both sides: ties settled by running, names that mislead, concats in another order, the last look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import twinzoo as tz  # noqa: E402
from twinzoo.converters import files  # noqa: E402
from twinzoo.zoo.errors import ConversionError, IncompleteConversionError  # noqa: E402


def conv(inputs: int = 4, outputs: int = 4) -> Any:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Hidden(nn.Module):
    """Two alike branches joined where no trace can look: in NumPy."""

    def __init__(self, names: tuple[str, str], scales: tuple[float, float] = (1.0, 2.0)) -> None:
        super().__init__()
        self.names, self.scales = names, scales
        for name in sorted(names):
            setattr(self, name, conv())
        self.stem = conv(3)

    def forward(self, image: Any) -> Any:
        x = torch.relu(self.stem(image))
        first, second = (getattr(self, name)(x).detach().numpy() for name in self.names)
        return torch.from_numpy(self.scales[0] * first + self.scales[1] * second)


def test_layers_that_only_running_tells_apart() -> None:
    torch.manual_seed(0)
    source, target = Hidden(("alpha", "beta")), Hidden(("zeta", "eta"))
    found = tz.convert(source, target)
    assert {(p.source, p.target): p.how for p in found.pairs if "weight" in p.source} == {
        ("alpha.weight", "zeta.weight"): "probe",
        ("beta.weight", "eta.weight"): "probe",
        ("stem.weight", "stem.weight"): "graph",
    }
    assert found.agreement is not None
    assert found.agreement.ok


def test_either_place_is_right_where_both_compute_the_same() -> None:
    found = tz.convert(Hidden(("alpha", "beta"), (1, 1)), Hidden(("zeta", "eta"), (1, 1)))
    assert found.agreement is not None
    assert found.agreement.ok


def test_layers_that_running_cannot_tell_apart_are_refused_and_left_alone() -> None:
    """The target computes something else, whatever is put where."""
    source, target = Hidden(("alpha", "beta")), Hidden(("zeta", "eta"), (1.0, 3.0))
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(IncompleteConversionError, match="ambiguous") as caught:
        tz.convert(source, target)
    assert "alpha, beta -> " in caught.value.table
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


class Pair(nn.Module):
    """Two convolutions, one after the other."""

    def __init__(self, order: tuple[str, str]) -> None:
        super().__init__()
        self.order = order
        self.one, self.two = conv(), conv()

    def forward(self, x: Any) -> Any:
        return getattr(self, self.order[1])(torch.tanh(getattr(self, self.order[0])(x)))


def test_names_that_mislead_are_seen() -> None:
    found = tz.convert(Pair(("one", "two")), Pair(("two", "one")))
    assert {p.how for p in found.pairs} == {"probe"}
    assert ("one.weight", "two.weight") in {p[:2] for p in found.pairs}
    assert found.agreement is not None
    assert found.agreement.ok


class Joined(nn.Module):
    """Two branches side by side, in either order, then a norm, an activation and a convolution."""

    def __init__(self, swapped: bool, flat: bool = False, prefix: str = "") -> None:
        super().__init__()
        self.prefix, self.swapped, self.flat = prefix, swapped, flat
        tail = nn.Linear(10, 2) if flat else nn.ConvTranspose2d(10, 5, 2, 2)
        for name, layer in (("a", conv(3, 4)), ("b", conv(3, 6)), ("norm", nn.BatchNorm2d(10)), ("tail", tail)):
            setattr(self, prefix + name, layer)

    def layer(self, name: str) -> Any:
        return getattr(self, self.prefix + name)

    def forward(self, x: Any) -> Any:
        parts = (torch.relu(self.layer("a")(x)), torch.tanh(self.layer("b")(x)))
        y = self.layer("norm")(torch.cat(parts[::-1] if self.swapped else parts, 1))
        y = F.leaky_relu(y, 0.1)
        return self.layer("tail")(y.permute(0, 2, 3, 1) if self.flat else y)


@pytest.mark.parametrize("ours", [True, False])
def test_a_concat_in_another_order_moves_the_channels_that_follow(ours: bool) -> None:
    torch.manual_seed(1)
    source: Any = Joined(ours)
    target = Joined(not ours, prefix="layer_")
    with torch.no_grad():
        for value in (source.norm.running_mean, source.norm.running_var, source.norm.weight):
            value.uniform_(0.5, 1.5)
    found = tz.convert(source, target)
    assert found.agreement is not None
    assert found.agreement.ok
    moved = {key for key, words in found.changes.items() if "blocks of" in words}
    vectors = {f"layer_norm.{role}" for role in ("weight", "bias", "running_mean", "running_var")}
    assert moved == vectors | {"layer_tail.weight"}


def test_a_concat_in_another_order_is_refused_where_it_reaches_something_else() -> None:
    with pytest.raises(IncompleteConversionError) as caught:
        tz.convert(Joined(False, flat=True), Joined(True, flat=True, prefix="layer_"))
    assert "another order" in caught.value.table


def test_the_last_look_sees_a_network_that_is_not_the_same() -> None:
    """The weights are where they belong, yet a norm has another eps: said, not refused."""
    torch.manual_seed(0)
    source: Any = Joined(False)
    target: Any = Joined(False)
    with torch.no_grad():
        source.norm.running_var.fill_(1e-4)
    target.norm.eps = 1e-2
    found = tz.convert(source, target)
    assert found.agreement is not None
    assert not found.agreement.ok
    assert "DIFFER" in str(found)


def test_a_file_with_its_network(tmp_path: Path) -> None:
    """The network of the file is only looked at: it gets its own weights back."""
    torch.manual_seed(0)
    source = Pair(("one", "two"))
    torch.save({"module." + name: value for name, value in source.state_dict().items()}, tmp_path / "pair.pth")
    network = Pair(("one", "two"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    target = nn.Sequential(conv(), nn.Tanh(), conv())
    found = tz.convert(tmp_path / "pair.pth", target, source_model=network)
    assert {p.how for p in found.pairs} == {"graph"}
    assert found.agreement is not None
    assert found.agreement.ok
    assert torch.equal(target[0].weight, source.one.weight)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_that_the_file_is_not_of(tmp_path: Path) -> None:
    torch.save(Pair(("one", "two")).state_dict(), tmp_path / "pair.pth")
    with pytest.raises(IncompleteConversionError, match="source_model: a Joined is not the network of pair.pth"):
        tz.convert(tmp_path / "pair.pth", Pair(("two", "one")), source_model=Joined(False))
    with pytest.raises(ConversionError, match="source_model: must be"):
        tz.convert(tmp_path / "pair.pth", Pair(("two", "one")), source_model=3)


def test_tied_tensors_need_one_place(tmp_path: Path) -> None:
    """A decoder that shares the encoder's weight: two names in the file, one or two in the target."""
    torch.manual_seed(0)
    weight = torch.randn(4, 4, 3, 3)
    torch.save({"first.weight": weight, "again.weight": weight}, tmp_path / "tied.pth")
    files.write(tmp_path / "one.npz", {"first.weight": np.zeros((4, 4, 3, 3), np.float32)})
    found = tz.convert(tmp_path / "tied.pth", tmp_path / "one.npz")
    assert found.dropped == {"again.weight": "the same tensor as first.weight"}
    files.write(tmp_path / "two.npz", {n: np.zeros((4, 4, 3, 3), np.float32) for n in ("first.weight", "again.weight")})
    assert len(tz.convert(tmp_path / "tied.pth", tmp_path / "two.npz").pairs) == 2


def test_an_optimizer_is_left_out_and_one_network_is_selected(tmp_path: Path) -> None:
    model = Pair(("one", "two"))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, 4, 8, 8)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "run.pth")
    found = tz.convert(tmp_path / "run.pth", Pair(("one", "two")))
    assert len(found.pairs) == 4
    assert set(found.dropped.values()) == {"the state of an optimizer"}
    two = {"netG": model.state_dict(), "netD": Joined(False).state_dict()}
    torch.save(two, tmp_path / "gan.pth")
    assert len(tz.convert(tmp_path / "gan.pth", Joined(True), select="netD").pairs) == 11
    with pytest.raises(IncompleteConversionError):
        tz.convert(tmp_path / "gan.pth", Joined(True))


def test_where_it_came_from_is_written_down(tmp_path: Path) -> None:
    torch.save(Pair(("one", "two")).state_dict(), tmp_path / "pair.pth")
    target = nn.Sequential(conv(), nn.Tanh(), conv())
    tz.convert(tmp_path / "pair.pth", target, tmp_path / "out.safetensors", source_model=Pair(("one", "two")))
    notes = files.read(tmp_path / "out.safetensors").metadata
    assert notes["twinzoo.source"] == "pair.pth"
    assert notes["twinzoo.source_sha256"] == files.sha256([tmp_path / "pair.pth"])
    assert '"0.weight": "one.weight"' in notes["twinzoo.mapping"]


def test_given_inputs_are_used() -> None:
    """A network that runs on one size only."""

    class Fixed(Pair):
        def forward(self, x: Any) -> Any:
            assert x.shape[-2:] == (11, 13)
            return super().forward(x)

    target = nn.Sequential(conv(), nn.Tanh(), conv())
    image = np.random.default_rng(0).normal(size=(1, 4, 11, 13)).astype(np.float32)
    found = tz.convert(Fixed(("one", "two")), target, inputs=image)
    assert {p.how for p in found.pairs} == {"graph"}
    with pytest.raises(ConversionError, match="ambiguous"):
        tz.convert(Fixed(("two", "one")), target)
