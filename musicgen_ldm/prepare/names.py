"""Names of people and works, which must not reach a caption: nobody is to be imitated by name."""

import re
from collections.abc import Iterable

NAME_FIELDS = ("title", "artist", "albumartist", "album", "composer", "performer", "conductor",
               "remixer", "lyricist")  # fmt: skip

_GUEST = re.compile(r"\s*[([]?\b(?:feat|ft|featuring|vs)\b\.?\s*|\s*[;/]\s*", re.IGNORECASE)
_JOINT = re.compile(r"\s+(?:and|with|x|&|\+)\s+|\s*,\s*|\s+-\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^the\s+", re.IGNORECASE)


def name_patterns(names: Iterable[str]) -> list[re.Pattern[str]]:
    """What to look for in a caption, as whole words.

    A name is forbidden whatever the case, and so are the names of several words that it joins
    ("Ana Lima feat. The Low Tides"). A single word out of a name ("Tides") is forbidden as it is
    written there: it may mean something else in a caption. Single characters are no names: they
    would forbid every "a".
    """
    whole = {name.strip() for name in names}
    parts = {part for name in whole for part in _parts(name)} - whole
    anyhow = whole | {part for part in parts if len(part.split()) > 1}
    as_written = {part for part in parts - anyhow if not part.islower()}
    return [
        re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", flags)
        for found, flags in ((anyhow, re.IGNORECASE), (as_written, re.NOFLAG))
        for name in sorted(found)
        if len(name) > 1
    ]


def leaks(text: str, patterns: Iterable[re.Pattern[str]]) -> bool:
    """Whether `text` holds one of the names."""
    return any(pattern.search(text) for pattern in patterns)


def _parts(name: str) -> list[str]:
    """Guests and members that a name is joined from, each without its article."""
    guests = [part.strip(" )]") for part in _GUEST.split(name)]
    members = [part.strip() for guest in guests for part in _JOINT.split(guest)]
    return [bare for part in (*guests, *members) if (bare := _ARTICLE.sub("", part))]
