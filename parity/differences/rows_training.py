"""Rows of training: losses, dropout, optimizers, initial weights, names in checkpoints."""

from __future__ import annotations

from twinzoo.parity.differences.row import Row

_PAIR = ("matrix", "target")

LOSSES = (
    Row("MSELoss", "nn.MSELoss()", "nn.MSELoss()", cause="reduction", inputs=_PAIR),
    Row("L1Loss", "nn.L1Loss()", "nn.L1Loss()", cause="reduction", inputs=_PAIR),
    Row(
        "SmoothL1Loss",
        "nn.SmoothL1Loss()",
        "nn.SmoothL1Loss()",
        "nn.SmoothL1Loss(reduction='mean')",
        cause="reduction",
        inputs=_PAIR,
        defaults=("nn.SmoothL1Loss reduction beta", "nn.SmoothL1Loss reduction beta"),
    ),
    Row(
        "BCELoss",
        "nn.BCELoss()",
        "nn.BCELoss()",
        cause="reduction",
        inputs=("probabilities", "other probabilities"),
        defaults=("nn.BCELoss reduction", "nn.BCELoss reduction"),
    ),
    Row(
        "BCEWithLogitsLoss",
        "nn.BCEWithLogitsLoss()",
        "nn.BCEWithLogitsLoss()",
        cause="reduction",
        inputs=("matrix", "probabilities"),
    ),
    Row(
        "CrossEntropyLoss",
        "nn.CrossEntropyLoss()",
        "nn.CrossEntropyLoss()",
        "lambda x, t: ops.cross_entropy(x, t.astype(ms.int32))",
        cause="label",
        inputs=("matrix", "labels"),
    ),
    Row(
        "SoftmaxCrossEntropyWithLogits",
        "nn.CrossEntropyLoss()",
        "nn.SoftmaxCrossEntropyWithLogits(sparse=True)",
        "nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction='mean')",
        cause="reduction",
        inputs=("matrix", "labels"),
        defaults=("nn.CrossEntropyLoss reduction", "nn.SoftmaxCrossEntropyWithLogits sparse reduction"),
    ),
    Row(
        "kl_div, batchmean",
        "lambda x, t: F.kl_div(x, t, reduction='batchmean')",
        "lambda x, t: ops.kl_div(x, t, reduction='batchmean')",
        "lambda x, t: (t * (ops.log(t) - x)).sum() / x.shape[0]",
        cause="grad-missing",
        note="no gradient reaches the target",
        inputs=("log probabilities", "probabilities"),
    ),
)

DROPOUT = (
    Row(
        "Dropout, by position",
        "nn.Dropout(0.3)",
        "nn.Dropout(0.3)",
        "nn.Dropout(p=0.3)",
        cause="dropout",
        note="MindSpore's first argument is the share that is kept",
        kind="dropped",
        defaults=("nn.Dropout p", "nn.Dropout keep_prob p"),
    ),
    Row("Dropout, p=", "nn.Dropout(p=0.3)", "nn.Dropout(p=0.3)", cause="dropout", kind="dropped"),
)

_ADAM = "ops.Adam()(p, m, v, 0.9**t, 0.999**t, 0.1, 0.9, 0.999, 1e-8 * (1 - 0.999**t) ** 0.5, {})"
_STEP = "lambda p, m, v, g, t: "

