"""Names that are no weights but a training run's own: what MindSpore's optimizers and callbacks save beside a network.

A name alone proves nothing, since a network may have an attribute called `moments`. What is taken for an optimizer's is
a name that repeats another key of the file behind one of the words below, and only where everything behind that word
does so; and single numbers under the exact names that MindSpore gives them.
"""

import re
from collections.abc import Mapping

from twinzoo.converters.files.entries import Entry

_SLOTS = (  # Parameter.clone(prefix=...) of nn, mint and experimental optimizers: `<word>.<name>`, of the same shape
    *("moments", "moment1", "moment2", "vhat", "adam_m", "adam_v", "lamb_m", "lamb_v", "accum", "accum_update"),
    *("mean_grad", "mean_square", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buf", "step_size"),
)
_COMMON_SLOTS = ("moment", "linear", "prev", "stat", "ax", "ax_")  # words that networks use as well
_JOINED = ("exp_avg_sq_row_", "exp_avg_sq_col_", "exp_avg_sq_", "mu_", "eta_")  # `<word><name>`, of another shape
_COUNTERS = ("global_step", "state_step")  # every optimizer has one of them
_NUMBERS = re.compile(
    "|".join(_COUNTERS) + r"|beta[12]_power|learning_rate|epoch_num|step_num|batch_num|afactor_step"
    r"|scale_sense|current_iterator_step|last_overflow_iterator_step"
)
_COMMON_NUMBERS = re.compile(r"momentum|weight_decay|learning_rate_group_\d+")


def training_state(entries: Mapping[str, Entry]) -> frozenset[str]:
    """The names that belong to a training run and to no network."""
    counted = any(name in entries and entries[name].size == 1 for name in _COUNTERS)
    found = {name for name, entry in entries.items() if entry.size == 1 and _NUMBERS.fullmatch(name)}
    for word in _SLOTS + (_COMMON_SLOTS if counted else ()):
        found |= _repeating(entries, f"{word}.")
    if counted:
        found |= {name for name in entries if _COMMON_NUMBERS.fullmatch(name) or name == "learning_rate"}
        found |= {name for name in entries for word in _JOINED if _rest(name, word) in entries}
    return frozenset(found)


def _repeating(entries: Mapping[str, Entry], prefix: str) -> set[str]:
    """All names with this prefix, where each repeats the name and the shape of another tensor."""
    names = {name for name in entries if name.startswith(prefix)}
    repeated = all(
        (rest := _rest(name, prefix)) in entries and entries[rest].shape == entries[name].shape for name in names
    )
    return names if repeated else set()


def _rest(name: str, prefix: str) -> str:
    return name.removeprefix(prefix) if name.startswith(prefix) else ""
