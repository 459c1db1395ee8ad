"""CUDA_VISIBLE_DEVICES by CUDA's rules: which GPU each token selects, and why the list ends.

The rules are those of the CUDA Programming Guide (environment variables) and of the MIG User Guide;
what these leave open and others have run is "observed", the rest "unverified".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gpudoctor.host.device_order import cuda_order
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.readings import MigInstance
from gpudoctor.model.visible import Standing, Token, TokenOutcome, Visibility, VisibleDevice

VARIABLE = "CUDA_VISIBLE_DEVICES"
_INTEGER = re.compile(r"^(\s*)([+-]?)([0-9]+)(.*)$", re.DOTALL)
_PLAIN_UUID = re.compile(r"^GPU-[0-9a-f-]*$")
_MIG_PATH = re.compile(r"^MIG-(GPU-[0-9a-f-]+)/([0-9]{1,9})/([0-9]{1,9})$")
_WORDS = {"all", "none", "void"}
_END_OF_INT = 1 << 31
_MOST_DIGITS = 100


@dataclass(frozen=True, slots=True)
class _Pick:
    """What one token leads to: a GPU or an instance, or None where it ends the list."""

    reason: str
    standing: Standing
    gpu: GpuRow | None = None
    instance: MigInstance | None = None

    @property
    def uuid(self) -> str | None:
        if self.instance is not None:
            return self.instance.uuid
        return None if self.gpu is None else self.gpu.facts.uuid


def resolve(environ: Mapping[str, str], gpus: Sequence[GpuRow]) -> Visibility:
    """What CUDA enumerates in a process with this environment on a machine with these GPUs."""
    order = cuda_order(gpus, environ.get("CUDA_DEVICE_ORDER"))
    value = environ.get(VARIABLE)
    if value is None:
        picks = [
            _whole(gpu, "the variable is unset: all GPUs", order.standing) for gpu in order.gpus
        ]
        tokens: list[Token] = []
    else:
        picks, tokens = _read(value, order.gpus, order.standing)
        if environ.get("CUDA_MPS_PIPE_DIRECTORY"):
            picks, tokens = _through_mps(value, picks)
    picks, tokens = _single_instance(picks, tokens)
    standings = [pick.standing for pick in picks] + [token.standing for token in tokens]
    return Visibility(
        visible=tuple(device(pick.gpu, pick.instance, number) for number, pick in _numbered(picks)),
        tokens=tuple(tokens),
        value=value,
        device_order=order.name,
        standing=min(standings, key=lambda item: item.rank, default=Standing.DOCUMENTED),
        notes=order.notes if value is None or _uses_indices(value) else (),
    )


def _numbered(picks: Sequence[_Pick]) -> list[tuple[int, _Pick]]:
    return list(enumerate(pick for pick in picks if pick.gpu is not None))


def device(gpu: GpuRow | None, instance: MigInstance | None, ordinal: int | None) -> VisibleDevice:
    """A GPU, or an instance of it, as it stands at an ordinal."""
    assert gpu is not None
    facts = gpu.facts
    if instance is None:
        return VisibleDevice(ordinal, facts.index, facts.uuid, facts.pci_bus_id, facts.name)
    return VisibleDevice(
        ordinal,
        facts.index,
        instance.uuid,
        facts.pci_bus_id,
        instance.name or facts.name,
        facts.uuid,
        instance.gpu_instance,
        instance.compute_instance,
    )


def _uses_indices(value: str) -> bool:
    return any(_INTEGER.match(text) for text in value.split(","))


def _read(
    value: str, order: Sequence[GpuRow], standing: Standing
) -> tuple[list[_Pick], list[Token]]:
    """Read the list up to its first invalid element."""
    if value == "":
        reason = "the variable is set and empty: no GPU"
        return [], [Token("", TokenOutcome.ENDS, reason, Standing.DOCUMENTED)]
    texts = value.split(",")
    kind = _kind(texts[0])
    picks: list[_Pick] = []
    tokens: list[Token] = []
    for position, text in enumerate(texts):
        pick = _pick(text, kind, order, standing)
        if pick.gpu is None:
            rest = texts[position + 1 :]
            tokens.append(Token(text, TokenOutcome.ENDS, pick.reason, _end_standing(pick, texts)))
            tokens += [
                Token(later, TokenOutcome.NOT_READ, "the list has ended before", pick.standing)
                for later in rest
            ]
            break
        picks.append(pick)
        tokens.append(_selected(text, pick, len(picks) - 1))
    return _without_duplicates(picks, tokens)


def _selected(text: str, pick: _Pick, ordinal: int) -> Token:
    assert pick.gpu is not None
    index = pick.gpu.facts.index
    outcome = TokenOutcome.SELECTED
    return Token(text, outcome, pick.reason, pick.standing, ordinal, index, pick.uuid)


def _end_standing(pick: _Pick, texts: Sequence[str]) -> Standing:
    # Nobody has published whether duplicates are looked for before or after the list is cut.
    return Standing.UNVERIFIED if len(set(texts)) < len(texts) else pick.standing


def _kind(text: str) -> str:
    return "MIG" if text.startswith("MIG-") else "GPU" if text.startswith("GPU-") else "index"


def _pick(text: str, kind: str, order: Sequence[GpuRow], standing: Standing) -> _Pick:
    if _kind(text) != kind:
        if kind == "index" or _kind(text) == "index":
            reason = "indices and UUIDs do not mix: the list ends at the other kind"
            return _Pick(reason, Standing.UNVERIFIED)
        return _Pick("GPU and MIG names do not mix", Standing.UNVERIFIED)
    if kind == "index":
        return _by_index(text, order, standing)
    return _by_uuid(text, order) if kind == "GPU" else _by_instance(text, order)


def _by_index(text: str, order: Sequence[GpuRow], standing: Standing) -> _Pick:
    match = _INTEGER.match(text)
    if match is None:
        return _Pick(_no_number(text), Standing.UNVERIFIED)
    blanks, sign, digits, tail = match.groups()
    if len(digits) > _MOST_DIGITS:
        return _Pick("a number without end is no GPU: the list ends here", Standing.UNVERIFIED)
    number = -int(digits) if sign == "-" else int(digits)
    odd = bool(blanks or tail or sign == "+" or (sign == "-" and number == 0))
    odd = odd or (len(digits) > 1 and digits[0] == "0") or abs(number) >= _END_OF_INT
    if odd:
        standing = _odd_standing(blanks, sign, digits, tail)
    if number < 0:
        return _Pick(f"{number} is no GPU: the list ends here", _weaker(standing, odd))
    if number >= len(order):
        many = f"there are {len(order)} (0 to {len(order) - 1})" if order else "there is no GPU"
        return _Pick(f"there is no GPU {number}: {many}", _weaker(standing, odd))
    reading = f"read as {number}, " if odd else ""
    return _whole(order[number], f"{reading}index {number} in CUDA's order", standing)


def _weaker(standing: Standing, odd: bool) -> Standing:
    """Where the list ends, the order of the GPUs does not matter, only how the text is read."""
    return standing if odd else Standing.DOCUMENTED


def _odd_standing(blanks: str, sign: str, digits: str, tail: str) -> Standing:
    """`1abc` and `0-2` have been run, other spellings have not."""
    seen = not blanks and not sign and re.match(r"[A-Za-z]|-[0-9]", tail)
    # 0x1 would be 1 if the number were read in C's own base.
    plain = len(digits) == 1 and not tail.startswith(("x", "X"))
    return Standing.OBSERVED if seen and plain else Standing.UNVERIFIED


def _no_number(text: str) -> str:
    word = text.strip().lower()
    if word in _WORDS:
        return f"'{word}' is a word of NVIDIA_VISIBLE_DEVICES; CUDA reads no number in it"
    if not word:
        return "an empty element is no number: the list ends here"
    if word.startswith(("gpu-", "mig-")):
        return (
            "a name that does not begin with GPU- or MIG- exactly is read as a number, and is none"
        )
    return "neither a number nor a GPU- or MIG- name: the list ends here"


def _whole(gpu: GpuRow, reason: str, standing: Standing) -> _Pick:
    """A GPU; where it is in MIG mode, CUDA gives its first instance instead."""
    if not gpu.mig.enabled:
        return _Pick(reason, standing, gpu)
    if not gpu.mig.instances:
        return _Pick(f"{reason}: in MIG mode without an instance", Standing.UNVERIFIED)
    first = min(gpu.mig.instances, key=lambda part: (part.gpu_instance, part.compute_instance))
    return _Pick(f"{reason}: in MIG mode, so its first instance", standing, gpu, first)


def _by_uuid(text: str, order: Sequence[GpuRow]) -> _Pick:
    found = [gpu for gpu in order if gpu.facts.uuid.startswith(text)]
    if len(found) == 1:
        whole = text == found[0].facts.uuid
        pick = _whole(
            found[0], "its UUID" if whole else "its UUID, abbreviated", Standing.DOCUMENTED
        )
        return replace(pick, standing=Standing.UNVERIFIED) if pick.instance else pick
    if len(found) > 1:
        indices = ", ".join(str(gpu.facts.index) for gpu in found)
        return _Pick(f"ambiguous: GPUs {indices} begin so", Standing.DOCUMENTED)
    plain = bool(_PLAIN_UUID.match(text)) and len(text) <= len("GPU-") + 36
    standing = Standing.DOCUMENTED if plain else Standing.UNVERIFIED
    hint = "" if text == text.strip() else " (blanks count)"
    return _Pick(f"no GPU's UUID begins so{hint}", standing)


def _by_instance(text: str, order: Sequence[GpuRow]) -> _Pick:
    path = _MIG_PATH.match(text)
    if path:
        return _by_path(path[1], int(path[2]), int(path[3]), order)
    pairs = [(gpu, part) for gpu in order for part in gpu.mig.instances]
    found = [(gpu, part) for gpu, part in pairs if part.uuid.startswith(text)]
    if len(found) != 1:
        many = "ambiguous" if found else "no MIG instance of that name"
        return _Pick(many, Standing.UNVERIFIED)
    gpu, part = found[0]
    if part.uuid == text:
        return _Pick("its MIG UUID", Standing.DOCUMENTED, gpu, part)
    return _Pick("its MIG UUID, abbreviated", Standing.UNVERIFIED, gpu, part)


def _by_path(name: str, gi: int, ci: int, order: Sequence[GpuRow]) -> _Pick:
    gpus = [gpu for gpu in order if gpu.facts.uuid.startswith(name)]
    if len(gpus) != 1:
        return _Pick("no single GPU of that UUID", Standing.UNVERIFIED)
    for part in gpus[0].mig.instances:
        if (part.gpu_instance, part.compute_instance) == (gi, ci):
            whole = gpus[0].facts.uuid == name
            standing = Standing.DOCUMENTED if whole else Standing.OBSERVED
            return _Pick(f"GPU instance {gi}, compute instance {ci}", standing, gpus[0], part)
    return _Pick(f"GPU {gpus[0].facts.index} has no instance {gi}/{ci}", Standing.UNVERIFIED)


def _without_duplicates(picks: list[_Pick], tokens: list[Token]) -> tuple[list[_Pick], list[Token]]:
    """The same GPU twice hides every GPU."""
    seen: dict[str | None, str] = {}
    for position, pick in enumerate(picks):
        text = tokens[position].text
        if pick.uuid not in seen:
            seen[pick.uuid] = text
            continue
        same = seen[pick.uuid] == text
        standing = Standing.OBSERVED if same else Standing.UNVERIFIED
        reason = f"the same GPU as {seen[pick.uuid]}: a duplicate hides every GPU"
        rows = [
            replace(token, outcome=TokenOutcome.DROPPED, ordinal=None)
            for token in tokens[:position]
        ]
        rows.append(Token(text, TokenOutcome.EMPTIES, reason, _weakest(standing, tokens)))
        rows += [
            Token(token.text, TokenOutcome.NOT_READ, "the list is emptied before", standing)
            for token in tokens[position + 1 :]
        ]
        return [], rows
    return picks, tokens


def _weakest(standing: Standing, tokens: Sequence[Token]) -> Standing:
    return min((standing, *(token.standing for token in tokens)), key=lambda item: item.rank)


def _single_instance(picks: list[_Pick], tokens: list[Token]) -> tuple[list[_Pick], list[Token]]:
    """A process sees one MIG instance, and no whole GPU beside it."""
    first = next((pick for pick in picks if pick.instance is not None), None)
    if first is None or len(picks) == 1:
        return picks, tokens
    kept = False
    rows = []
    for token in tokens:
        if token.outcome is not TokenOutcome.SELECTED:
            rows.append(token)
        elif token.uuid == first.uuid and not kept:
            kept = True
            rows.append(replace(token, ordinal=0))
        else:
            reason = "CUDA gives a process one MIG instance and nothing beside it"
            rows.append(replace(token, outcome=TokenOutcome.DROPPED, reason=reason, ordinal=None))
    return [first], rows


def _through_mps(value: str, served: Sequence[_Pick]) -> tuple[list[_Pick], list[Token]]:
    """Under MPS the list selects among the GPUs that the server has, numbered anew from 0."""
    gpus = [pick.gpu for pick in served if pick.gpu is not None]
    picks, tokens = _read(value, gpus, Standing.UNVERIFIED)
    return (
        [replace(pick, standing=Standing.UNVERIFIED) for pick in picks],
        [replace(token, standing=Standing.UNVERIFIED) for token in tokens],
    )
