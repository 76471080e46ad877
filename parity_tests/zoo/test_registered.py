"""What every registered model and loss must do: draw, print, and survive JSON under a stable hash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from twinzoo.zoo import registry
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.init import RULES
from twinzoo.zoo.spec import Spec, from_json, spec_hash, to_json
from twinzoo.zoo.spec.show import flops, parameter_count

registry.load()
ENTRIES = registry.MODELS | registry.LOSSES


def _small(name: str) -> Spec:
    return registry.spec(name, **ENTRIES[name].small)


def test_the_zoo_has_what_it_promises() -> None:
    assert {"aodnet", "patchgan", "pixelgan", "resnet_generator", "unet"} <= set(registry.MODELS)
    assert {"vgg16", "vgg16_bn", "vgg19", "vgg19_bn"} <= set(registry.MODELS)
    losses = {"l1", "l2", "smooth_l1", "bce_adversarial", "lsgan_adversarial", "perceptual"}
    assert losses <= set(registry.LOSSES)


@pytest.mark.parametrize("name", ENTRIES)
def test_json_round_trip(name: str) -> None:
    spec = _small(name)
    again = from_json(to_json(spec))
    assert to_json(again) == to_json(spec)
    assert spec_hash(again) == spec_hash(spec)
    assert (again.params, again.draws) == (spec.params, spec.draws)
    assert again.nodes == spec.nodes
    assert again.outputs == spec.outputs
    assert (again.symbols, again.example_sizes) == (spec.symbols, spec.example_sizes)
    assert again.options == spec.options


@pytest.mark.parametrize("name", ENTRIES)
def test_prints(name: str) -> None:
    spec = _small(name)
    lines = str(spec).splitlines()
    assert lines[0] == f"{name}: {spec.doc.splitlines()[0]}"
    shown = {line.split()[0] for line in lines if line}
    assert shown >= {*spec.inputs, *spec.nodes}
    assert lines[-1].startswith(
        f"{parameter_count(spec):,} parameters, {flops(spec):,} FLOPs" + " at N=1" * ("N" in spec.symbols)
    )
    assert flops(spec) > 0


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_is_complete(name: str) -> None:
    found = ENTRIES[name]
    assert found.paper
    assert found.init in RULES
    assert "->" in found.doc, "the docstring gives the shapes"
    assert set(found.allowed) == set(found.options), "each option says what it accepts"
    assert set(found.small) <= set(found.options)
    for option, default in found.options.items():
        assert registry.checked(name, option, default, found.allowed[option]) == default


@pytest.mark.parametrize("name", ENTRIES)
def test_small_instances_are_small(name: str) -> None:
    spec = _small(name)
    assert parameter_count(spec) < 300_000
    assert flops(spec) < 400_000_000


@pytest.mark.parametrize("name", ENTRIES)
def test_output_shapes_hold_for_every_allowed_size(name: str) -> None:
    """Shapes inferred from symbols equal the shapes of a spec drawn again with numbers."""
    spec = _small(name)
    sizes = {symbol: size + spec.symbols[symbol] for symbol, size in spec.example_sizes.items()}
    plain = json.loads(to_json(spec))
    for item in plain["inputs"]:
        item["shape"] = [sizes.get(size, size) for size in item["shape"]]
    numbers = from_json(json.dumps(plain))
    for node in spec.nodes:
        for value, number in zip(spec.nodes[node].outputs, numbers.nodes[node].outputs, strict=True):
            assert spec.concrete(value, sizes) == number.shape, node


def test_hash_depends_on_graph_options_and_initialisation() -> None:
    base = registry.spec("unet", width=4, depth=3)
    assert spec_hash(registry.spec("unet", width=4, depth=3)) == spec_hash(base)
    others = [
        registry.spec("unet", width=5, depth=3),
        registry.spec("unet", width=4, depth=3, norm="instance"),
        registry.spec("unet", width=4, depth=3, dropout=0.25),
    ]
    changed = registry.spec("unet", width=4, depth=3)
    changed.init = "torch"
    assert len({spec_hash(spec) for spec in [base, *others, changed]}) == 5


def test_an_option_has_one_form() -> None:
    as_list = registry.spec("vgg16", width=4, taps=["relu1_2"])
    assert spec_hash(as_list) == spec_hash(registry.spec("vgg16", width=4, taps=("relu1_2",)))
    assert spec_hash(registry.spec("unet", width=4, dropout=0)) == spec_hash(
        registry.spec("unet", width=4, dropout=0.0)
    )


GOLDEN = {
    "aodnet": "ff8b9315654efd85a6f61588d64cae495ca3f97c7e6d440de4eb6128d3b2e9ef",
    "unet": "285e6498b643c80cf72851267d17e3221115828b2466a4954f48249f4c225363",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_hash(name: str) -> None:
    """A change here is a change of the model, or of the format: caches and records rest on it. Words don't count."""
    spec = _small(name)
    spec.doc = ""
    assert spec_hash(spec) == GOLDEN[name]


def test_the_hash_is_the_same_in_another_process() -> None:
    program = "from twinzoo.zoo import registry, spec; print(spec.spec_hash(registry.spec('perceptual', width=4)))"
    command = [sys.executable, "-c", program]
    hashes = {
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("1", "2")
    }
    assert {text.decode().strip() for text in hashes} == {spec_hash(registry.spec("perceptual", width=4))}


def test_the_zoo_imports_numpy_alone() -> None:
    program = (
        "import sys; from twinzoo.zoo import registry; registry.load(); "
        "print([m for m in ('torch', 'mindspore', 'scipy', 'networkx') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


BROKEN: list[tuple[Any, str]] = [
    ("not json", "this JSON is not a spec: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
    ("[]", "this JSON is not a spec: AttributeError: 'list' object has no attribute 'get'"),
    ("{}", "this JSON is not a spec of version 1: twinzoo_spec=None"),
    ({"nodes": [{"name": "a", "op": "relu", "inputs": ["b"], "attrs": {}}]}, "this JSON is not a spec: KeyError: 'b'"),
    ({"outputs": {"output": "gone"}}, "this JSON is not a spec: KeyError: 'gone'"),
    (
        {"nodes": [{"name": "a", "op": "warp", "inputs": ["image"], "attrs": {}}]},
        "aodnet: a: there is no op 'warp'",
    ),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_broken_json_is_one_line(change: Any, message: str) -> None:
    text = change if isinstance(change, str) else json.dumps(json.loads(to_json(registry.spec("aodnet"))) | change)
    with pytest.raises(SpecError) as caught:
        from_json(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("method", ["input", "values", "output", "__init__"])
def test_json_calls_no_method_but_ops(method: str) -> None:
    plain = json.loads(to_json(registry.spec("aodnet")))
    plain["nodes"].append({"name": "clean", "op": method, "inputs": [], "attrs": {}})
    with pytest.raises(SpecError, match=f"^aodnet: clean: there is no op '{method}'$"):
        from_json(json.dumps(plain))


def test_json_nested_without_end_is_one_line() -> None:
    with pytest.raises(SpecError, match="^this JSON is not a spec: RecursionError: "):
        from_json("[" * 200_000)
