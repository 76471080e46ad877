"""Under which keys a spec's tensors stand in a file: a framework's words for roles, a published naming for layers."""

from __future__ import annotations

from twinzoo.zoo.errors import ConversionError
from twinzoo.zoo.naming import prefixes
from twinzoo.zoo.registry import LOSSES, MODELS, load
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras, native_names


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
    return {name: known[naming][layer_of(name)] + native[name].removeprefix(layer_of(name)) for name in names}


def layer_of(name: str) -> str:
    """The layer in a parameter's name: `down1_conv.weight` -> `down1_conv`."""
    return name.rpartition(".")[0]
