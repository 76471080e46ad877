"""Several networks in one file: which there are, and one of them as a checkpoint of its own."""

import re

from twinzoo.converters.files.checkpoint import Checkpoint, Structure
from twinzoo.converters.files.entries import printable, quoted
from twinzoo.zoo.errors import CheckpointError

_NETWORK = re.compile(  # what people call one network of several where all keys are in one flat table
    r"(net|model)?_?[DEFG](_?[A-Za-z0-9]+)?"
    r"|(net_?)?(gen|generator|dis|disc|discriminator|critic|encoder|decoder|teacher|student|ema)(_\w+)?"
    r"|\w+_ema|params|state_dict"
)
_SHOWN = 12


def groups(checkpoint: Checkpoint) -> list[str]:
    """The names to choose from with `selected`, where the file seems to hold several networks; else none.

    A torch file says it by its nested dicts. In a flat table it is a guess from the first words of the keys: all of
    them, the state of optimizers aside, are words that people use for networks, and there is more than one.
    """
    if checkpoint.networks:
        return list(checkpoint.networks)
    weights = [name for name in checkpoint if name not in checkpoint.optimizer]
    words = list(dict.fromkeys(name.partition(".")[0] for name in weights if "." in name))
    likely = len(words) > 1 and all("." in name for name in weights) and all(map(_NETWORK.fullmatch, words))
    return words if likely else []


def selected(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """The tensors whose names begin with `name` and a dot, without these, each still read when it is asked for.

    Raises:
        CheckpointError: there are none; the message lists what there is.
    """
    prefix = f"{name}."
    entries = {key.removeprefix(prefix): entry for key, entry in checkpoint.entries.items() if key.startswith(prefix)}
    if not entries:
        choices = groups(checkpoint) or list(dict.fromkeys(key.partition(".")[0] for key in checkpoint))
        shown = " ".join(map(printable, choices[:_SHOWN])) + (" ..." if len(choices) > _SHOWN else "")
        raise CheckpointError(
            f"{checkpoint.path}: no tensor's name begins with {quoted(prefix)}: choose one of {shown}"
        )
    structure = Structure(
        aliases=_aliases(checkpoint, prefix),
        optimizer=frozenset(key.removeprefix(prefix) for key in checkpoint.optimizer if key.startswith(prefix)),
    )
    return Checkpoint(
        checkpoint.path,
        checkpoint.format,
        entries,
        lambda key: checkpoint[prefix + key],
        checkpoint.metadata,
        checkpoint.release,
        pieces=lambda key: checkpoint.pieces(prefix + key),
        structure=structure,
        files=checkpoint.files,
    )


def _aliases(checkpoint: Checkpoint, prefix: str) -> dict[str, str]:
    """The aliases within a group, each of the first name that the tensor has in the group."""
    firsts: dict[str, str] = {}
    aliases = {}
    for key in checkpoint:
        if key.startswith(prefix):
            first = firsts.setdefault(checkpoint.aliases.get(key, key), key)
            if first != key:
                aliases[key.removeprefix(prefix)] = first.removeprefix(prefix)
    return aliases
