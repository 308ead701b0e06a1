"""Facts that a CLAP vector shall tell: linear heads name genre, tempo, key, … from either tower.

Why: contrast alone keeps what tells the clips of a batch apart, so key and exact tempo vanish from
a caption's vector, and a denoiser cannot obey what it is not told (docs/decisions/0018).

Letters: B clips, D embedding, C classes of a question.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from musicgen_ldm.data.facts import Answers
from musicgen_ldm.errors import TrainingError

FactTargets = dict[str, Tensor]


class FactClasses:
    """The questions that a set of clips answers, and all answers to each.

    Args:
        known: Answers of every training clip.

    Raises:
        TrainingError: If they tell no clip from another.
    """

    def __init__(self, known: Sequence[Answers]) -> None:
        found: dict[str, set[str]] = {}
        for answers in known:
            for question, names in answers.items():
                found.setdefault(question, set()).update(names)
        # A question with one answer teaches nothing.
        self.names = {q: sorted(found[q]) for q in sorted(found) if len(found[q]) > 1}
        if not self.names:
            raise TrainingError(
                "facts_weight is set, but the manifest's tags (genre, mood, instruments, bpm, key) "
                "are the same for all clips; add tags, or set facts_weight=0"
            )

    def targets(self, batch: Sequence[Answers]) -> FactTargets:
        """Distributions (B, C) by question: even over the right answers, zeros where unknown."""
        targets = {}
        for question, names in self.names.items():
            rows = torch.tensor(
                [[name in answers.get(question, ()) for name in names] for answers in batch]
            ).float()
            targets[question] = rows / rows.sum(dim=1, keepdim=True).clamp(min=1)
        return targets


class FactHeads(nn.Module):
    """One linear classifier a question, the same for sounds and sentences.

    Args:
        classes: Questions and answers.
        embedding_dim: D.
    """

    def __init__(self, classes: FactClasses, embedding_dim: int) -> None:
        super().__init__()
        self.scale = embedding_dim**0.5  # entries of a unit vector are as small as 1 / sqrt(D)
        self.heads = nn.ModuleDict(
            {question: nn.Linear(embedding_dim, len(n)) for question, n in classes.names.items()}
        )

    def forward(self, embedding: Tensor) -> dict[str, Tensor]:
        """Logits (B, C) by question, of unit vectors (B, D)."""
        return {question: head(self.scale * embedding) for question, head in self.heads.items()}


def fact_loss(logits: Mapping[str, Tensor], targets: FactTargets) -> Tensor:
    """Cross-entropy in nats: mean over the clips that answer a question, then over questions."""
    losses = []
    for question, wanted in targets.items():
        likelihood = logits[question].float().log_softmax(dim=1)
        answered = wanted.any(dim=1).sum().clamp(min=1)
        losses.append(-(wanted * likelihood).sum() / answered)
    return torch.stack(losses).mean()


def facts_named(logits: Mapping[str, Tensor], targets: FactTargets) -> dict[str, float]:
    """Share of clips whose likeliest answer is right, by question that some clip answers."""
    shares: dict[str, float] = {}
    for question, wanted in targets.items():
        answered = wanted.any(dim=1)
        if answered.any():
            right = wanted.gather(1, logits[question].argmax(dim=1, keepdim=True)) > 0
            shares[question] = float(right[answered].float().mean())
    return shares
