"""Causes before their consequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpudoctor.checks.registry import Check
from gpudoctor.model.finding import Finding


def ordered(findings: Sequence[Finding], checks: Mapping[str, Check]) -> tuple[Finding, ...]:
    """The findings as a list of trees: each cause before its consequences, the worst tree first.

    `caused_by` names the nearest causes only: what explains a cause is told there.
    """
    graph = _Graph(findings, checks)
    return tuple(
        replace(findings[place], caused_by=graph.names_of_causes(place)) for place in graph.walk()
    )


class _Graph:
    """Findings by their place in the list, with their causes."""

    def __init__(self, findings: Sequence[Finding], checks: Mapping[str, Check]) -> None:
        self._findings = findings
        every = range(len(findings))
        after = [checks[f.id].after if f.id in checks else () for f in findings]
        self._causes = [
            [
                other
                for other in every
                if findings[other].id in after[place] and self._related(other, place)
            ]
            for place in every
        ]
        self._ancestors = [self._all_causes(place) for place in every]
        self._nearest = [self._without_indirect(place) for place in every]

    def walk(self) -> list[int]:
        """All places, each tree from its root; what has several causes stands under the last of them."""
        roots = [place for place, causes in enumerate(self._nearest) if not causes]
        result: list[int] = []
        for root in sorted(roots, key=self._rank):
            self._append(root, result)
        return result

    def names_of_causes(self, place: int) -> tuple[str, ...]:
        """The ids of the nearest causes, each once."""
        return tuple(dict.fromkeys(self._findings[cause].id for cause in self._nearest[place]))

    def _append(self, place: int, result: list[int]) -> None:
        result.append(place)
        for child in sorted(self._children(place), key=self._rank):
            if all(cause in result for cause in self._nearest[child]):
                self._append(child, result)

    def _children(self, place: int) -> list[int]:
        return [child for child, causes in enumerate(self._nearest) if place in causes]

    def _rank(self, place: int) -> tuple[int, str, str]:
        finding = self._findings[place]
        return -self._worst(place), finding.id, finding.subject

    def _worst(self, place: int) -> int:
        below = (self._worst(child) for child in self._children(place))
        return max(self._findings[place].severity.rank, *below, 0)

    def _related(self, cause: int, consequence: int) -> bool:
        """A fault of one GPU explains nothing on another GPU; a fault of the machine explains both."""
        subjects = [self._findings[place].subject for place in (cause, consequence)]
        both_gpus = all(subject.startswith("GPU ") for subject in subjects)
        return subjects[0] == subjects[1] or not both_gpus

    def _all_causes(self, place: int) -> set[int]:
        found: set[int] = set()
        waiting = list(self._causes[place])
        while waiting:
            cause = waiting.pop()
            if cause not in found and cause != place:
                found.add(cause)
                waiting += self._causes[cause]
        return found

    def _without_indirect(self, place: int) -> list[int]:
        causes = [cause for cause in self._causes[place] if place not in self._ancestors[cause]]
        return [
            cause
            for cause in causes
            if not any(cause in self._ancestors[other] for other in causes)
        ]
