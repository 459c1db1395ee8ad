"""The table of checks. A check is a generator from a context to findings, registered by a decorator."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal

from gpudoctor.checks.context import CheckContext
from gpudoctor.model.finding import Finding, Severity

ENTRY_POINTS = "gpudoctor.checks"
# Modules that hold no checks.
_NOT_CHECKS = frozenset(
    {"registry", "context", "runner", "order", "gather", "make", "select", "versions"}
)
_OF_PYTHON = frozenset({"python", "torch", "cuda torch", "packages"})
_LOG = logging.getLogger(__name__)

CheckFunction = Callable[[CheckContext], Iterator[Finding]]
Tier = Literal["A", "B", "C", "D", "I"]


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check.

    `tier` is how often the problem is met (A: every week, D: seldom or only a matter of speed, I:
    worth knowing). `severity` is the worst that it reports. `after` names the checks whose findings,
    if there are any, are the cause of this one's. `needs` are facts without which it does not apply,
    `uses` facts that it only looks at where they are told.
    """

    id: str
    title: str
    needs: tuple[str, ...]
    tier: Tier
    severity: Severity
    sources: tuple[str, ...]
    after: tuple[str, ...]
    explanation: str
    run: CheckFunction
    uses: tuple[str, ...] = ()

    @property
    def asks_python(self) -> bool:
        """Whether it looks at the interpreter under test, which takes by far the longest to ask."""
        return not _OF_PYTHON.isdisjoint(self.needs + self.uses)

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]


_CHECKS: dict[str, Check] = {}


def check(
    id: str,  # noqa: A002 - the name that a reader of the decorator expects
    *,
    title: str,
    needs: tuple[str, ...],
    tier: Tier,
    severity: Severity,
    sources: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    uses: tuple[str, ...] = (),
) -> Callable[[CheckFunction], CheckFunction]:
    """Register the decorated generator; its docstring explains it to the user (`--explain`).

    Raises:
        ValueError: the id is taken, has no group, or there is no explanation.
    """

    def register(function: CheckFunction) -> CheckFunction:
        if id in _CHECKS or "." not in id:
            raise ValueError(f"the check id {id!r} is taken or has no group")
        explanation = " ".join((function.__doc__ or "").split())
        if not explanation:
            raise ValueError(f"the check {id} has no docstring")
        _CHECKS[id] = Check(
            id, title, needs, tier, severity, sources, after, explanation, function, uses
        )
        return function

    return register


def registered() -> tuple[Check, ...]:
    """All checks, by id. Imports the modules of this package and of the installed plugins."""
    from gpudoctor import checks
    from gpudoctor.checks import script

    for package in (checks, script):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name not in _NOT_CHECKS and not module.ispkg:
                importlib.import_module(f"{package.__name__}.{module.name}")
    _import_plugins()
    return tuple(sorted(_CHECKS.values(), key=lambda entry: entry.id))


def _import_plugins() -> None:
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception:  # noqa: BLE001 - a broken plugin must not take the other checks with it
            _LOG.exception("the plugin %s of checks cannot be loaded", point.name)
