"""Chords become notes: voicing styles and voice leading."""

from functools import lru_cache
from itertools import pairwise

from musicgen_ldm.corpus.theory import Chord

STYLES = ("close", "triad", "rootless", "shell", "drop2", "open", "power", "guitar", "octave")
# Below this note (E3) intervals under a third turn to mud.
MUD_BELOW = 52


def lead_voices(
    chord: Chord, style: str, low: int, high: int, centre: float, before: tuple[int, ...]
) -> tuple[int, ...]:
    """The voicing of `chord` that moves least from the one `before`, around `centre`.

    Args:
        chord: Harmony.
        style: One of `STYLES`.
        low: Lowest allowed MIDI note.
        high: Highest allowed MIDI note.
        centre: MIDI note the mean should stay near.
        before: Notes of the last voicing; empty at the start.

    Returns:
        MIDI notes, ascending.
    """
    options = _placements(chord, style, low, high)

    def cost(notes: tuple[int, ...]) -> float:
        drift = abs(sum(notes) / len(notes) - centre)
        if not before:
            return drift
        motion = sum(min(abs(note - old) for old in before) for note in notes)
        return motion / len(notes) + 0.5 * drift

    return min(options, key=cost)


@lru_cache(maxsize=8192)
def _placements(chord: Chord, style: str, low: int, high: int) -> tuple[tuple[int, ...], ...]:
    """Every octave of every form of the chord that fits [low, high] and is not muddy."""
    placed = []
    for shape in _shapes(chord, style):
        for octave in range(-1, 10):
            notes = tuple(sorted(chord.root + 12 * octave + step for step in shape))
            if notes[0] >= low and notes[-1] <= high:
                placed.append(notes)
    clear = [notes for notes in placed if not _is_muddy(notes)]
    return tuple(clear or placed) or (_squeezed(chord, low, high),)


def _is_muddy(notes: tuple[int, ...]) -> bool:
    return any(lower < MUD_BELOW and upper - lower < 4 for lower, upper in pairwise(notes))


def _squeezed(chord: Chord, low: int, high: int) -> tuple[int, ...]:
    """Chord tones folded into a span too narrow for the style."""
    return tuple(sorted({_fold(pc, low, high) for pc in chord.pitch_classes[:3]}))


def _fold(pitch_class: int, low: int, high: int) -> int:
    note = low + (pitch_class - low) % 12
    return min(note, high)


def _shapes(chord: Chord, style: str) -> list[tuple[int, ...]]:
    tones = chord.intervals
    if style == "power":
        return [(0, 7, 12)]
    if style == "octave":
        return [(0, 12)]
    if style == "shell":
        third, guide = tones[1], tones[3] if len(tones) > 3 else tones[-1]
        return [(0, guide, third + 12), (0, third, guide)]
    if style == "guitar":
        third, fifth = (tones[1], tones[2]) if len(tones) > 2 else (12, 7)
        colour = tones[3] if len(tones) > 3 else 12
        full = (0, fifth, colour, third + 12, fifth + 12)
        return [full, full[:4], (0, third, fifth, colour)]
    if style == "rootless" and len(tones) > 3:
        ninth = () if len(tones) > 4 or tones[2] == 6 else (14,)
        return _inversions(tuple(tone for tone in (*tones[1:], *ninth)))
    if style == "triad":
        return _inversions(tones[:3])
    essential = tones if len(tones) <= 4 else (tones[0], tones[1], *tones[3:5])
    close = _inversions(essential)
    if style == "drop2":
        return [tuple(sorted((*s[:-2], s[-2] - 12, s[-1]))) for s in close if len(s) > 2] or close
    if style == "open":
        return [tuple(sorted((s[0], s[1] + 12, *s[2:]))) for s in close if len(s) > 2] or close
    return close


def _inversions(tones: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Close positions of `tones`, each starting on another one."""
    classes = sorted({tone % 12 for tone in tones})
    return [
        tuple(classes[(start + k) % len(classes)] + 12 * ((start + k) // len(classes))
              for k in range(len(classes)))
        for start in range(len(classes))
    ]  # fmt: skip


@lru_cache(maxsize=8192)
def ladder(pitch_classes: tuple[int, ...], low: int, high: int) -> tuple[int, ...]:
    """All notes of the pitch classes within [low, high], ascending."""
    wanted = set(pitch_classes)
    return tuple(note for note in range(low, high + 1) if note % 12 in wanted)


def nearest(notes: tuple[int, ...], target: float) -> int:
    """The entry of `notes` closest to `target`; the lower one on a tie."""
    return min(notes, key=lambda note: (abs(note - target), note))


def fit_octave(pitch: int, low: int, high: int) -> int:
    """`pitch` moved by octaves into [low, high], or to the nearest edge if no octave fits."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return max(pitch, low)
