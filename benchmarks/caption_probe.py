"""What a denoiser could hear of a caption: the facts that a small network learns from CLAP vectors.

    python benchmarks/caption_probe.py CLAP MANIFEST PROMPTS [--clips 5000] [--steps 300 2000]

CLAP is a checkpoint or the run folder of a `clap` stage. A network as the denoiser has it (a
projection that starts whitened, SiLU, one linear classifier a question) learns facts of the
training clips from one caption each, and then names what held-out prompts (PROMPTS as `corpus
prompts` writes them) ask for. What it cannot name, no denoiser with this CLAP obeys.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from musicgen_ldm.data.facts import Answers, answers, bpm_class
from musicgen_ldm.data.manifest import read_manifest
from musicgen_ldm.models.clap import ClapEmbedder
from musicgen_ldm.training.clap_facts import FactClasses, FactHeads, fact_loss, facts_named
from musicgen_ldm.training.clap_folder import load_clap

WIDTH = 384  # of pocket's condition
FLOOR = 0.001  # of the variances when whitening, as in configs/pocket/ldm.yaml
LEARNING_RATE = 4e-4
BATCH = 64


def asked(prompt: dict) -> Answers:
    """Facts that a prompt asks for."""
    wanted = prompt["asked"]
    found: Answers = {
        "genre": (wanted["genre"],),
        "lead": (wanted["lead"],),
        "tempo": (wanted["tempo_word"],),
        "bpm": (wanted["bpm"] and bpm_class(wanted["bpm"]),),
        "key": (wanted["key"],),
    }
    return {question: right for question, right in found.items() if right[0]}


def embed(clap: ClapEmbedder, sentences: list[str]) -> Tensor:
    """Unit vectors (n, D)."""
    batches = [sentences[start : start + BATCH] for start in range(0, len(sentences), BATCH)]
    return torch.cat([clap.text(batch) for batch in batches])


def whitening(vectors: Tensor) -> nn.Linear:
    """A projection to WIDTH that starts as a random rotation of whitened vectors (n, D)."""
    mean = vectors.mean(dim=0)
    _, singular, directions = torch.linalg.svd(vectors - mean, full_matrices=False)
    deviations = (singular.square() + FLOOR * singular[0].square()).sqrt()
    layer = nn.Linear(vectors.shape[1], WIDTH)
    rotation = nn.init.orthogonal_(torch.empty(WIDTH, len(singular)))
    weight = rotation @ (directions / deviations[:, None])
    weight /= ((vectors - mean) @ weight.T).std()
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(-weight @ mean)
    return layer


def effective_rank(vectors: Tensor) -> float:
    """Exponential of the entropy of the shares of variance."""
    variance = torch.linalg.svdvals(vectors - vectors.mean(dim=0)).square()
    return float(torch.special.entr(variance / variance.sum()).sum().exp())


def main() -> None:
    """Print a line for each number of steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clap")
    parser.add_argument("manifest")
    parser.add_argument("prompts")
    parser.add_argument("--clips", type=int, default=5000)
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 2000])
    args = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    clips = [c for c in read_manifest(args.manifest) if c.split == "train" and c.captions]
    clips = clips[: args.clips]
    prompts = [json.loads(line) for line in Path(args.prompts).read_text().splitlines()]
    clap = load_clap(args.clap)
    vectors = embed(clap, [str(rng.choice(clip.captions)) for clip in clips])
    held_out = embed(clap, [prompt["prompt"] for prompt in prompts])
    print(f"effective rank of {len(vectors)} captions: {effective_rank(vectors):.1f}")

    known = [answers(clip) for clip in clips]
    classes = FactClasses(known)
    targets = classes.targets(known)
    wanted = classes.targets([asked(prompt) for prompt in prompts])
    heads = FactHeads(classes, WIDTH)
    heads.scale = 1.0  # hidden units are of unit size already
    network = nn.Sequential(whitening(vectors), nn.SiLU(), heads)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    for step in range(1, max(args.steps) + 1):
        rows = torch.from_numpy(rng.integers(len(vectors), size=BATCH))
        batch = {question: table[rows] for question, table in targets.items()}
        fact_loss(network(vectors[rows]), batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        if step in args.steps:
            with torch.no_grad():
                named = facts_named(network(held_out), wanted)
            print(f"{step} steps:", ", ".join(f"{q} {100 * s:.0f} %" for q, s in named.items()))


if __name__ == "__main__":
    main()
