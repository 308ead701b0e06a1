"""Zero-shot accuracy and retrieval of a CLAP on held-out clips."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen_ldm.data.facts import answers
from musicgen_ldm.data.manifest import Clip

EmbedText = Callable[[list[str]], Tensor]

# A class is the mean of several sentences, so that no single wording decides.
TEMPLATES = {
    "genre": ("{}", "a {} track", "{} music"),
    "instrument": ("{}", "music with {}", "a piece played on {}"),
    "tempo": ("{} music", "a {} tempo", "a {} piece of music"),
}


def class_labels(clip: Clip) -> dict[str, tuple[str, ...]]:
    """Names that count as right for a clip, by attribute; empty where unknown."""
    known = answers(clip)
    return {
        attribute: tuple(name.replace("-", " ") for name in known.get(attribute, ()))
        for attribute in TEMPLATES
    }


def class_embeddings(attribute: str, classes: Sequence[str], embed: EmbedText) -> Tensor:
    """One unit vector per class, (number of classes, D)."""
    templates = TEMPLATES[attribute]
    sentences = [template.format(name) for name in classes for template in templates]
    vectors = embed(sentences).unflatten(0, (len(classes), len(templates)))
    return F.normalize(vectors.mean(dim=1), dim=1)


def zero_shot(audio: Tensor, clips: Sequence[Clip], embed: EmbedText) -> dict[str, float]:
    """Share of clips whose nearest class sentence is true of them, by attribute.

    Args:
        audio: (n, D).
        clips: The n clips.
        embed: Sentences to unit vectors.

    Returns:
        "genre", "instrument" (any that sounds) and "tempo"; those with two classes at least.
    """
    labels = [class_labels(clip) for clip in clips]
    scores = {}
    for attribute in TEMPLATES:
        classes = sorted({name for label in labels for name in label[attribute]})
        known = [row for row, label in enumerate(labels) if label[attribute]]
        if len(classes) < 2:
            continue
        vectors = class_embeddings(attribute, classes, embed)
        nearest = (audio[known] @ vectors.T).argmax(dim=1).tolist()
        hits = [
            classes[column] in labels[row][attribute]
            for row, column in zip(known, nearest, strict=True)
        ]
        scores[attribute] = sum(hits) / len(hits)
    return scores


def recall_at(query: Tensor, target: Tensor, groups: Tensor, k: int) -> float:
    """Share of queries with a positive among their `k` nearest targets.

    Captions repeat in a corpus, so everything of the query's group is a positive.

    Args:
        query: (n, D).
        target: (n, D).
        groups: (n,) integers, equal for equal captions.
        k: Depth; cut to n.
    """
    nearest = (query @ target.T).topk(min(k, len(target)), dim=1).indices
    hits = groups[nearest] == groups[:, None]
    return float(hits.any(dim=1).float().mean())


def preference(audio: Tensor, text: Tensor, negatives: Tensor, mask: Tensor) -> float:
    """Share of true captions that lie nearer to their clip than each of its false ones.

    Args:
        audio: (n, D).
        text: (n, D).
        negatives: (n, K, D).
        mask: (n, K).
    """
    true = (audio * text).sum(dim=1, keepdim=True)
    false = torch.einsum("nd,nkd->nk", audio, negatives).masked_fill(~mask, -torch.inf)
    judged = mask.any(dim=1)
    return float((true > false).all(dim=1)[judged].float().mean())
