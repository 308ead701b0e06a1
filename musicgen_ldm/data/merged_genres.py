"""Which genres count as one when music is judged by its genre.

Ten seconds do not tell a listener minimal from acid techno. The merging is a matter of the judge
and not of the captions, so it stands in one table, `merged_genres.yaml`, that can be read and
changed without training or building anything again.
"""

from functools import lru_cache
from importlib import resources

import yaml


def merged_genre(name: str) -> str:
    """The merged genre of a genre; one that the table does not name stands for itself."""
    return _table().get(name, name)


@lru_cache(maxsize=1)
def _table() -> dict[str, str]:
    text = resources.files(__package__).joinpath("merged_genres.yaml").read_text(encoding="utf-8")
    groups: dict[str, list[str]] = yaml.safe_load(text)
    return {name: group for group, names in groups.items() for name in names}
