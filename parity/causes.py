"""The causes of differences, as data: what each is, where it comes from in either framework, how to put it right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """One cause. In its texts code stands in backquotes, and a call in `torch` and `mindspore` shows default values.

    Attributes:
        meaning: what differs, in one line.
        torch, mindspore: where it comes from in the framework.
        torch_fix, mindspore_fix: what to write there, if that is the side to be put right.
    """

    meaning: str
    torch: str
    mindspore: str
    torch_fix: str
    mindspore_fix: str


TABLE: Mapping[str, Cause] = {
    "eps": Cause(
        "the small number added to a norm's variance",
        "`nn.BatchNorm2d(eps=1e-5)`, `nn.GroupNorm(eps=1e-5)`, `nn.LayerNorm(eps=1e-5)`",
        "`nn.BatchNorm2d(eps=1e-5)`, `nn.GroupNorm(eps=1e-5)`, but `nn.LayerNorm(epsilon=1e-7)`",
        "`nn.LayerNorm(n, eps=1e-7)`",
        "`nn.LayerNorm((n,), epsilon=1e-5)`",
    ),
    "momentum": Cause(
        "how fast running statistics follow the batches; eval mode does not show it",
        "`nn.BatchNorm2d(momentum=0.1)` is the weight of the new value",
        "`nn.BatchNorm2d(momentum=0.9)` is the weight of the old value",
        "`nn.BatchNorm2d(c, momentum=m)` with one minus MindSpore's",
        "`nn.BatchNorm2d(c, momentum=m)` with one minus PyTorch's",
    ),
    "norm-kind": Cause(
        "another normalisation: batch, instance, group or layer norm in each other's stead",
        "`nn.InstanceNorm2d`, `nn.BatchNorm2d`, mostly picked by an argument of the model",
        "`nn.InstanceNorm2d` has no CPU kernel, so that ports take another in its stead",
        "the layer that the other side has",
        "instead of `nn.InstanceNorm2d`: `nn.GroupNorm(c, c)`, one channel a group",
    ),
    "norm-mode": Cause(
        "statistics of the batch on one side, running statistics on the other",
        "a new module is in train mode; `nn.InstanceNorm2d(track_running_stats=False)` uses the batch's in either",
        "a new cell is in evaluation mode; `nn.BatchNorm2d(use_batch_statistics=None)` follows the mode",
        "`net.eval()` to evaluate, `net.train()` to train",
        "`net.set_train(False)` to evaluate, `net.set_train()` to train",
    ),
    "variance": Cause(
        "a variance divided by n on one side and by n - 1 on the other",
        "`torch.var` and `torch.std` divide by n - 1",
        "`ops.var(ddof=0)` and `ops.std(ddof=0)` divide by n",
        "`torch.var(x, dim, correction=0)`",
        "`ops.var(x, axis, ddof=1)`",
    ),
    "affine": Cause(
        "a norm has a gain and an offset on one side only",
        "`nn.InstanceNorm2d(affine=False)`, `nn.BatchNorm2d(affine=True)`",
        "`nn.InstanceNorm2d(affine=True)`, `nn.BatchNorm2d(affine=True)`",
        "`nn.InstanceNorm2d(c, affine=True)`",
        "`nn.InstanceNorm2d(c, affine=False)`",
    ),
    "padding": Cause(
        "how many lines are padded, or on which side",
        "`nn.Conv2d(padding=0)` pads both ends alike",
        "`nn.Conv2d(pad_mode='same', padding=0)`: 'same' puts an odd line at the end, a shift by one pixel",
        "`F.pad(x, (left, right, top, bottom))` before `nn.Conv2d(i, o, k)`",
        "`nn.Conv2d(i, o, k, pad_mode='pad', padding=p)`; for two sizes `padding=(top, bottom, left, right)`",
    ),
    "pad-mode": Cause(
        "what a border is filled with: zeros, a reflection, the edge",
        "`nn.Conv2d(padding_mode='zeros')`, `nn.ReflectionPad2d`, `F.pad(mode='constant')`",
        "`nn.Conv2d` fills with zeros and has no padding_mode; `ops.pad(mode='constant')`",
        "`nn.ReflectionPad2d(p)`, or `nn.Conv2d(i, o, k, padding=p, padding_mode='reflect')`",
        "`nn.ReflectionPad2d(p)` before `nn.Conv2d(i, o, k, pad_mode='valid')`",
    ),
    "stride": Cause(
        "the step of a convolution or a pooling",
        "`nn.MaxPool2d(stride=None)` and `nn.AvgPool2d(stride=None)` take the kernel's size; `nn.Conv2d(stride=1)`",
        "`nn.MaxPool2d(stride=1)`, `nn.AvgPool2d(stride=1)`, `nn.Conv2d(stride=1)`",
        "`nn.MaxPool2d(2, stride=1)`",
        "`nn.MaxPool2d(2, stride=2)`",
    ),
    "kernel": Cause(
        "the size of a window",
        "`nn.Conv2d`, `nn.MaxPool2d`: must be given",
        "`nn.Conv2d` must be given one, `nn.MaxPool2d(kernel_size=1)` and `nn.AvgPool2d(kernel_size=1)` need none",
        "`nn.MaxPool2d(kernel_size=k)`",
        "`nn.MaxPool2d(kernel_size=k, stride=k)`",
    ),
    "dilation": Cause(
        "the distance of a kernel's places",
        "`nn.Conv2d(dilation=1)`",
        "`nn.Conv2d(dilation=1)`",
        "`nn.Conv2d(i, o, k, dilation=d)`",
        "`nn.Conv2d(i, o, k, dilation=d)`",
    ),
    "groups": Cause(
        "into how many groups of channels a convolution or a norm divides",
        "`nn.Conv2d(groups=1)`, the first argument of `nn.GroupNorm`",
        "`nn.Conv2d(group=1)`, without the s; the first argument of `nn.GroupNorm`",
        "`nn.Conv2d(i, o, k, groups=g)`",
        "`nn.Conv2d(i, o, k, group=g)`",
    ),
    "output-padding": Cause(
        "lines added at the end of a transposed convolution's output",
        "`nn.ConvTranspose2d(output_padding=0)`",
        "`nn.Conv2dTranspose(output_padding=0)`: on CPU another value than 0 gives wrong numbers",
        "`nn.ConvTranspose2d(i, o, 3, stride=2, padding=1, output_padding=1)`",
        "for 1 and a padding of 1: `nn.Conv2dTranspose(i, o, 3, stride=2, pad_mode='pad', padding=(1, 0, 1, 0))`",
    ),
    "bias": Cause(
        "an offset that only one side has",
        "`nn.Conv2d(bias=True)`, `nn.ConvTranspose2d(bias=True)`, `nn.Linear(bias=True)`",
        "`nn.Conv2d(has_bias=False)`, `nn.Conv2dTranspose(has_bias=False)`, but `nn.Dense(has_bias=True)`",
        "`nn.Conv2d(i, o, k, bias=False)`",
        "`nn.Conv2d(i, o, k, has_bias=True)`",
    ),
    "weight-value": Cause(
        "a tensor has other values",
        "another checkpoint or seed; `load_state_dict` with `strict=False` skips what does not fit",
        "`ms.load_param_into_net(strict_load=False)` leaves out what it does not know, and returns its names",
        "load the checkpoint that the other side has, with `strict=True`",
        "`tz.convert(checkpoint, cell)`; or look at what `ms.load_param_into_net(net, state)` returns",
    ),
    "weight-layout": Cause(
        "a tensor has its axes in another order",
        "`nn.Linear` keeps (out, in), `nn.ConvTranspose2d` (in, out, height, width)",
        "as PyTorch in `nn.Dense` and `nn.Conv2dTranspose`; `ops.matmul` wants (in, out)",
        "`weight.permute(...)` while loading",
        "`weight.transpose(...)` while loading, or `tz.convert(checkpoint, cell)`",
    ),
    "weight-swapped": Cause(
        "two tensors of one shape stand in each other's place",
        "keys of `state_dict()` come in the order of definition, not of use",
        "keys are `Parameter.name`; a norm has gamma, beta, moving_mean and moving_variance",
        "map keys by their layers, not by their order",
        "`tz.convert(checkpoint, cell, source_model=module)`; where names mislead, `twinzoo convert --map table.tsv`",
    ),
    "weight-shared": Cause(
        "one tensor serves two layers on one side only",
        "`a.weight = b.weight`, or one module called twice",
        "one cell called twice; `a.weight = b.weight` keeps the name of b's",
        "call one module twice, or give each its own",
        "call one cell twice, or give each its own",
    ),
    "activation": Cause(
        "another function between two layers",
        "`nn.ReLU`, `nn.LeakyReLU`, `nn.SiLU`, `nn.Tanh` and others in each other's stead",
        "the same names; an activation may also be the argument of a layer: `nn.Dense(activation=None)`",
        "the function that the other side has",
        "the function that the other side has",
    ),
    "slope": Cause(
        "the slope of an activation below 0",
        "`nn.LeakyReLU(negative_slope=0.01)`, `nn.ELU(alpha=1.0)`, `nn.PReLU(init=0.25)`",
        "`nn.LeakyReLU(alpha=0.2)`, `ops.leaky_relu(alpha=0.2)`, `nn.ELU(alpha=1.0)`, `nn.PReLU(w=0.25)`",
        "`nn.LeakyReLU(negative_slope=0.2)`",
        "`nn.LeakyReLU(alpha=0.01)`",
    ),
    "approximation": Cause(
        "a function by an approximate formula on one side only",
        "`nn.GELU(approximate='none')`",
        "`nn.GELU(approximate=True)` is the tanh formula; `ops.gelu(approximate='none')`",
        "`nn.GELU(approximate='tanh')`",
        "`nn.GELU(approximate=False)`",
    ),
    "inplace": Cause(
        "an operation changes its input, and what reads that later sees the change",
        "`nn.ReLU(inplace=False)`, often set to True; `+=` on a tensor that a skip reads",
        "nothing is in place: `+=` makes a new tensor, and what had the same name before keeps its values",
        "`nn.ReLU(inplace=False)` before a skip that must not see it",
        "let the skip read the output of the activation",
    ),
    "dropout": Cause(
        "how much is dropped, or whether at all; eval mode does not show the rate",
        "`nn.Dropout(p=0.5)`, `F.dropout(p=0.5, training=True)`: p is what is dropped",
        "`nn.Dropout(keep_prob=0.5, p=None)`: the first argument is what is kept",
        "`nn.Dropout(p=0.5)`, and `F.dropout(x, p=0.5, training=self.training)`",
        "`nn.Dropout(p=0.5)`, by name",
    ),
    "resize-mode": Cause(
        "another interpolation, or another size to interpolate to",
        "`F.interpolate(mode='nearest')`, `nn.Upsample(mode='nearest')`",
        "`ops.interpolate(mode='nearest')`; nearest and bilinear take no scale_factor, bicubic is another one",
        "`F.interpolate(x, size=(h, w), mode='bilinear')`",
        "`ops.interpolate(x, size=(h, w), mode='bilinear')`",
    ),
    "align-corners": Cause(
        "whether the corners of input and output lie on each other",
        "`F.interpolate(align_corners=None)`, which is False",
        "`ops.interpolate(align_corners=None)`, which is False",
        "`F.interpolate(x, size=(h, w), mode='bilinear', align_corners=False)`",
        "`ops.interpolate(x, size=(h, w), mode='bilinear', align_corners=False)`",
    ),
    "pool-kind": Cause(
        "a maximum in the stead of a mean, or the other way round",
        "`nn.MaxPool2d`, `nn.AvgPool2d`, `nn.AdaptiveAvgPool2d`",
        "`nn.MaxPool2d`, `nn.AvgPool2d`, `nn.AdaptiveAvgPool2d`",
        "the pooling that the other side has",
        "the pooling that the other side has",
    ),
    "ceil-mode": Cause(
        "whether a last window that is not full gives an output",
        "`nn.MaxPool2d(ceil_mode=False)`, `nn.AvgPool2d(ceil_mode=False)`",
        "`nn.MaxPool2d(ceil_mode=False)`, which needs pad_mode 'pad'; 'same' rounds up as well",
        "`nn.MaxPool2d(2, 2, ceil_mode=True)`",
        "`nn.MaxPool2d(2, 2, pad_mode='pad', ceil_mode=True)`",
    ),
    "count-include-pad": Cause(
        "whether a mean counts the padding",
        "`nn.AvgPool2d(count_include_pad=True)`",
        "`nn.AvgPool2d(count_include_pad=True)`, but pad_mode 'same' counts none",
        "`nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)`",
        "`nn.AvgPool2d(3, 2, pad_mode='pad', padding=1, count_include_pad=False)`",
    ),
    "axis": Cause(
        "an operation goes along another axis",
        "the argument is dim: `nn.Softmax(dim=None)`, `torch.cat`",
        "the argument is axis, and may be left out: `nn.Softmax(axis=-1)`, `ops.cat(axis=0)`",
        "`nn.Softmax(dim=1)`",
        "`nn.Softmax(axis=1)`",
    ),
    "operand-order": Cause(
        "the same operands in another order: a concat's, a difference's",
        "`torch.cat`, `torch.sub`, `torch.matmul`",
        "`ops.cat`, `ops.sub`, `ops.matmul`",
        "the order that the other side has; weights of what follows a concat come in its order",
        "the order that the other side has; weights of what follows a concat come in its order",
    ),
    "missing-op": Cause(
        "an operation that only side a has",
        "forward leaves it out, or side a's model is of another version",
        "construct leaves it out: a module whose place is taken by a function on the other side is forgotten easily",
        "add it to forward",
        "add it to construct",
    ),
    "extra-op": Cause(
        "an operation that only side b has",
        "forward has it in addition, such as a last activation that the loss has already",
        "construct has it in addition, or a layer brings its own: `nn.Dense(activation=None)`",
        "take it out of forward",
        "take it out of construct",
    ),
    "scale": Cause(
        "what comes out is a multiple of what is right",
        "inputs of 0 to 255 against 0 to 1; attention's root of the width; dropout without its 1 / (1 - p)",
        "the same; a dataset's Rescale or Normalize applied twice or not at all",
        "the factor that the other side has",
        "the factor that the other side has",
    ),
    "offset": Cause(
        "what comes out is shifted by a constant",
        "inputs of 0 to 1 against -1 to 1; a mean that is not subtracted",
        "the same; a dataset's Normalize takes mean and deviation of 0 to 255 where images were not rescaled",
        "the constant that the other side has",
        "the constant that the other side has",
    ),
    "reduction": Cause(
        "a sum, a mean or nothing in each other's stead, mostly in a loss",
        "`nn.L1Loss(reduction='mean')`, `nn.SmoothL1Loss(reduction='mean')`",
        "`nn.L1Loss(reduction='mean')`, but `nn.SmoothL1Loss(reduction='none')`",
        "`nn.SmoothL1Loss(reduction='sum')`",
        "`nn.SmoothL1Loss(reduction='mean')`",
    ),
    "label": Cause(
        "a loss is given another target: real for fake, smoothed labels, classes counted from 1",
        "`nn.CrossEntropyLoss(ignore_index=-100, label_smoothing=0.0)`, `nn.BCEWithLogitsLoss`",
        "`nn.CrossEntropyLoss(ignore_index=-100, label_smoothing=0.0)`, `nn.BCEWithLogitsLoss`",
        "`torch.ones_like(logits)` for real, `torch.zeros_like(logits)` for fake, as the other side has it",
        "`ops.ones_like(logits)` for real, `ops.zeros_like(logits)` for fake, as the other side has it",
    ),
    "dtype": Cause(
        "another element type, and so another rounding",
        "`torch.autocast` around forward; a NumPy array becomes float64",
        "`net.to_float(ms.float16)`, `ms.amp.auto_mixed_precision`; a NumPy array becomes float64",
        "`torch.from_numpy(x).float()`; no `torch.autocast` while comparing",
        "`ms.Tensor(x, dtype=ms.float32)`; `net.to_float(ms.float32)`",
    ),
    "lr": Cause(
        "the learning rate",
        "`optim.Adam(lr=0.001)`, `optim.SGD(lr=0.001)`",
        "`nn.Adam(learning_rate=0.001)`, `nn.SGD(learning_rate=0.1)`",
        "`optim.Adam(params, lr=rate)`",
        "`nn.Adam(params, learning_rate=rate)`",
    ),
    "betas": Cause(
        "the decay of an optimizer's averages",
        "`optim.Adam(betas=(0.9, 0.999))`, `optim.RMSprop(alpha=0.99)`",
        "`nn.Adam(beta1=0.9, beta2=0.999)`, `nn.RMSProp(decay=0.9)`, whose mean of squares starts at 1",
        "`optim.Adam(params, betas=(0.5, 0.999))`",
        "`nn.Adam(params, beta1=0.5, beta2=0.999)`",
    ),
    "optimizer-eps": Cause(
        "the small number that an optimizer adds to its root, or where it is added",
        "`optim.Adam(eps=1e-8)`, after the bias correction",
        "`nn.Adam(eps=1e-8)` before the bias correction; `nn.AdamWeightDecay(eps=1e-6)`",
        "`optim.Adam(params, eps=e)`",
        "`ops.Adam()` called with `eps * (1 - beta2**t) ** 0.5`, as docs/differences.md has it",
    ),
    "weight-decay": Cause(
        "how much weights decay, which of them, or whether through the gradient",
        "`optim.Adam(weight_decay=0)` through the gradient, `optim.AdamW(weight_decay=0.01)` of the weights",
        "`nn.Adam(weight_decay=0.0)`, `nn.AdamWeightDecay(weight_decay=0.0)`; none with gamma or beta in its name",
        "groups of parameters, each with its weight_decay",
        "groups of parameters: `[{'params': cell.trainable_params(), 'weight_decay': 0.01}]` decays all of them",
    ),
    "bias-correction": Cause(
        "whether Adam's averages are corrected for having started at 0",
        "`optim.Adam` and `optim.AdamW` correct",
        "`nn.Adam` corrects, `nn.AdamWeightDecay` does not",
        "no argument takes it out: correct on the other side",
        "`ops.Adam()` after the decay of the weights, as docs/differences.md has it",
    ),
    "grad-missing": Cause(
        "a parameter has a gradient on one side only",
        "`x.detach()`, `torch.no_grad`, `requires_grad=False`, a parameter that the optimizer was not given",
        "`ops.stop_gradient`, `requires_grad=False`, a parameter that is not among the weights of `ms.value_and_grad`",
        "take out the `x.detach()`, or freeze it on both sides: `p.requires_grad_(False)`",
        "`ms.value_and_grad(fn, None, net.trainable_params())`; `ops.stop_gradient(x)` where the other side detaches",
    ),
    "update-order": Cause(
        "updates of several networks or steps of one loop in another order",
        "what is computed after `optimizer.step()` sees the new weights; gradients add up without `zero_grad()`",
        "gradients come from `ms.value_and_grad` and never add up; two of them run the generator twice",
        "`zero_grad()`, `backward()`, `step()` for each network, in the order of the other side",
        "`ms.vjp(fn, x)`: one forward pass, whose gradient serves both updates",
    ),
    "schedule": Cause(
        "the learning rate changes at another step or by another rule",
        "`scheduler.step()` mostly once an epoch: `optim.lr_scheduler.StepLR(gamma=0.1)`",
        "a list with a rate for each step, `nn.piecewise_constant_lr`, or a cell such as `nn.CosineDecayLR`",
        "`optim.lr_scheduler.LambdaLR(optimizer, rule)`, called when the other side changes its rate",
        "`nn.Adam(params, learning_rate=rates)`, one rate a step, repeated over each epoch",
    ),
    "nondeterminism": Cause(
        "one side differs from itself when it is run again",
        "atomic additions on CUDA, draws without a seed, `torch.backends.cudnn.benchmark`",
        "the same on Ascend and GPU; no seed draws PyTorch's numbers",
        "`torch.use_deterministic_algorithms(True)`; draw masks and shuffles in NumPy and feed them to both",
        "`ms.set_deterministic(True)`; draw masks and shuffles in NumPy and feed them to both",
    ),
    "unexplained": Cause(
        "no hypothesis reproduces it; the evidence says what the difference looks like",
        "a layer of one's own, a kernel that is wrong",
        "a layer of one's own, a kernel that is wrong",
        "compare what the layer computes with the other side's, line by line",
        "compare what the layer computes with the other side's, line by line",
    ),
}
"""By id. Ids and their order are stable, since other people's scripts read them."""
