"""The ways of matching in the order in which they are tried; the first that places every tensor wins.

Names, graphs, running both models, order; what a table decides is decided. Where no way is whole, the one that places
most is what the refusal shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from twinzoo.converters.forms import idle, regroup
from twinzoo.converters.graph import Graph
from twinzoo.converters.layers import Layer
from twinzoo.converters.matching.concats import reordered_inputs
from twinzoo.converters.matching.differences import differences
from twinzoo.converters.matching.graphs import GraphMatch, match_graphs
from twinzoo.converters.matching.names import by_names, idle_norms
from twinzoo.converters.matching.order import by_order
from twinzoo.converters.matching.probe import AGREES, APART, Prober, assignments
from twinzoo.converters.matching.proposal import Proposal
from twinzoo.converters.matching.table import Table
from twinzoo.converters.matching.tensors import Match, matched
from twinzoo.converters.matching.views import INSTANCE_NORM
from twinzoo.converters.result import Tie
from twinzoo.converters.sides import Side, known_model

_NAMES_MISLEAD = "the names say one thing and the graphs another"
_NO_CHOICE = "alike in kind, shape and surroundings"


class Finder:
    """One search for the place of every tensor.

    Args:
        allow: patterns of keys that may stay without a counterpart.
        inputs: what live models are run on.
        table: what a person has decided.
    """

    def __init__(
        self, source: Side, target: Side, allow: tuple[str, ...] = (), inputs: Any = None, table: Table | None = None
    ) -> None:
        self.source, self.target, self.allow, self.inputs = source, target, allow, inputs
        self.table = table or Table()

    def find(self) -> Match:
        """The first whole match, or the fullest of those that are not."""
        tried: list[Match] = []
        for match in self._matches():
            if match.complete(self.allow):
                return match
            tried.append(match)
        return max(tried, key=lambda match: (len(match.pairs), len(match.ambiguous), -len(match.unused)))

    def differences(self) -> list[str]:
        """What one network has and the other has not, a line each."""
        target = self.target.target()
        return differences(self.source.layers, target.layers, self._graphs())

    def _matches(self) -> Iterator[Match]:
        named = list(self._by_names())
        whole = [(proposal, match) for proposal, match in named if match.complete(self.allow)]
        if whole:
            yield self._agreed(whole)
            return
        yield from (match for _, match in named)
        graphs = self._graphs()
        if graphs is not None:
            yield from self._by_graph(*graphs)
        else:
            yield self._by_order()

    def _matched(
        self,
        proposal: Proposal,
        sources: Mapping[str, Layer],
        targets: Mapping[str, Layer],
        statistics: Iterable[str] = (),
    ) -> Match:
        """The tensors of a proposal, the table's decisions before it, and what needs no place after it."""
        decided = {target: (source, "map") for target, source in self.table.layers.items()}
        match = matched(replace(proposal, places=proposal.places | decided), sources, targets, statistics)
        self.table.settle(match, sources, targets)
        self._drop_aliases(match)
        return match

    def _drop_aliases(self, match: Match) -> None:
        first = dict(self.source.aliases)
        used = {first.get(pair.source, pair.source): pair.source for pair in match.pairs}
        for key in list(match.unused):
            same = used.get(first.get(key, key))
            if same is not None:
                match.unused.remove(key)
                match.dropped[key] = f"the same tensor as {same}"

    def _by_names(self) -> Iterator[tuple[Proposal, Match]]:
        target = self.target.target()
        sources, targets = regroup(self.source.layers, target.layers)
        grouped = {name: name for name in targets if name not in target.layers}
        namings = {naming: {**prefixes, **grouped} for naming, prefixes in target.namings.items()}
        goal = replace(target, layers=targets, namings=namings)
        free, wanted = self.table.undecided(sources, targets)
        for proposal in by_names(free, replace(goal, layers=wanted)):
            statistics = idle_norms(sources, goal, proposal)
            yield proposal, self._matched(proposal, sources, targets, statistics)

    def _agreed(self, whole: list[tuple[Proposal, Match]]) -> Match:
        """The match that all namings agree on, or a tie between them or with the graphs."""
        proposal, first = whole[0]
        for other, match in whole[1:]:
            if {pair[:2] for pair in match.pairs} != {pair[:2] for pair in first.pairs}:
                reason = f"the {proposal.naming} and the {other.naming} naming both fit and disagree"
                return replace(first, ambiguous=[_disagreement(proposal, other.places, reason)])
        graphs = self._graphs() if self._both_live() else None
        return first if graphs is None else self._against_names(proposal, first, *graphs)

    def _against_names(self, proposal: Proposal, named: Match, source: Graph, target: Graph) -> Match:
        """What the names say, unless the graphs say otherwise and running both models proves them right."""
        anchors = {ours: theirs for theirs, (ours, _) in proposal.places.items()}
        free = match_graphs(source, target)
        if not free.whole or match_graphs(source, target, anchors).whole:
            return named
        by_graph = next(self._by_graph(source, target))
        if by_graph.complete(self.allow):
            prober = Prober(self.source.model, self.target.model, self.inputs)
            off = prober.distance(by_graph.values)
            if off <= AGREES and prober.distance(named.values) > APART * off:
                return replace(by_graph, pairs=[pair._replace(how="probe") for pair in by_graph.pairs])
        places = {theirs: (ours, "graph") for ours, theirs in free.layers.items()}
        return replace(named, ambiguous=[_disagreement(proposal, places, _NAMES_MISLEAD)])

    def _graphs(self) -> tuple[Graph, Graph] | None:
        """Both flows of data, where both are known."""
        target = self.target.graph(self.inputs)
        if target is None:
            return None
        if self.source.graph(self.inputs) is None:
            self.source = known_model(self.source)
        source = self.source.graph(self.inputs)
        return None if source is None else (source, target)

    def _both_live(self) -> bool:
        return self.source.model is not None and self.target.model is not None

    def _by_graph(self, source: Graph, target: Graph) -> Iterator[Match]:
        anchors = {ours: theirs for theirs, ours in self.table.layers.items()}
        found = match_graphs(source, target, anchors)
        proposal = Proposal(places={theirs: (ours, "graph") for ours, theirs in found.layers.items()})
        proposal.symmetric = [tuple(group) for group in found.symmetric]
        proposal.blocks, blocked = reordered_inputs(source, target, found)
        if found.whole:
            proposal.idle_sources = _idle(source, set(found.layers))
            proposal.idle_targets = _idle(target, set(found.layers.values()))
        if blocked:
            proposal.ambiguous.append(blocked)
        elif found.tied and self._both_live():
            proposal = self._probed(proposal, found, source, target)
        placed = {source for source, _ in proposal.places.values()} | set(self.table.layers.values())
        ties = [(names, others) for names, others in found.tied if not placed.issuperset(names)]
        proposal.ambiguous += [Tie(tuple(names), tuple(others), _NO_CHOICE) for names, others in ties]
        yield self._matched(proposal, source.layers, target.layers)

    def _probed(self, proposal: Proposal, found: GraphMatch, source: Graph, target: Graph) -> Proposal:
        """The tied layers in the places where both models compute the same; as it was where that decides nothing."""
        ties = [(names, others) for names, others in found.tied if len(names) == len(others)]
        prober = Prober(self.source.model, self.target.model, self.inputs)
        trials = []
        for places in assignments(ties):
            trial = replace(proposal, places=proposal.places | {t: (s, "probe") for t, s in places.items()})
            trials.append((prober.distance(matched(trial, source.layers, target.layers).values), trial))
        best, winner = min(trials, key=lambda trial: trial[0])
        others = [off for off, _ in trials if off > AGREES]
        return winner if best <= AGREES and all(off > APART * best for off in others) else proposal

    def _by_order(self) -> Match:
        target = self.target.target()
        sources, targets = self.table.undecided(self.source.layers, target.layers)
        proposal = by_order(sources, replace(target, layers=targets), self.allow)
        return self._matched(proposal, self.source.layers, target.layers)


def _idle(graph: Graph, placed: set[str]) -> list[str]:
    """The instance norms that found no partner, though the whole network did."""
    return [n for n, layer in graph.layers.items() if n not in placed and layer.kind == INSTANCE_NORM and idle(layer)]


def _disagreement(proposal: Proposal, other: Mapping[str, tuple[str, str]], reason: str) -> Tie:
    targets = [t for t, (source, _) in proposal.places.items() if other.get(t, (source, ""))[0] != source]
    return Tie(tuple(proposal.places[t][0] for t in targets), tuple(targets), reason)