OPTIMIZERS = (
    Row(
        "Adam, defaults",
        "optim.Adam(params)",
        "nn.Adam(params)",
        cause="lr",
        kind="optimizer",
        inputs=("gradients",),
        defaults=("optim.Adam lr betas eps", ""),
    ),
    Row(
        "Adam, eps",
        "optim.Adam(params, lr=0.1)",
        "nn.Adam(params, 0.1)",
        _STEP + _ADAM.format("g"),
        cause="optimizer-eps",
        note="MindSpore adds eps before the bias correction: shows where gradients are tiny",
        kind="optimizer",
        inputs=("faint gradients",),
    ),
    Row(
        "Adam, weight_decay",
        "optim.Adam(params, lr=0.1, weight_decay=0.1)",
        "nn.Adam(params, 0.1, weight_decay=0.1)",
        cause="weight-decay",
        kind="optimizer",
        inputs=("gradients",),
    ),
    Row(
        "Adam, weight_decay of a norm",
        "optim.Adam(params, lr=0.1, weight_decay=0.1)",
        "[setattr(params[0], 'name', 'norm.gamma'), nn.Adam(params, 0.1, weight_decay=0.1)][1]",
        _STEP + _ADAM.format("g + 0.1 * p"),
        cause="weight-decay",
        note="MindSpore's decays no parameter that has gamma or beta in its name, unless it is given in groups",
        kind="optimizer",
        inputs=("gradients",),
    ),
    Row(
        "AdamW",
        "optim.AdamW(params, lr=0.1, weight_decay=0.1)",
        "nn.AdamWeightDecay(params, 0.1, weight_decay=0.1)",
        _STEP + f"[ops.assign(p, p * (1 - 0.1 * 0.1)), {_ADAM.format('g')}]",
        cause="bias-correction",
        note="MindSpore's has no bias correction",
        kind="optimizer",
        inputs=("gradients",),
        defaults=(
            "optim.AdamW lr betas eps weight_decay",
            "nn.AdamWeightDecay learning_rate beta1 beta2 eps weight_decay",
        ),
    ),
    Row(
        "SGD, momentum",
        "optim.SGD(params, lr=0.1, momentum=0.9)",
        "nn.SGD(params, 0.1, momentum=0.9)",
        cause="lr",
        kind="optimizer",
        inputs=("gradients",),
        defaults=("optim.SGD lr dampening", ""),
    ),
    Row(
        "SGD, weight_decay",
        "optim.SGD(params, lr=0.1, weight_decay=0.1)",
        "nn.SGD(params, 0.1, weight_decay=0.1)",
        cause="weight-decay",
        kind="optimizer",
        inputs=("gradients",),
    ),
    Row(
        "RMSprop",
        "optim.RMSprop(params, lr=0.1)",
        "nn.RMSProp(params, 0.1)",
        _STEP + "[ops.assign(v, 0.99 * v + 0.01 * g * g), ops.assign(p, p - 0.1 * g / (ops.sqrt(v) + 1e-8))]",
        cause="betas",
        note="MindSpore's mean of squares starts at 1 and not at 0, and its decay is another",
        kind="optimizer",
        inputs=("gradients",),
        defaults=("optim.RMSprop lr alpha eps", ""),
    ),
)

INITIAL = (
    Row(
        "Conv2d",
        "nn.Conv2d(16, 256, 3)",
        "nn.Conv2d(16, 256, 3, has_bias=True)",
        cause="weight-value",
        kind="initial",
    ),
    Row(
        "ConvTranspose2d",
        "nn.ConvTranspose2d(256, 16, 3, bias=False)",
        "nn.Conv2dTranspose(256, 16, 3)",
        cause="weight-value",
        kind="initial",
    ),
    Row("Linear", "nn.Linear(64, 512)", "nn.Dense(64, 512)", cause="weight-value", kind="initial"),
    Row(
        "Embedding",
        "nn.Embedding(1000, 16)",
        "nn.Embedding(1000, 16)",
        "nn.Embedding(1000, 16, embedding_table=initializer.Normal(1.0))",
        cause="weight-value",
        kind="initial",
    ),
    Row("BatchNorm", "nn.BatchNorm2d(8)", "nn.BatchNorm2d(8)", cause="weight-value", kind="initial"),
)

_CONVERT = "`twinzoo convert` renames and reshapes"

NAMES = (
    Row("Conv2d", "nn.Conv2d(4, 8, 3)", "nn.Conv2d(4, 8, 3, has_bias=True)", kind="names"),
    Row("Conv1d", "nn.Conv1d(4, 8, 3)", "nn.Conv1d(4, 8, 3, has_bias=True)", note=_CONVERT, kind="names"),
    Row("ConvTranspose2d", "nn.ConvTranspose2d(4, 8, 3, bias=False)", "nn.Conv2dTranspose(4, 8, 3)", kind="names"),
    Row("Linear", "nn.Linear(4, 8)", "nn.Dense(4, 8)", kind="names"),
    Row("BatchNorm", "nn.BatchNorm2d(4)", "nn.BatchNorm2d(4)", note=_CONVERT, kind="names"),
    Row(
        "BatchNorm, affine=False",
        "nn.BatchNorm2d(4, affine=False)",
        "nn.BatchNorm2d(4, affine=False)",
        note=_CONVERT,
        kind="names",
    ),
    Row("LayerNorm", "nn.LayerNorm((4,))", "nn.LayerNorm((4,))", note=_CONVERT, kind="names"),
    Row("Embedding", "nn.Embedding(10, 4)", "nn.Embedding(10, 4)", note=_CONVERT, kind="names"),
    Row("PReLU", "nn.PReLU(4)", "nn.PReLU(4)", note=_CONVERT, kind="names"),
)
