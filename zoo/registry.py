"""Models, losses and training steps by name: a decorator adds one, plug-ins bring theirs through entry points."""

from __future__ import annotations

import difflib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.graph import Spec, Value
from twinzoo.zoo.spec.schema import Attr
from twinzoo.zoo.steps.step import Step

Naming = Callable[..., dict[str, str]]
"""(the model's options) -> node name -> prefix of its keys in a published checkpoint."""

_Draw = TypeVar("_Draw", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """A registered model, loss or training step.

    Attributes:
        draw: (Spec, or Step for a training step, **options) -> a value, or a mapping of output names to values.
        paper: where it comes from.
        init: the rule of initialisation.
        namings: published key namings, by the name of who published them.
        small: options that make a tiny instance, for tests.
        allowed: what each option accepts; one that is not listed is left to the ops that use it.
        presets: options that are known under a name, as `name.preset`.
        chosen: the options of the preset by which it was looked up.
        task: what it is for: `colorization`, `dehazing` ...; `any` where it serves all.
    """

    name: str
    kind: str
    draw: Callable[..., Any]
    paper: str
    init: str
    namings: Mapping[str, Naming] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    allowed: Mapping[str, Attr] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    chosen: Mapping[str, Any] = field(default_factory=dict)
    task: str = "any"

    @property
    def family(self) -> str:
        """The file that it is in, without its suffix."""
        return self.draw.__module__.rpartition(".")[2]

    @property
    def kind_name(self) -> str:
        """Its kind in words."""
        return "training step" if self.kind == "step" else self.kind

    @property
    def doc(self) -> str:
        """The docstring of the drawing function, without its indentation."""
        return inspect.cleandoc(self.draw.__doc__ or "")

    @property
    def options(self) -> dict[str, Any]:
        """The options and their defaults, the preset's before those of the drawing function."""
        parameters = list(inspect.signature(self.draw).parameters.values())[1:]
        return {p.name: self.chosen.get(p.name, p.default) for p in parameters}


MODELS: dict[str, Entry] = {}
LOSSES: dict[str, Entry] = {}
STEPS: dict[str, Entry] = {}
_TABLES = {"model": MODELS, "loss": LOSSES, "step": STEPS}


def _register(kind: str, name: str, paper: str, init: str, task: str, **columns: Any) -> Callable[[_Draw], _Draw]:
    def add(draw: _Draw) -> _Draw:
        if any(name in table for table in _TABLES.values()):
            raise SpecError(f"{kind} {name}: the name is already registered")
        filled = {column: dict(value or {}) for column, value in columns.items()}
        _TABLES[kind][name] = Entry(name, kind, draw, paper, init, task=task, **filled)
        return draw

    return add


def model(
    name: str,
    *,
    paper: str,
    init: str = "torch",
    task: str = "any",
    namings: Mapping[str, Naming] | None = None,
    small: Mapping[str, Any] | None = None,
    allowed: Mapping[str, Attr] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[_Draw], _Draw]:
    """Register the decorated function, (Spec, **options) -> value(s), as a model; Entry says what the arguments are."""
    return _register("model", name, paper, init, task, namings=namings, small=small, allowed=allowed, presets=presets)


def loss(
    name: str,
    *,
    paper: str,
    init: str = "torch",
    task: str = "any",
    namings: Mapping[str, Naming] | None = None,
    small: Mapping[str, Any] | None = None,
    allowed: Mapping[str, Attr] | None = None,
) -> Callable[[_Draw], _Draw]:
    """Register the decorated function, (Spec, **options) -> value(s), as a loss; Entry says what the arguments are."""
    return _register("loss", name, paper, init, task, namings=namings, small=small, allowed=allowed)


def step(
    name: str,
    *,
    paper: str,
    task: str = "any",
    small: Mapping[str, Any] | None = None,
    allowed: Mapping[str, Attr] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[_Draw], _Draw]:
    """Register the decorated function, (Step, **options) -> losses by name, as a training step."""
    return _register("step", name, paper, "torch", task, small=small, allowed=allowed, presets=presets)


@cache
def load() -> tuple[str, ...]:
    """Import every file of the zoo and every plug-in once; returns one line for each plug-in that failed."""
    problems: list[str] = []
    for folder in ("models", "losses", "steps"):
        package = import_module(f"twinzoo.zoo.{folder}")
        for module in pkgutil.iter_modules(package.__path__):
            import_module(f"{package.__name__}.{module.name}")
        problems += load_plugins(f"twinzoo.{folder}")
    return tuple(problems)


def load_plugins(group: str) -> list[str]:
    """Load the entry points of a group; a broken one gives a line and leaves the rest working."""
    problems = []
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # whatever a stranger's module raises must not take the zoo down
            problems.append(f"plug-in {point.name} ({point.value}, {group}): {type(error).__name__}: {error}")
    return problems


def matching(table: Mapping[str, Entry], pattern: str = "*") -> list[str]:
    """The names in a table and `name.preset` of each preset, sorted, of those that a shell pattern fits."""
    load()
    names = [*table, *(f"{name}.{preset}" for name, found in table.items() for preset in found.presets)]
    return sorted(name for name in names if fnmatchcase(name, pattern))


def entry(name: str) -> Entry:
    """The model or loss called `name`, or `name.preset` with the preset's options as defaults.

    Raises:
        SpecError: there is none; near names are suggested.
    """
    load()
    return _found(name, MODELS | LOSSES, "model or loss", "`twinzoo models` lists them")


def step_entry(name: str) -> Entry:
    """The training step called `name`, or `name.preset` with the preset's options as defaults.

    Raises:
        SpecError: there is none; near names are suggested.
    """
    load()
    return _found(name, STEPS, "training step", f"there are {', '.join(STEPS)}")


def any_entry(name: str) -> Entry:
    """The model, loss or training step called `name`, or `name.preset` with the preset's options as defaults.

    Raises:
        SpecError: there is none; near names are suggested.
    """
    load()
    return _found(name, MODELS | LOSSES | STEPS, "model, loss or training step", "`twinzoo models` lists them")


def is_step(name: str) -> bool:
    """Whether a training step is called so, with or without a preset."""
    load()
    return name.partition(".")[0] in STEPS


def near(given: str, known: Iterable[str]) -> str:
    """`did you mean a or b?` of the known words that are near or have the given one in them; empty where none is."""
    words = list(known)
    inside = [word for word in words if len(given) > 2 and given in word]
    found = list(dict.fromkeys([*inside, *difflib.get_close_matches(given, words, n=3, cutoff=0.6)]))[:3]
    return f"did you mean {' or '.join(found)}?" if found else ""


def _found(name: str, known: Mapping[str, Entry], kind: str, otherwise: str) -> Entry:
    base, dot, preset = name.partition(".")
    if base in known and not dot:
        return known[base]
    if base in known and preset in known[base].presets:
        return replace(known[base], chosen=known[base].presets[preset])
    if base in known:
        presets = [f"{base}.{preset}" for preset in known[base].presets]
        hint = near(name, presets) or (f"there are {', '.join(presets)}" if presets else "it has no presets")
        raise SpecError(f"{base}: no preset is called {preset!r}: {hint}")
    everything = MODELS | LOSSES | STEPS
    if base in everything:
        raise SpecError(f"{name!r} is a {everything[base].kind_name}, not a {kind}")
    hint = near(name, matching(known) if dot else known) or near(name, everything) or otherwise
    raise SpecError(f"no {kind} is called {name!r}: {hint}")


def spec(name: str, **options: Any) -> Spec:
    """Draw a model or loss.

    Raises:
        SpecError: no such name, no such option, or an option that cannot be drawn.
    """
    found = entry(name)
    return _drawn(found, Spec(found.name, doc=found.doc, init=found.init, options=_complete(found, options)))


def training_step(name: str, **options: Any) -> Step:
    """Draw a training step.

    Raises:
        SpecError: no such name, no such option, or an option that cannot be drawn.
    """
    found = step_entry(name)
    return _drawn(found, Step(found.name, doc=found.doc, options=_complete(found, options)))


def _complete(found: Entry, options: Mapping[str, Any]) -> dict[str, Any]:
    name = found.name
    unknown = [option for option in options if option not in found.options]
    if unknown:
        hint = near(unknown[0], found.options)
        listed = ", ".join(found.options) or "none"
        raise SpecError(f"{name}: unknown option {unknown[0]}: takes {listed}" + (f"; {hint}" if hint else ""))
    missing = [o for o, v in found.options.items() if v is inspect.Parameter.empty and o not in options]
    if missing:
        raise SpecError(f"{name}: option {missing[0]} is missing")
    given = {option: checked(name, option, value, found.allowed.get(option)) for option, value in options.items()}
    return found.options | given


_Drawn = TypeVar("_Drawn", bound=Spec)


def _drawn(found: Entry, blank: _Drawn) -> _Drawn:
    made = found.draw(blank, **blank.options)
    blank.output(**({"output": made} if isinstance(made, Value) else made))
    return blank


def checked(name: str, option: str, value: Any, allowed: Attr | None) -> Any:
    """The option's value in its one form.

    Raises:
        SpecError: it is not what the option accepts.
    """
    if allowed is None:
        return tuple(value) if isinstance(value, list) else value
    try:
        return allowed.normal(value)
    except ValueError:
        raise SpecError(f"{name}: {option}={value!r}: must be {allowed.allowed}") from None
