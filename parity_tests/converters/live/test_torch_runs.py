"""What a run leaves behind, which is nothing; inputs that are looked for; and runs that fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from twinzoo.converters.live.torch.model import arrays_of, trace  # noqa: E402
from twinzoo.zoo.errors import ConversionError  # noqa: E402

IMAGE = np.linspace(-1, 1, 3 * 8 * 8, dtype=np.float32).reshape(1, 3, 8, 8)


class Meddling(nn.Module):
    """A forward that changes all that it can reach."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout())
        self.calls: Any
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("kept", torch.zeros(2), persistent=False)
        self.cache: dict[str, Any] = {}
        self.fails = False

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.kept = torch.ones(2)
        self.cache["x"] = x
        self.last = x
        self.inner.train()
        convolution: Any = self.inner[0]
        convolution.weight.data = torch.zeros_like(convolution.weight)
        convolution.bias.fill_(3.0)
        self.inner[1].register_forward_hook(lambda *_: None)
        torch.rand(3)
        x = self.inner(x)
        if self.fails:
            torch.set_grad_enabled(True)
            raise KeyError("no such thing\nand more")
        return x


def _held(module: nn.Module) -> dict[str, Any]:
    """All attributes by identity, those in dictionaries too: modes, hooks, tensors."""
    return {
        name: {key: id(item) for key, item in value.items()} if isinstance(value, dict) else id(value)
        for name, value in vars(module).items()
    }


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("inputs", [None, (IMAGE,)])
def test_a_model_is_left_as_it_was(fails: bool, inputs: Any) -> None:
    model = Meddling()
    model.fails = fails
    model.inner[1].eval()
    model.inner[0].register_forward_hook(lambda *_: None)
    before, attributes = arrays_of(model), [_held(module) for module in model.modules()]
    tensors = {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()}
    kept, modes = model.kept, [module.training for module in model.modules()]
    random = torch.get_rng_state()
    if fails:
        with pytest.raises(ConversionError, match="KeyError"):
            trace(model, inputs)
    else:
        trace(model, inputs)
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())
    assert {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()} == tensors
    assert model.kept is kept and np.array_equal(kept, [0, 0]) and model.cache == {}
    assert [module.training for module in model.modules()] == modes
    assert [_held(module) for module in model.modules()] == attributes
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("training", [False, True])
def test_compiled_script_keeps_its_mode(training: bool) -> None:
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Dropout(0.9)).train(training)))
    done = trace(model, (IMAGE,))
    assert np.array_equal(done.outputs["0"], IMAGE)
    assert [module.training for module in model[0].modules()] == [training] * 2


def test_gradients_that_are_under_way_are_not_disturbed() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Tanh())
    loss = model(torch.from_numpy(IMAGE)).sum()
    trace(model, (IMAGE,))
    loss.backward()
    assert model[0].weight.grad is not None


def test_the_inputs_are_not_changed() -> None:
    given = IMAGE.copy()
    done = trace(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)), (given,))
    assert np.array_equal(given, IMAGE)
    assert np.array_equal(done.inputs["input"], IMAGE)


def test_doubles_are_given_in_the_models_precision() -> None:
    done = trace(nn.Conv2d(3, 2, 1), (IMAGE.astype(np.float64),))
    assert done.outputs["0"].dtype == np.float32
    assert trace(nn.Conv2d(3, 2, 1).double(), (IMAGE,)).outputs["0"].dtype == np.float64


def test_dropout_and_batch_norm_are_in_eval_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3)).train()
    assert np.allclose(trace(model, (IMAGE,)).outputs["0"], IMAGE, atol=1e-4)


class Needs(nn.Module):
    """Runs on images of one size only."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.head = nn.Linear(2 * size * size, 3)
        self.stem = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: Any, scale: float = 1.0) -> Any:
        return self.head(torch.flatten(self.stem(image) * scale, 1))


@pytest.mark.parametrize("size", [16, 28, 64])
def test_the_smallest_inputs_are_found(size: int) -> None:
    done = trace(Needs(size))
    assert {name: value.shape for name, value in done.inputs.items()} == {"image": (1, 3, size, size)}
    again = trace(Needs(size))
    assert np.array_equal(done.inputs["image"], again.inputs["image"])


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Linear(5, 4), nn.ReLU()), (1, 5)),
        (nn.Sequential(nn.Conv1d(5, 4, 3)), (1, 5, 16)),
        (nn.Sequential(nn.ConvTranspose1d(5, 4, 3)), (1, 5, 16)),
        (nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2)), (1, 16)),
        (nn.LSTM(5, 4), (1, 16, 5)),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(5, 4, 3))), (1, 5, 16, 16)),
        (nn.Sequential(nn.Conv2d(6, 6, 3, groups=6)), (1, 6, 16, 16)),
        (nn.TransformerEncoderLayer(8, 2), (1, 16, 8)),
    ],
)
def test_inputs_are_found_for_many_kinds_of_layers(model: nn.Module, shape: tuple[int, ...]) -> None:
    (found,) = trace(model).inputs.values()
    assert found.shape == shape


class Joins(nn.Module):
    """Two images of different channels, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3)

    def forward(self, image: Any, mask: Any) -> Any:
        assert mask.shape[1] == 1
        return self.conv(torch.cat([image, mask], 1))


def test_inputs_of_several_arguments_are_found() -> None:
    assert [value.shape[1] for value in trace(Joins()).inputs.values()] == [3, 1]


def test_a_model_that_runs_on_nothing_is_refused_in_one_line() -> None:
    class Fails(nn.Module):
        def forward(self, x: Any) -> Any:
            raise OSError("no weights\nat all")

    with pytest.raises(ConversionError) as caught:
        trace(Fails())
    message = str(caught.value)
    assert "\n" not in message
    assert "the first ended in OSError: no weights: give inputs=" in message


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            (np.ones((1, 4, 8, 8)),),
            r"Conv2d does not run on input \(1, 4, 8, 8\): RuntimeError: .*channels",
        ),
        ((IMAGE, IMAGE), "2 were given: the model takes input"),
        ({"image": IMAGE}, "no argument 'image': it takes input"),
        ({}, "input is missing"),
        ((["text"],), "input.0: must be an array of numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_line(inputs: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        trace(nn.Conv2d(3, 2, 1), inputs)
    assert "\n" not in str(caught.value)
