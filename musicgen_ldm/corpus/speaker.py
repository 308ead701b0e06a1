"""Saying one caption: what each slot of a template means for the facts of a clip."""

from collections.abc import Callable
from functools import cached_property

from musicgen_ldm.corpus.facts import Facts
from musicgen_ldm.corpus.instruments import INSTRUMENTS
from musicgen_ldm.corpus.sentences import SLOT, Choices, fill, listing, slots_of
from musicgen_ldm.corpus.vocabulary import (
    GENERIC_NOUNS,
    GenreWords,
    Phrases,
    Vocabulary,
    bare,
    is_plural,
)
from musicgen_ldm.data.manifest import Tags

MOST_TAGS, FEWEST_TAGS = 7, 3
MOST_LISTED = 4
ENSEMBLES = ("strings", "choir", "pizzicato strings", "brass section")
TRAITS = ("tempo", "sound", "density", "brightness", "space", "swing")
FLAT_OR_SHARP = {"b": " flat", "#": " sharp"}


class Speaker:
    """Says the slots of one template about one clip.

    Every slot is decided once, so a word said twice is the same word twice.
    """

    def __init__(
        self,
        tags: Tags,
        facts: Facts,
        template: str,
        *,
        split: str,
        choices: Choices,
        vocabulary: Vocabulary,
    ) -> None:
        self.tags, self.facts, self.template = tags, facts, template
        self.split, self.choices, self.vocabulary = split, choices, vocabulary
        self.slots = frozenset(SLOT.findall(template)) | slots_of(template)
        self._tellers: dict[str, Callable[[], str | None]] = {
            "genre": self._genre, "piece": self._piece, "mood": self._mood, "bpm": self._bpm,
            "key": self._key, "meter": lambda: self.tags.meter, "lead": self._lead,
            "a_lead": self._a_lead, "backing": self._backing, "band": self._band,
            "drums": self._drums, "event": self._event, "chords": self._chords, "use": self._use,
            "tags": self._tags,
        }  # fmt: skip
        self._said: dict[str, str | None] = {}

    def caption(self) -> str | None:
        """The template said about the clip, or None where it needs what is not known."""
        if not all(self.knows(slot) for slot in slots_of(self.template)):
            return None
        plural = is_plural(self.lead_phrase or "a")
        return fill(self.template, self.knows, self.say, plural, self.choices)

    def knows(self, slot: str) -> bool:
        """Whether there is anything to say for `slot`."""
        return bool(self._tell(slot))

    def say(self, slot: str) -> str:
        """Words for a known `slot`."""
        return self._tell(slot) or ""

    def _tell(self, slot: str) -> str | None:
        if slot not in self._said:
            teller = self._tellers.get(slot)
            self._said[slot] = teller() if teller else self._trait(slot)
        return self._said[slot]

    def _pick(self, name: str, phrases: Phrases) -> str:
        pools = phrases.of_split(self.split)
        return self.choices.pick(name, self.choices.pick(f"pool {name}", pools))

    @cached_property
    def genre_words(self) -> GenreWords | None:
        """Words of the genre; of a solo only where the lexicon has some."""
        if self.tags.genre is None:
            return None
        if self.facts.kind == "solo":
            return self.vocabulary.genres.get(self.tags.genre)
        return self.vocabulary.genre(self.tags.genre)

    def _genre(self) -> str | None:
        return self._pick("genre", self.genre_words.style) if self.genre_words else None

    def _piece(self) -> str | None:
        if self.facts.kind == "solo":
            lead = self._lead()
            return self._solo_piece(lead) if lead else None
        if self.genre_words is None:
            return self.choices.pick("piece", GENERIC_NOUNS)
        return self._pick("piece", self.genre_words.piece)

    def _solo_piece(self, lead: str) -> str:
        """Many players are no soloist: "a piece for strings alone"."""
        if is_plural(lead) or self.facts.lead in ENSEMBLES:
            return f"{self._solo_noun()} for {lead} alone"
        forms = (f"{lead} solo", f"solo {lead} piece", f"{self._solo_noun()} for solo {lead}")
        return self.choices.pick("piece", forms)

    def _solo_noun(self) -> str:
        return self._pick("noun", self.genre_words.piece) if self.genre_words else "piece"

    def _mood(self) -> str | None:
        mood = self.tags.mood
        return self._pick("mood", self.vocabulary.moods[mood]) if mood else None

    def _use(self) -> str | None:
        mood = self.tags.mood
        return self._pick("use", self.vocabulary.uses[mood]) if mood else None

    def _bpm(self) -> str | None:
        if self.tags.bpm is None or self.facts.felt_bpm is None:
            return None
        unit = self.choices.pick("bpm unit", ("BPM", "bpm"))
        return f"{self.tags.bpm:.0f} {unit}"

    def _key(self) -> str | None:
        tonic, mode = self.tags.key, self.tags.mode
        if tonic is None or mode in (None, "none"):
            return None
        if self.choices.chance("spell key", 0.5):
            tonic = tonic[0] + "".join(FLAT_OR_SHARP[sign] for sign in tonic[1:])
        return f"{tonic} {mode}"

    @cached_property
    def lead_phrase(self) -> str | None:
        """The lead instrument with its article."""
        return self._instrument(self.facts.lead) if self.facts.lead else None

    def _instrument(self, name: str) -> str:
        role = "lead" if name == self.facts.lead else name
        return self._pick(f"instrument {role}", self.vocabulary.instruments[name])

    def _a_lead(self) -> str | None:
        return self.lead_phrase

    def _lead(self) -> str | None:
        return bare(self.lead_phrase) if self.lead_phrase else None

    def _backing_phrases(self) -> list[str]:
        """The loudest few others, in random order; drums are left to their own slot."""
        names = [
            name
            for name in self.facts.backing
            if "drums" not in self.slots or INSTRUMENTS[name].family != "drums"
        ]
        kept = names[: self.choices.pick("listed", range(1, MOST_LISTED + 1))]
        ranked = sorted(kept, key=lambda name: self.choices.fraction(f"order {name}"))
        return list(dict.fromkeys(self._instrument(name) for name in ranked))

    def _listed(self, phrases: list[str]) -> str | None:
        if not phrases:
            return None
        is_sentence = self.template.rstrip("]").endswith((".", "?"))
        if not is_sentence and self.choices.chance("bare list", 0.6):
            phrases = [bare(phrase) for phrase in phrases]
        return listing(phrases)

    def _backing(self) -> str | None:
        return self._listed(self._backing_phrases())

    def _band(self) -> str | None:
        lead = [self.lead_phrase] if self.lead_phrase else []
        return self._listed([*lead, *self._backing_phrases()])

    def _drums(self) -> str | None:
        if self.facts.has_drums:
            return self._pick("drums", self.vocabulary.traits["drums"]["present"])
        if any(INSTRUMENTS[name].family == "percussion" for name in self.facts.instruments):
            return None
        return self._pick("drums", self.vocabulary.traits["drums"]["absent"])

    def _event(self) -> str | None:
        if not self.facts.events:
            return None
        event = self.choices.pick("which event", self.facts.events)
        return self._pick("event", self.vocabulary.traits["events"][event])

    def _chords(self) -> str | None:
        return listing(self.facts.chords) if self.facts.chords else None

    def _trait(self, trait: str) -> str | None:
        value = {
            "tempo": self.facts.tempo_word,
            "density": self.facts.density,
            "brightness": self.facts.brightness,
            "space": self.facts.space,
            "swing": "swung" if self.facts.is_swung else None,
            "sound": self._sound(),
        }[trait]
        return self._pick(trait, self.vocabulary.traits[trait][value]) if value else None

    def _sound(self) -> str | None:
        if self.facts.kind == "electronic":
            return "electronic"
        return "acoustic" if self.facts.is_acoustic else None

    def _tags(self) -> str | None:
        """A few attributes in random order, none that the template says elsewhere."""
        atoms: dict[str, str | None] = {
            slot: self._tell(slot)
            for slot in ("genre", "mood", "bpm", "key", *TRAITS)
            if slot not in self.slots
        }
        if self.tags.meter != "4/4" and "meter" not in self.slots:
            atoms["meter"] = self.tags.meter
        if not self.facts.has_drums and "drums" not in self.slots:
            atoms["drums"] = self._drums()
        if self.genre_words and self.genre_words.family.say:
            atoms["family"] = self._pick("family", self.genre_words.family)
        if not self.slots & {"lead", "a_lead", "band"}:
            for name in self.facts.instruments[:MOST_LISTED]:
                role = "lead" if name == self.facts.lead else name
                atoms[f"instrument {role}"] = bare(self._instrument(name))
        known = {name: atom for name, atom in atoms.items() if atom}
        ranked = sorted(known, key=lambda name: self.choices.fraction(f"tag {name}"))
        size = self.choices.pick("tag count", range(FEWEST_TAGS, MOST_TAGS + 1))
        return ", ".join(known[name] for name in ranked[:size]) or None
