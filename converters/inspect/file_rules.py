"""What is suspicious, or worth knowing, about a file as a whole, by the names and types of its tensors alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from twinzoo.converters.files import Checkpoint
from twinzoo.converters.inspect.report import LayerReport, Suspicion
from twinzoo.converters.inspect.tables import counted, size_text

Layers = Sequence[LayerReport]


def all_of(layers: Layers, checkpoint: Checkpoint) -> Iterator[Suspicion]:
    """What any of the rules finds."""
    for rule in (mixed_words, counters, lone_statistics, types, training):
        yield from rule(layers, checkpoint)


def counters(layers: Layers, checkpoint: Checkpoint) -> Iterator[Suspicion]:
    """Batch norms without the counter that PyTorch writes since 0.4.1."""
    bare = [layer for layer in layers if layer.kind.name == "batch norm" and "num_batches_tracked" not in layer.tensors]
    if bare and checkpoint.format.startswith("torch"):
        seen = f"{counted(len(bare), 'batch norm')} without num_batches_tracked"
        yield Suspicion("no-counters", "", seen, "written before PyTorch 0.4.1, or not by PyTorch", note=True)


def lone_statistics(layers: Layers, checkpoint: Checkpoint) -> Iterator[Suspicion]:
    """Statistics without gains: today's PyTorch writes a counter beside those of a batch norm."""
    lone = [layer for layer in layers if layer.kind.name == "norm statistics"]
    if any("num_batches_tracked" not in layer.tensors for layer in lone):
        seen = f"{counted(len(lone), 'norm')} with statistics alone"
        yield Suspicion("lone-statistics", "", seen, "an old file's instance norms, which use none", note=True)


def mixed_words(layers: Layers, checkpoint: Checkpoint) -> Iterator[Suspicion]:
    """Both frameworks' words for the running statistics. (gamma and beta are in PyTorch models too.)"""
    words = Counter(tensor.key.rpartition(".")[2] for layer in layers for tensor in layer.tensors.values())
    torch, mindspore = words["running_var"], words["moving_variance"]
    if torch and mindspore:
        seen = f"running_var in {counted(torch, 'layer')}, moving_variance in {mindspore}"
        effect = "two frameworks' files were merged, or a renaming stopped half-way"
        yield Suspicion("mixed-words", "", seen, effect)


def types(layers: Layers, checkpoint: Checkpoint) -> Iterator[Suspicion]:
    """float64 where it is hardly meant, else more than one floating-point type."""
    found = Counter(str(tensor.dtype) for layer in layers for tensor in layer.tensors.values() if tensor.floating)
    if "float64" in found:
        seen = f"float64 in {counted(found['float64'], 'tensor')}"
        effect = "twice the size; layers of both frameworks are float32 unless told otherwise"
        yield Suspicion("float64", "", seen, effect, note=True)
    elif len(found) > 1:
        seen = ", ".join(f"{dtype} in {counted(count, 'tensor')}" for dtype, count in found.most_common())
        yield Suspicion(
            "mixed-types", "", seen, "some layers need a cast, or a framework that casts by itself", note=True
        )


def training(layers: Layers, checkpoint: Checkpoint) -> Iterator[Suspicion]:
    """What a training run goes on with, beside the weights."""
    if checkpoint.optimizer:
        size = size_text(sum(checkpoint.entries[key].nbytes for key in checkpoint.optimizer))
        seen = f"{counted(len(checkpoint.optimizer), 'tensor')} of optimizer state ({size})"
        yield Suspicion(
            "optimizer-state", "", seen, "of use to go on training alone: not shown here, not converted", True
        )
