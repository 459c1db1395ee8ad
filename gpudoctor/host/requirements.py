"""The wheels that the installed torch was published with, against those that are installed.

Reads the part of the packaging standards (requirement lines, markers, version specifiers) that
wheels of torch and NVIDIA use; what it does not understand is answered with None, never with a guess.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gpudoctor.model.probe import Package, Pin

_REQUIREMENT = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^]]*)\])?\s*"
    r"\(?(?P<specifier>[^;)]*)\)?\s*(?:;(?P<marker>.*))?$"
)
_CLAUSE = re.compile(r"^(===|==|!=|~=|<=|>=|<|>)\s*(\S+)$")
_VERSION = re.compile(r"^v?(\d{1,18}(?:\.\d{1,18})*)(.*)$")
_WANTED = ("nvidia-", "triton", "pytorch-triton", "cuda-")
_VERSIONS = {"python_version", "python_full_version", "platform_release"}
_ORDER: dict[str, Callable[[object, object], bool]] = {
    "<": operator.lt,  # type: ignore[dict-item]
    "<=": operator.le,  # type: ignore[dict-item]
    ">": operator.gt,  # type: ignore[dict-item]
    ">=": operator.ge,  # type: ignore[dict-item]
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One parsed requirement line."""

    name: str
    extras: tuple[str, ...]
    specifier: str
    marker: str | None


def parse(line: str) -> Requirement | None:
    """A line such as `nvidia-cublas==13.1.0.3; platform_system == "Linux"`."""
    match = _REQUIREMENT.match(line)
    if match is None:
        return None
    extras = tuple(_normal(item) for item in (match["extras"] or "").split(",") if item.strip())
    marker = (match["marker"] or "").strip() or None
    return Requirement(_normal(match["name"]), extras, match["specifier"].strip(), marker)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def pins(
    requirements: Mapping[str, Sequence[str]],
    markers: Mapping[str, str],
    packages: Sequence[Package],
) -> tuple[Pin, ...]:
    """What torch, and the meta package that it goes through, require of NVIDIA's and Triton's wheels."""
    installed = {package.name: package.version for package in packages}
    rows: list[Pin] = []
    waiting: list[tuple[str, tuple[str, ...]]] = [("torch", ())]
    seen = {"torch"}
    while waiting:
        owner, extras = waiting.pop(0)
        for line in requirements.get(owner, ()):
            wanted = parse(line)
            if wanted is None or not wanted.name.startswith(_WANTED):
                continue
            if not applies(wanted.marker, markers, extras):
                continue
            rows.append(_pin(wanted, owner, installed.get(wanted.name)))
            if wanted.name in requirements and wanted.name not in seen:
                seen.add(wanted.name)
                waiting.append((wanted.name, wanted.extras))
    # cuda-toolkit names a wheel anew under each of its extras.
    return tuple(dict.fromkeys(rows))


def _pin(wanted: Requirement, owner: str, installed: str | None) -> Pin:
    met = satisfies(installed, wanted.specifier) if installed else False
    return Pin(wanted.name, wanted.specifier, owner, installed, met)


def applies(marker: str | None, values: Mapping[str, str], extras: Sequence[str] = ()) -> bool:
    """Whether a marker holds. One that cannot be read counts as not holding: it yields no claim."""
    if marker is None:
        return True
    try:
        tree = ast.parse(marker.strip(), mode="eval").body
        return any(_holds(tree, {**values, "extra": extra}) for extra in (*extras, ""))
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # also NUL, and nesting
        return False


def _holds(node: ast.expr, values: Mapping[str, str]) -> bool:
    if isinstance(node, ast.BoolOp):
        answers = (_holds(part, values) for part in node.values)
        return all(answers) if isinstance(node.op, ast.And) else any(answers)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = _value(node.left, values), _value(node.comparators[0], values)
        if left is None or right is None:
            return False
        names = {part.id for part in (node.left, node.comparators[0]) if isinstance(part, ast.Name)}
        return _compare(node.ops[0], left, right, bool(names & _VERSIONS))
    return False


def _value(node: ast.expr, values: Mapping[str, str]) -> str | None:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return values.get(node.id) if isinstance(node, ast.Name) else None


def _compare(op: ast.cmpop, left: str, right: str, version: bool) -> bool:
    if isinstance(op, ast.In):
        return left in right
    if isinstance(op, ast.NotIn):
        return left not in right
    signs = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
    sign = signs.get(type(op))
    if sign is None:
        return False
    if version or sign not in ("==", "!="):
        return satisfies(left, sign + right) is True
    return (left == right) == (sign == "==")


def satisfies(version: str, specifier: str) -> bool | None:
    """Whether `version` meets a specifier such as `==12.8.*,>=12.8.1`; None where it cannot be told."""
    clauses = [clause.strip() for clause in specifier.split(",") if clause.strip()]
    answers = [_meets(version, clause) for clause in clauses]
    if False in answers:
        return False
    return None if None in answers else True


def _meets(version: str, clause: str) -> bool | None:
    match = _CLAUSE.match(clause)
    if match is None:
        return None
    sign, wanted = match.groups()
    if sign == "===":
        return version == wanted
    if sign in ("==", "!="):
        equal = _equal(version, wanted)
        return None if equal is None else equal == (sign == "==")
    mine, theirs = _parts(version), _parts(wanted)
    if mine is None or theirs is None:
        return None
    if sign == "~=":
        prefix = theirs[0][:-1]
        return mine[0] >= theirs[0] and mine[0][: len(prefix)] == prefix
    left, right = _padded(mine[0], theirs[0])
    if left == right and mine[1] != theirs[1]:
        return None
    return _ORDER[sign](left, right)


def _equal(version: str, wanted: str) -> bool | None:
    mine = _parts(version)
    prefix = wanted.endswith(".*")
    theirs = _parts(wanted.removesuffix(".*"))
    if mine is None or theirs is None:
        return None
    if prefix:
        padded, _ = _padded(mine[0], theirs[0])
        return padded[: len(theirs[0])] == theirs[0]
    left, right = _padded(mine[0], theirs[0])
    return left == right and mine[1] == theirs[1]


def _parts(version: str) -> tuple[tuple[int, ...], str] | None:
    """The numbers of a version and what follows them; a local part (`+cpu`) does not count."""
    match = _VERSION.match(version.strip().partition("+")[0])
    if match is None:
        return None
    return tuple(int(part) for part in match[1].split(".")), match[2].lstrip(".-_").lower()


def _padded(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    size = max(len(left), len(right))
    return left + (0,) * (size - len(left)), right + (0,) * (size - len(right))
