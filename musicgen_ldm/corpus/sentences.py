"""The small language of caption templates, and English around it.

{slot}              a word or phrase; a template whose slots are unknown is not used
[ with {slot}]      an optional part
(a|b)               a choice
{lead:plays|play}   a verb that agrees with the lead instrument
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

OPTION = re.compile(r"\[([^\]]*)\]")
CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")
SLOT = re.compile(r"\{(\w+)\}")
VERB = re.compile(r"\{lead:(\w+)\|(\w+)\}")
KEEP_OPTION = 0.55

WORD = re.compile(r"[\w'&-]+")
# Words that may stand twice in one caption.
SMALL_WORDS = frozenset(
    (
        *("a", "an", "and", "are", "at", "by", "for", "in", "is", "it", "no", "of", "on", "or"),
        *("the", "through", "to", "what", "with", "without", "partway"),
        *("acoustic", "bass", "chip", "drum", "drums", "electric", "electronic", "guitar", "lead"),
        *("pad", "piano", "string", "strings", "synth", "flat", "major", "minor", "sharp"),
    )
)


@dataclass(frozen=True)
class Choices:
    """Independent random choices for one caption, each by its own name.

    Why: swapping one fact must not disturb how the rest of the sentence is said, so every choice
    hangs on its own name and not on how many were made before it.
    """

    seed: int

    def fraction(self, name: str) -> float:
        """The number in [0, 1) that belongs to `name`."""
        digest = blake2b(f"{self.seed} {name}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / 2**48

    def pick(self, name: str, options: Sequence[T]) -> T:
        """One of `options`, which must not be empty."""
        return options[int(self.fraction(name) * len(options))]

    def chance(self, name: str, probability: float) -> bool:
        """True with `probability`."""
        return self.fraction(name) < probability


def slots_of(template: str) -> frozenset[str]:
    """Slots that must be known before `template` can be used."""
    required = OPTION.sub("", template)
    agreement = {"a_lead"} if VERB.search(required) else set()
    return frozenset(SLOT.findall(required)) | agreement


def fill(
    template: str,
    knows: Callable[[str], bool],
    say: Callable[[str], str],
    is_plural: bool,
    choices: Choices,
) -> str:
    """`template` with its options decided and its slots said.

    Args:
        template: Pattern of the module's language.
        knows: Whether a slot can be said.
        say: What a slot says; called only for known slots.
        is_plural: Whether the lead instrument takes a plural verb.
        choices: Random choices of this caption.
    """

    def option(match: re.Match[str]) -> str:
        part = match.group(1)
        known = all(knows(slot) for slot in SLOT.findall(part))
        return part if known and choices.chance(f"option {match.start()}", KEEP_OPTION) else ""

    def choice(match: re.Match[str]) -> str:
        return choices.pick(f"choice {match.start()}", match.group(1).split("|"))

    text = OPTION.sub(option, template)
    text = CHOICE.sub(choice, text)
    text = VERB.sub(lambda match: match.group(2 if is_plural else 1), text)
    return polish(SLOT.sub(lambda match: say(match.group(1)), text))


def polish(text: str) -> str:
    """Spaces, articles and capitals put right; a text with a full stop counts as sentences."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\s+([,.;?])", r"\1", text)
    # The chord A before "and", or before "in" a key, is no article.
    text = re.sub(r"\b([Aa])n? (?!and\b|in\b)(?=([\w'&#-]+))", _article, text)
    if text[-1:] in ".?":
        text = re.sub(r"(^|[.?] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)
    return text


def _article(match: re.Match[str]) -> str:
    return f"{match.group(1)}{'n' if sounds_vowel(match.group(2)) else ''} "


def sounds_vowel(word: str) -> bool:
    """Whether `word` begins with a vowel sound: "an 808", "an R&B track", "a ukulele"."""
    if word[0].isdigit():
        return word[0] == "8" or re.match(r"1[18](?!\d)", word) is not None
    if re.match(r"(?i)(?:uk|uni|use|ukulele|eur|one)", word):
        return False
    spelled = re.match(r"[A-Z]{2,}(?![a-z])|[A-Z]&|mbira", word) is not None
    return word[0].upper() in ("AEFHILMNORSX" if spelled else "AEIOU")


def listing(items: Sequence[str]) -> str:
    """`items` as English lists them: "piano, bass and drums"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def reads_well(text: str) -> bool:
    """No word twice in a row and no word of weight twice at all."""
    words = [word.lower() for word in WORD.findall(text)]
    if any(first == second for first, second in pairwise(words)):
        return False
    heavy = [word for word in words if word not in SMALL_WORDS and not word.isdigit()]
    return len(heavy) == len(set(heavy))
