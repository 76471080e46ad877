"""Pieces that several GAN networks share: norms, self-attention, the anti-aliased halving and doubling of CUT."""

from __future__ import annotations

from dataclasses import replace

from twinzoo.zoo.spec import OPS, Spec, Value
from twinzoo.zoo.spec.graph import normal_attrs
from twinzoo.zoo.spec.ops.spectral import PLAIN
from twinzoo.zoo.spec.schema import Choice, channels_of

NORM = Choice(choices=("batch", "instance"))


def norm2d(s: Spec, name: str, x: Value, norm: str) -> Value:
    """Batch norm, or instance norm without parameters: what the published GAN code calls `batch` and `instance`."""
    return s.batch_norm(name, x) if norm == "batch" else s.instance_norm(name, x)


def norm_bias(norm: str) -> bool:
    """Whether a convolution before the norm has a bias: batch norm brings its own, instance norm here has none."""
    return norm == "instance"


def self_attention(s: Spec, name: str, x: Value) -> Value:
    """x (N, C, H, W) plus what each place takes from all others: learned_scale * value(x) * attention + x.

    query and key have C/8 channels, value has C, all by 1x1 convolutions with biases; attention (N, HW, HW) is the
    softmax over keys of query * key, without a factor. The scale starts at 0, so that at first it is x.

    Zhang et al. 2019, "Self-Attention Generative Adversarial Networks", section 3, where C/8 stands for value too;
    the full C is what public PyTorch code has.
    """
    channels = channels_of(x.shape)
    narrow = max(channels // 8, 1)

    def places(role: str, count: int) -> Value:
        return s.flatten(f"{name}_{role}s", s.conv2d(f"{name}_{role}", x, count, kernel=1), start=2)

    queries = s.transpose(f"{name}_by_query", places("query", narrow), (0, 2, 1))
    energy = s.matmul(f"{name}_energy", queries, places("key", narrow))
    shares = s.transpose(f"{name}_by_key", s.softmax(f"{name}_shares", energy, axis=2), (0, 2, 1))
    taken = s.reshape_like(f"{name}_taken", s.matmul(f"{name}_sums", places("value", channels), shares), x)
    return s.add(f"{name}_add", s.learned_scale(f"{name}_gamma", taken, start=0.0), x)


def add_spectral_norm(s: Spec) -> None:
    """Give spectral norm to every convolution and linear layer drawn so far (Miyato et al. 2018, arXiv:1802.05957)."""
    for op, plain in PLAIN.items():
        row = OPS[op]
        assert row.params is not None
        for name, node in s.nodes.items():
            if node.op == plain:
                attrs = normal_attrs(f"{s.name}: {name} ({op})", row, node.attrs)
                params = row.params(attrs, *(value.shape for value in node.inputs))
                s.nodes[name] = replace(node, op=op, attrs=attrs, params=params)


def downsample(s: Spec, name: str, x: Value) -> Value:
    """Halve x (N, C, H, W) after a [1, 2, 1] blur with reflected edges; the filter belongs to the node `name`."""
    padded = s.pad2d(f"{name}_pad", x, (1, 1, 1, 1), mode="reflect")
    return s.blur2d(name, padded, (1, 2, 1), stride=2)


def upsample(s: Spec, name: str, x: Value) -> Value:
    """Double x (N, C, H, W) with the [1, 3, 3, 1] filter and repeated edges; the filter belongs to the node `name`.

    The published code crops two pixels a side in the transposed convolution and one more after it; here it is three.
    """
    padded = s.pad2d(f"{name}_pad", x, (1, 1, 1, 1), mode="replicate")
    return s.blur_transpose2d(name, padded, (1, 3, 3, 1), stride=2, padding=3)
