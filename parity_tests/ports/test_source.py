"""The generated source: stable under the formatter, clean under the linter, runs alone, and reads well."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from twinzoo.parity.op_cases import CASES, OpCase, case_spec
from twinzoo.ports.registry import port
from twinzoo.ports.source import camel, fit, literal
from twinzoo.zoo.registry import LOSSES, MODELS, load
from twinzoo.zoo.registry import spec as draw
from twinzoo.zoo.spec import OPS, Spec

ROOT = Path(__file__).parents[2]
PORTS = ("torch", "mindspore")


def wordy(case: OpCase) -> Spec:
    """The case with names so long that lines must be split, and every value an output."""
    spec = Spec("wordy", doc='Quotes """ and a backslash \\ in "the" docs"')
    count = len(case.inputs) if OPS[case.op].variadic else len(OPS[case.op].inputs)
    values = [
        spec.input(f"an_input_with_a_long_name_number_{i}", shape=tensor.shape, dtype=tensor.dtype)
        for i, tensor in enumerate(case.inputs[:count])
    ]
    node = "the_one_node_of_this_spec_whose_name_is_long"
    getattr(spec, case.op)(node, *values, **case.attrs)
    spec.output(**{f"output{i}": value for i, value in enumerate(spec.values(node))})
    return spec


def networks() -> dict[str, Spec]:
    """Every model and loss, small, whole and tapped."""
    load()
    drawn = {}
    for name, entry in (MODELS | LOSSES).items():
        drawn[name] = draw(name, **entry.small)
        drawn[f"{name}_tapped"] = drawn[name].tapped()
    return drawn


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a generated file for every case, long-named case and network, for both frameworks."""
    folder = tmp_path_factory.mktemp("written")
    specs = {case.id: case_spec(case) for case in CASES} | networks()
    specs |= {f"{case.id}_wordy": wordy(case) for case in CASES if not case.sizes}
    for name in PORTS:
        for label, spec in specs.items():
            text = port(name, installed=False).source(spec)
            (folder / f"{name}_{label.replace('-', '_')}.py").write_text(text)
    return folder


@pytest.mark.parametrize("command", [["format", "--check"], ["check"]], ids=["format", "lint"])
def test_stable_and_clean(command: list[str], written: Path) -> None:
    config = str(ROOT / "pyproject.toml")
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", config, str(written)]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_no_operation_in_place(written: Path) -> None:
    for path in written.iterdir():
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = [func.attr for func in calls if isinstance(func, ast.Attribute) and func.attr != "__init__"]
        assert not [name for name in names if name.endswith("_")], path.name
        assert "inplace" not in path.read_text()


@pytest.mark.parametrize("name", PORTS)
def test_same_spec_same_text(name: str) -> None:
    made = port(name, installed=False)
    assert made.source(draw("unet")) == made.source(draw("unet"))
    assert made.source(draw("unet")) != made.source(draw("unet", dropout=0.25))


RUN_ALONE = """
import sys, numpy as np
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
sys.modules["twinzoo"] = None  # importing it fails
import model
x = np.linspace(-1, 1, 3 * 64 * 64, dtype=np.float32).reshape(1, 3, 64, 64)
if sys.argv[2] == "torch":
    import torch
    made = model.Unet().eval()(torch.from_numpy(x)).detach().numpy()
else:
    import mindspore
    made = model.Unet().set_train(False)(mindspore.Tensor(x)).asnumpy()
