"""The registry of rules, and the running of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gpudoctor.model.profile import Profile, ProfileFinding

RuleFunction = Callable[[Profile], Iterator[ProfileFinding]]
_RULES: dict[str, RuleFunction] = {}


def rule(name: str) -> Callable[[RuleFunction], RuleFunction]:
    """Register a function as the rule `name`."""

    def register(function: RuleFunction) -> RuleFunction:
        _RULES[name] = function
        return function

    return register


def rules() -> dict[str, RuleFunction]:
    """All rules by name; imports the files that hold them."""
    package = __name__.rpartition(".")[0]
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{package}.{module.name}")
    return dict(sorted(_RULES.items()))


def findings(profile: Profile) -> tuple[ProfileFinding, ...]:
    """What all rules say about `profile`: errors first, and of equal severity the most costly first."""
    found = [finding for function in rules().values() for finding in function(profile)]
    return tuple(
        sorted(found, key=lambda one: (-one.severity.rank, -(one.gain_seconds or 0.0), one.id))
    )
