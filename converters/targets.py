"""What a conversion can fill: a spec of the zoo, a live module or cell, or another checkpoint used as a template."""

from __future__ import annotations

from collections.abc import Mapping

from twinzoo.converters.layers import ROLE_OF, Shape, layers_of
from twinzoo.converters.match import Slot, Target
from twinzoo.zoo.errors import ConversionError
from twinzoo.zoo.naming import prefixes
from twinzoo.zoo.registry import LOSSES, MODELS, load
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras, native_names


def spec_target(spec: Spec) -> Target:
    """The state of a spec, in order of execution, under its own names and every published naming of its model."""
    slots = tuple(Slot(name, layer_of(name), plain_role(name), param.shape) for name, param in spec.params.items())
    own = {slot.layer: slot.layer for slot in slots}
    return Target(_title(spec), slots, {"twinzoo": own, **published(spec)}, executed=True)


def _title(spec: Spec) -> str:
    options = ", ".join(f"{name}={value}" for name, value in spec.options.items())
    return f"{spec.name}({options})"


def published(spec: Spec) -> dict[str, dict[str, str]]:
    """Naming -> layer -> prefix of its keys, as the spec's model was published.

    A loss that owns nothing itself and calls one network has that network's namings.
    """
    own = any(node.params for node in spec.nodes.values())
    if len(spec.roles) == 1 and not own:
        (role,) = spec.roles.values()
        inner = published(role.spec)
        return {name: {f"{role.name}.{node}": key for node, key in keys.items()} for name, keys in inner.items()}
    load()
    entry = (MODELS | LOSSES).get(spec.name)
    if entry is None or entry.options.keys() != spec.options.keys():
        return {}
    return {naming: prefixes(spec, naming) for naming in entry.namings}


def file_keys(spec: Spec, port: str, naming: str | None = None) -> dict[str, str]:
    """Spec name -> key in a file with a framework's words for roles, in the file's order.

    Tensors that the framework keeps beyond the spec's (PyTorch's counters) are among them, under their native names.

    Raises:
        ConversionError: the model has no such naming.
    """
    native = native_names(spec, port) | {name: name for name in native_extras(spec, port)}
    if naming is None:
        order = {layer: i for i, layer in enumerate(dict.fromkeys(layer_of(name) for name in native_names(spec, port)))}
        return dict(sorted(native.items(), key=lambda item: order[layer_of(item[0])]))
    known = published(spec)
    if naming not in known:
        raise ConversionError(f"{spec.name} has no naming {naming!r}: it has {', '.join(known) or 'none'}")
    order = {layer: i for i, layer in enumerate(known[naming])}
    names = sorted(native, key=lambda name: order[layer_of(name)])
    return {name: f"{known[naming][layer_of(name)]}.{native[name].rpartition('.')[2]}" for name in names}


def plain_role(name: str) -> str:
    """The role in a parameter's name, in the plain word: `down1_blur.filt` -> `weight`."""
    word = name.rpartition(".")[2]
    return ROLE_OF.get(word, word)


def layer_of(name: str) -> str:
    """The layer in a parameter's name: `down1_conv.weight` -> `down1_conv`."""
    return name.rpartition(".")[0]


def keys_target(title: str, shapes: Mapping[str, Shape]) -> Target:
    """A key list with shapes, in the order of definition: a template checkpoint, or a live model's state.

    Counters that only PyTorch keeps are no slots: a conversion carries them over or starts them at 0.
    """
    layers = layers_of(shapes)
    slots = tuple(
        Slot(tensor.key, layer.prefix, tensor.role, tensor.shape)
        for layer in layers.values()
        for tensor in layer.tensors.values()
        if tensor.role != "num_batches_tracked"
    )
    return Target(title, slots, {"target": {prefix: prefix for prefix in layers}})
