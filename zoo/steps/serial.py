"""A training step as JSON and back, its hash, and as a table for the terminal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Spec, from_json, spec_hash, to_json
from twinzoo.zoo.spec.show import columns, parameter_count, table
from twinzoo.zoo.steps.optimizer import Optimizer
from twinzoo.zoo.steps.schedule import Schedule
from twinzoo.zoo.steps.step import Carried, Pool, Step, with_draws

_VERSION = 1


def step_to_json(step: Step) -> str:
    """The step as JSON text: the graph as a spec's JSON, and what a step has beyond it."""
    return json.dumps({"twinzoo_step": _VERSION, "graph": json.loads(to_json(step)), **_beyond(step)}, indent=1)


def step_hash(step: Step) -> str:
    """64 hexadecimal digits, equal where everything that `step_to_json` writes is."""
    text = json.dumps([_VERSION, spec_hash(step), _beyond(step)], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def step_from_json(text: str) -> Step:
    """A step from its JSON.

    Raises:
        SpecError: the text is not a step, or one that cannot be drawn.
    """
    try:
        plain = json.loads(text)
        if plain.get("twinzoo_step") != _VERSION:
            raise SpecError(f"this JSON is not a step of version {_VERSION}: {plain.get('twinzoo_step')!r}")
        return _drawn(from_json(json.dumps(plain["graph"])), plain)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise SpecError(f"this JSON is not a step: {type(error).__name__}: {error}") from None


def _beyond(step: Step) -> dict[str, Any]:
    carried = [asdict(item) | {"next": item.next.ref} for item in step.carried.values()]
    return {
        "networks": step.networks,
        "optimizers": [asdict(optimizer) for optimizer in step.optimizers.values()],
        "updates": [{"optimizer": u.optimizer, "loss": u.loss.ref, "after": u.after} for u in step.updates],
        "pools": [asdict(pool) | {"next": pool.next.ref} for pool in step.pools.values()],
        **({"carried": carried} if carried else {}),
    }


def _drawn(graph: Spec, plain: dict[str, Any]) -> Step:
    """The graph drawn again as a step, node by node, with each update in its place."""
    step = Step(graph.name, doc=graph.doc, options=graph.options)
    step.inputs, step.outputs = graph.inputs, graph.outputs
    for role in graph.roles.values():
        made = plain["networks"].get(role.name)
        step.roles[role.name] = (
            step.role(role.name, role.spec) if made is None else step.network(role.name, role.spec, train=bool(made))
        )
    for item in plain["optimizers"]:
        settings: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in item.items() if k not in ("name", "trains")
        }
        settings["schedule"] = Schedule(**settings["schedule"])
        step.optimizer(item["name"], *(step.roles[role] for role in item["trains"]), **settings)
    values = {v.ref: v for node in graph.nodes.values() for v in node.outputs}
    updates = list(plain["updates"])
    for count, node in enumerate(graph.nodes.values(), 1):
        trains = node.op == "call" and step.networks.get(node.attrs["role"], True)
        step.nodes[node.name] = with_draws(node, step.roles[node.attrs["role"]].spec) if trains else node
        while updates and updates[0]["after"] == count:
            item = updates.pop(0)
            step.update(step.optimizers[item["optimizer"]], values[item["loss"]])
    if updates:
        raise SpecError(f"{step.name}: update {updates[0]['optimizer']}: there is no node {updates[0]['after']}")
    step.pools = {item["name"]: Pool(**item | {"next": values[item["next"]]}) for item in plain["pools"]}
    carried = plain.get("carried", [])
    step.carried = {item["name"]: Carried(**item | {"next": values[item["next"]]}) for item in carried}
    return step


def step_table(step: Step) -> str:
    """The step, one line a node with the updates between them, then its networks and optimizers."""
    return "\n".join([_with_updates(step), "", *_networks(step), "", *_optimizers(step)])


def _with_updates(step: Step) -> str:
    lines = table(step).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("---")) + 1 + len(step.inputs)
    for update in reversed(step.updates):
        frozen = step.frozen(update)
        beside = f", {' and '.join(frozen)} frozen" if frozen else ""
        trains = " and ".join(step.optimizers[update.optimizer].trains)
        lines.insert(first + update.after, f"=> {update.optimizer} updates {trains} by {update.loss.ref}{beside}")
    return "\n".join(lines)


def _networks(step: Step) -> list[str]:
    rows = [("network", "model", "mode", "parameters")]
    for role, train in step.networks.items():
        spec = step.roles[role].spec
        rows.append((role, spec.name, "train" if train else "eval", f"{parameter_count(spec):,}"))
    return columns(rows, right=(3,))


def _optimizers(step: Step) -> list[str]:
    head = ("optimizer", "kind", "trains", "lr", "settings", "weight decay", "clip", "schedule")
    return columns([head, *(_settings(optimizer) for optimizer in step.optimizers.values())])


def _settings(o: Optimizer) -> tuple[str, ...]:
    own = f"betas {o.betas[0]}, {o.betas[1]}, eps {o.eps}" if o.kind == "adam" else f"momentum {o.momentum}"
    clip = "" if o.clip is None else str(o.clip)
    return o.name, o.kind, ", ".join(o.trains), str(o.lr), own, str(o.weight_decay or ""), clip, o.schedule.text
