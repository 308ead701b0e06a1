"""Form: sections, which role plays in which bar, where fills and crashes fall."""

from dataclasses import dataclass
from random import Random

from musicgen_ldm.corpus.score import Role

# Section letters of a piece by kind; "a" and "b" have their own progression.
FORMS: dict[str, tuple[str, ...]] = {
    "band": ("intro a b a", "a b break a b", "a a b break", "b a break b a", "intro a a b outro",
             "a break a b a", "b b a break"),
    "electronic": ("intro a break b a", "a break a b", "b break b a", "intro a b break a",
                   "break a a b", "a b break a outro"),
    "orchestral": ("a b a b", "intro a b a", "b a b outro", "a a b a", "a break b a"),
    "solo": ("a b a b", "a a b a", "b a b a"),
}  # fmt: skip
SHORT_SECTIONS = ("intro", "break", "outro")
# A section should last about this long, so that a clip hears at least one change.
SECTION_SECONDS = 6.5
OPTIONAL_ROLES: tuple[Role, ...] = ("pad", "arpeggio", "percussion", "counter", "lead")
SECTION_FORCE = {"intro": 0.9, "a": 0.97, "b": 1.05, "break": 0.88, "outro": 0.85}


@dataclass(frozen=True, slots=True)
class Bar:
    """What happens in one bar.

    Attributes:
        section: "intro", "a", "b", "break" or "outro".
        position: Bar within the section.
        roles: Roles that play.
        has_fill: Drums lead over into the next section.
        has_crash: Drums open the section with a cymbal.
    """

    section: str
    position: int
    roles: frozenset[Role]
    has_fill: bool
    has_crash: bool


def arrange(
    kind: str, roles: frozenset[Role], bar_seconds: float, total_seconds: float, rng: Random
) -> list[Bar]:
    """Bars of a piece at least `total_seconds` long.

    Args:
        kind: Key of `FORMS`.
        roles: Roles the piece has.
        bar_seconds: Length of a bar.
        total_seconds: Least length; the form is repeated until it is reached.
        rng: Chooses the form, entries and drop-outs.

    Returns:
        Bars in order; each has at least one role.
    """
    unit = min((1, 2, 4, 8), key=lambda bars: abs(bars * bar_seconds - SECTION_SECONDS))
    names = rng.choice(FORMS[kind]).split()
    bars: list[Bar] = []
    index = 0
    while len(bars) * bar_seconds < total_seconds:
        name = names[index % len(names)]
        if name in ("intro", "outro") and index >= len(names):
            name = "a"
        length = max(1, unit // 2) if name in SHORT_SECTIONS else unit
        bars += _section(name, length, roles, kind, index, rng)
        index += 1
    return bars


def _section(
    name: str, length: int, roles: frozenset[Role], kind: str, index: int, rng: Random
) -> list[Bar]:
    full = _playing(name, roles, kind, rng)
    first = _entering(full, rng) if length > 1 and rng.random() < 0.35 else full
    ends_with_fill = "drums" in roles and rng.random() < 0.75
    return [
        Bar(
            section=name,
            position=position,
            roles=first if position < length / 2 else full,
            has_fill=ends_with_fill and position == length - 1,
            has_crash=position == 0 and index > 0 and name in "ab" and rng.random() < 0.6,
        )
        for position in range(length)
    ]


def _entering(roles: frozenset[Role], rng: Random) -> frozenset[Role]:
    """`roles` without one that enters in the middle of the section."""
    late = [role for role in sorted(roles) if role in OPTIONAL_ROLES]
    if not late or len(roles) < 3:
        return roles
    return _never_empty(roles - {rng.choice(late)}, roles)


def _playing(name: str, roles: frozenset[Role], kind: str, rng: Random) -> frozenset[Role]:
    if kind == "solo":
        return roles
    if name in ("intro", "outro"):
        count = rng.randint(2, 4)
        pool = sorted(roles - {"lead", "fx"})
        rng.shuffle(pool)
        chosen = frozenset(pool[:count])
        if name == "outro" and rng.random() < 0.5:
            chosen |= roles & {"lead"}
        return _never_empty(chosen, roles)
    if name == "break":
        return _never_empty(roles - _break_silence(rng), roles)
    silent = {role for role in OPTIONAL_ROLES[:-1] if rng.random() < 0.3}
    if name == "a" and rng.random() < 0.12:
        silent.add("lead")
    # The b section is the fuller one.
    return _never_empty(roles - (silent if name == "a" else set(sorted(silent)[:1])), roles)


def _break_silence(rng: Random) -> set[Role]:
    """Roles that a break leaves out: the rhythm section, the low end, or everything else."""
    draw = rng.random()
    if draw < 0.45:
        return {"drums", "percussion", "counter"}
    if draw < 0.65:
        return {"drums", "percussion", "bass"}
    if draw < 0.85:
        return {"lead", "pad", "comp", "counter"}
    return {"bass", "comp"}


def _never_empty(chosen: frozenset[Role], roles: frozenset[Role]) -> frozenset[Role]:
    """`chosen`, with a pitched role added where none or only drums would be left."""
    pitched: tuple[Role, ...] = ("comp", "arpeggio", "pad", "lead", "bass", "counter")
    if any(role in chosen for role in pitched):
        return chosen
    return chosen | frozenset(role for role in pitched if role in roles and role != "counter")