assert made.shape == (1, 3, 64, 64) and np.isfinite(made).all() and made.std() > 0
print("ran")
"""


@pytest.mark.parametrize("name", PORTS)
def test_runs_alone(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    (tmp_path / "model.py").write_text(port(name).source(draw("unet", **MODELS["unet"].small)))
    command = [sys.executable, "-I", "-c", RUN_ALONE, str(tmp_path / "model.py"), name]
    environment = os.environ | {"GLOG_v": "3", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.stdout.endswith("ran\n"), done.stderr[-2000:]


def residual(blocks: int) -> Spec:
    """A chain of x + f(x)."""
    spec = Spec("residual")
    x = spec.input("image", channels=4)
    for i in range(blocks):
        x = spec.add(f"sum{i}", x, spec.relu(f"relu{i}", spec.conv2d(f"conv{i}", x, 4, kernel=3, padding=1)))
    spec.output(output=spec.tanh("tanh", x))
    return spec


def assigned(text: str) -> list[str]:
    """The variables assigned in the forward pass, in order."""
    lines = text.split("-> Tensor:")[-1].splitlines()
    return [line.split(" = ")[0].strip() for line in lines if " = " in line]


def test_a_freed_variable_is_used_again() -> None:
    names = assigned(port("torch", installed=False).source(residual(5)))
    assert set(names) == {"x", "skip"}


def test_a_value_that_lives_on_has_the_name_of_its_node() -> None:
    text = port("torch", installed=False).source(draw("unet", width=4, depth=3))
    assert set(assigned(text)) == {"x", "down2_act", "down3_act"}
    assert "return torch.tanh(x)  # (N, 3, H, W) tanh" in text


def test_an_input_called_x_is_not_overwritten_while_it_is_needed() -> None:
    spec = Spec("keeps")
    x = spec.input("x", shape=(3,))
    spec.output(output=spec.add("sum", spec.exp("exp", spec.neg("neg", x)), x))
    text = port("torch", installed=False).source(spec)
    assert assigned(text) == ["x_", "x_"]


def test_what_no_output_needs_is_not_computed_but_its_weights_are_kept() -> None:
    spec = Spec("dead")
    x = spec.input("x", channels=3)
    spec.conv2d("unused", x, 4, kernel=1)
    spec.output(output=spec.relu("relu", x))
    text = port("torch", installed=False).source(spec)
    assert "self.unused = nn.Conv2d(3, 4, 1)" in text
    assert "self.unused(" not in text


def loss_with_roles() -> Spec:
    """A spec that calls one network twice, another once, and two roles of one spec."""

    def network(name: str, channels: int) -> Spec:
        spec = Spec(name, doc=f"{name}.")
        x = spec.conv2d("conv", spec.input("image", channels=3), channels, kernel=3, padding=1)
        spec.output(low=x, high=spec.relu("relu", x))
        return spec

    spec = Spec("role_loss", doc="A loss.")
    first = spec.role("first", network("features", 4))
    second = spec.role("second", network("features", 4))
    other = spec.role("other", network("features", 2))
    a, b = spec.input("a", channels=3), spec.input("b", channels=3)
    near, _ = spec.call("of_a", first, a)
    far = spec.call("of_b", first, b)
    _, high = spec.call("again", second, a)
    small = spec.call("small", other, b)[1]
    pulled = spec.stop_gradient("held", far[0])
    spec.output(near=spec.l1_loss("near", near, pulled), far=spec.mse_loss("far", far[1], high), small=small)
    return spec


@pytest.mark.parametrize("name", PORTS)
def test_roles_become_classes_of_their_own(name: str) -> None:
    pytest.importorskip(name)
    spec = loss_with_roles()
    made = port(name)
    text = made.source(spec)
    classes = [node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert classes == ["Features", "Features2", "RoleLoss"]
    assert "self.second = Features() if second is None else second" in text
    model = made.build(spec)
    inner = made.spec_of(model.first)
    assert inner is not None and inner.name == "features"

    generator = np.random.default_rng(0)
    state = {n: generator.standard_normal(p.shape).astype(np.float32) for n, p in spec.params.items()}
    made.load(model, state)
    images = {n: generator.standard_normal((2, 3, 5, 6)).astype(np.float32) for n in ("a", "b")}
    outputs = made.run(model, images)
    assert outputs["near"].shape == () and outputs["small"].shape == (2, 2, 5, 6)
    gradients = made.gradients(model, images, {"near": np.ones((), np.float32)})
    assert np.abs(gradients["a"]).max() > 0
    assert (gradients["b"] == 0).all()
    assert (gradients["other.conv.weight"] == 0).all()


def test_roles_agree_between_frameworks() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("mindspore")
    spec = loss_with_roles()
    generator = np.random.default_rng(0)
    state = {n: generator.standard_normal(p.shape).astype(np.float32) for n, p in spec.params.items()}
    images = {n: generator.standard_normal((2, 3, 5, 6)).astype(np.float32) for n in ("a", "b")}
    pulled = {"near": np.ones((), np.float32), "far": np.ones((), np.float32)}
    found = []
    for name in PORTS:
        made = port(name)
        model = made.build(spec)
        made.load(model, state)
        found.append(made.run(model, images) | made.gradients(model, images, pulled))
    for key, value in found[0].items():
        assert np.abs(value - found[1][key]).max() <= 2e-6 * max(np.abs(value).max(), 1e-30), key


def test_pieces() -> None:
    assert literal((3, 3)) == "3" and literal((3, 2)) == "(3, 2)" and literal(1e-5) == "1e-5"
    assert camel("unet_256") == "Unet256" and camel("") == "Model"
    assert fit(4, "x = 1", "one") == ["    x = 1  # one"]
    assert camel("2d_net") == "Model2dNet" and camel("none") == "ModelNone"
    for text in (
        f"x = f({'a' * 60}, {'b' * 60})",
        f"return {'a' * 50} * {'b' * 43} / (1 - 0.5)",
        f"x = {'a' * 60} if {'c' * 20} is None else {'b' * 60} / (1 - 0.5)",
    ):
        lines = fit(8, text, "a comment")
        assert lines[0] == "        # a comment" and max(map(len, lines)) <= 120
        assert ast.dump(ast.parse("\n".join(line[8:] for line in lines))) == ast.dump(ast.parse(text))
