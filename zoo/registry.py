"""Models and losses by name: a decorator adds one, plug-ins bring theirs through entry points."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, TypeVar

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.graph import Spec, Value
from twinzoo.zoo.spec.schema import Attr

Naming = Callable[..., dict[str, str]]
"""(the model's options) -> node name -> prefix of its keys in a published checkpoint."""

_Draw = TypeVar("_Draw", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """A registered model or loss.

    Attributes:
        draw: (Spec, **options) -> a value, or a mapping of output names to values.
        paper: where it comes from.
        init: the rule of initialisation.
        namings: published key namings, by the name of who published them.
        small: options that make a tiny instance, for tests.
        allowed: what each option accepts; one that is not listed is left to the ops that use it.
    """

    name: str
    kind: str
    draw: Callable[..., Any]
    paper: str
    init: str
    namings: Mapping[str, Naming] = field(default_factory=dict)
    small: Mapping[str, Any] = field(default_factory=dict)
    allowed: Mapping[str, Attr] = field(default_factory=dict)

    @property
    def doc(self) -> str:
        """The docstring of the drawing function, without its indentation."""
        return inspect.cleandoc(self.draw.__doc__ or "")

    @property
    def options(self) -> dict[str, Any]:
        """The options and their defaults."""
        parameters = list(inspect.signature(self.draw).parameters.values())[1:]
        return {p.name: p.default for p in parameters}


MODELS: dict[str, Entry] = {}
LOSSES: dict[str, Entry] = {}
_TABLES = {"model": MODELS, "loss": LOSSES}


def _register(kind: str, name: str, paper: str, init: str, **columns: Any) -> Callable[[_Draw], _Draw]:
    def add(draw: _Draw) -> _Draw:
        if name in MODELS or name in LOSSES:
            raise SpecError(f"{kind} {name}: the name is already registered")
        _TABLES[kind][name] = Entry(name, kind, draw, paper, init, **{k: dict(v or {}) for k, v in columns.items()})
        return draw

    return add


def model(
    name: str,
    *,
    paper: str,
    init: str = "torch",
    namings: Mapping[str, Naming] | None = None,
    small: Mapping[str, Any] | None = None,
    allowed: Mapping[str, Attr] | None = None,
) -> Callable[[_Draw], _Draw]:
    """Register the decorated function, (Spec, **options) -> value(s), as a model; Entry says what the arguments are."""
    return _register("model", name, paper, init, namings=namings, small=small, allowed=allowed)


def loss(
    name: str,
    *,
    paper: str,
    init: str = "torch",
    small: Mapping[str, Any] | None = None,
    allowed: Mapping[str, Attr] | None = None,
) -> Callable[[_Draw], _Draw]:
    """Register the decorated function, (Spec, **options) -> value(s), as a loss; Entry says what the arguments are."""
    return _register("loss", name, paper, init, small=small, allowed=allowed)


_FAMILIES = (
    "models.aodnet",
    "models.patchgan",
    "models.resnet_generator",
    "models.unet",
    "models.vgg",
    "losses.adversarial",
    "losses.perceptual",
    "losses.pixel",
)


@cache
def load() -> tuple[str, ...]:
    """Import every family and every plug-in once; returns one line for each plug-in that failed."""
    for family in _FAMILIES:
        import_module(f"twinzoo.zoo.{family}")
    return (*load_plugins("twinzoo.models"), *load_plugins("twinzoo.losses"))


def load_plugins(group: str) -> list[str]:
    """Load the entry points of a group; a broken one gives a line and leaves the rest working."""
    problems = []
    for point in entry_points(group=group):
        try:
            point.load()
        except Exception as error:  # whatever a stranger's module raises must not take the zoo down
            problems.append(f"plug-in {point.name} ({point.value}, {group}): {type(error).__name__}: {error}")
    return problems


def entry(name: str) -> Entry:
    """The model or loss called `name`.

    Raises:
        SpecError: there is none; near names are suggested.
    """
    load()
    known = MODELS | LOSSES
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "`twinzoo models` lists them"
    raise SpecError(f"no model or loss is called {name!r}: {hint}")


def spec(name: str, **options: Any) -> Spec:
    """Draw a model or loss.

    Raises:
        SpecError: no such name, no such option, or an option that cannot be drawn.
    """
    found = entry(name)
    unknown = [option for option in options if option not in found.options]
    if unknown:
        raise SpecError(f"{name}: unknown option {unknown[0]}: takes {', '.join(found.options) or 'none'}")
    missing = [o for o, v in found.options.items() if v is inspect.Parameter.empty and o not in options]
    if missing:
        raise SpecError(f"{name}: option {missing[0]} is missing")
    given = {option: checked(name, option, value, found.allowed.get(option)) for option, value in options.items()}
    drawn = Spec(name, doc=found.doc, init=found.init, options=found.options | given)
    made = found.draw(drawn, **drawn.options)
    drawn.output(**({"output": made} if isinstance(made, Value) else made))
    return drawn


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
