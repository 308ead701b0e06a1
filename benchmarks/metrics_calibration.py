"""Do the metrics say what they should on music whose truth is known?

    musicgen-ldm corpus build data/calibration --preset test --clips 300 --seed 41
    python benchmarks/metrics_calibration.py data/calibration [--embedder logmel,chroma] [--clips N]

Prints, for every embedder: the floor (one half of the corpus against the other), the same with
noise at 30, 20, 10 and 0 dB (must rise), one kind of music alone (wrong genre), for a CLAP the
true and the shuffled captions, and how many planted copies of each kind the novelty measures
find at a false alarm of 5 % on clips that were not trained on.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from musicgen_ldm import bank as banks
from musicgen_ldm.audio import Waveform, read_audio
from musicgen_ldm.bank import Bank
from musicgen_ldm.data.manifest import Clip
from musicgen_ldm.metrics import alignment, frechet, kernel, text_audio
from musicgen_ldm.metrics.checks import Array
from musicgen_ldm.metrics.clips import open_source
from musicgen_ldm.metrics.embedders import Embedder, TextEmbedder, cut_windows, load_embedder
from musicgen_ldm.metrics.moments import GroupedMoments
from musicgen_ldm.metrics.presets import V1

NOISE_DB = (None, 30, 20, 10, 0)
MIX_DB = -6.0
# Shift and place of the excerpt fall between the windows of every embedder, as in real life.
EXCERPT_S, EXCERPT_AT_S, SHIFT_S, TRANSPOSITION = 3.0, 1.3, 2.37, 2
NUM_COPIES = 24
ALARM_QUANTILE = 0.95
Sounds = Sequence[Waveform]


def windows_of(sounds: Sounds, embedder: Embedder) -> tuple[Array, Array]:
    """Frames (F, D) and the clip of each."""
    frames, clips = [], []
    for index, sound in enumerate(sounds):
        prepared = V1.prepare(sound).resampled(embedder.sample_rate)
        found = embedder(cut_windows(prepared.mono, embedder)).frames
        frames.append(found.reshape(-1, found.shape[-1]).astype(np.float64))
        clips += [index] * len(frames[-1])
    return np.concatenate(frames), np.array(clips)


def with_noise(sound: Waveform, snr_db: float | None, rng: np.random.Generator) -> Waveform:
    """White noise at a signal-to-noise ratio; None adds nothing."""
    if snr_db is None:
        return sound
    noise = rng.standard_normal(sound.samples.shape)
    level = np.sqrt((sound.samples**2).mean() / 10 ** (snr_db / 10))
    return Waveform(sound.samples + level * noise, sound.sample_rate)


def report_distances(sounds: Sounds, clips: Sequence[Clip], embedder: Embedder) -> None:
    """Floor, noise and wrong genre."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(sounds))
    half = len(sounds) // 2
    ref = windows_of([sounds[i] for i in order[:half]], embedder)
    ref_stats = GroupedMoments.of(*ref)
    bandwidth = kernel.median_bandwidth(ref[0], np.random.default_rng(0))

    def line(label: str, chosen: Sounds) -> float:
        frames, index = windows_of(chosen, embedder)
        fad = frechet.frechet_jackknife(GroupedMoments.of(frames, index), ref_stats)
        kad = kernel.kad(frames, ref[0], bandwidth, gen_clips=index, ref_clips=ref[1])
        print(f"  {label:22} FAD {fad.value:9.3f} ± {fad.se:7.3f}   KAD {kad.value:8.3f} ± "
              f"{kad.se:6.3f}   n={len(chosen)}")  # fmt: skip
        return fad.value

    other = [sounds[i] for i in order[half:]]
    values = [
        line("real against real" if db is None else f"noise at {db} dB",
             [with_noise(sound, db, rng) for sound in other])
        for db in NOISE_DB
    ]  # fmt: skip
    print(f"  strictly rising with noise: {values == sorted(set(values))}; floor / 0 dB = "
          f"{abs(values[0]) / values[-1]:.3f}")  # fmt: skip
    groups = [clip.extra.get("kind") or clip.tags.genre for clip in clips]
    largest = max(set(groups), key=groups.count)
    line(f"only {largest}", [s for s, g in zip(sounds, groups, strict=True) if g == largest])


def report_text(sounds: Sounds, clips: Sequence[Clip], embedder: Embedder) -> None:
    """True captions against shuffled ones."""
    if not isinstance(embedder, TextEmbedder):
        return
    audio = text_audio.mean_window(*windows_of(sounds, embedder))
    text = embedder.text([clip.captions[0] for clip in clips])
    scores = text_audio.evaluate(text, audio)
    shuffled = text_audio.clap_score(text, np.roll(audio, 1, axis=0))
    print(f"  captions: true {scores['clap'].value:.3f}, shuffled {shuffled.value:.3f}, floor "
          f"{scores['floor']:.3f}, R@10 {scores['r10'].value:.2f}")  # fmt: skip


def transposed(sound: Waveform) -> Waveform:
    """Played faster, so higher: the plainest transposition."""
    faster = Waveform(sound.samples, round(sound.sample_rate * 2 ** (TRANSPOSITION / 12)))
    return Waveform(faster.resampled(sound.sample_rate).samples, sound.sample_rate)


def copies(sound: Waveform, other: Waveform) -> dict[str, Waveform]:
    """A training clip hidden in five ways; `other` is new material."""
    rate = sound.sample_rate
    length = min(sound.samples.shape[1], other.samples.shape[1])
    a, b = sound.samples[:, :length], other.samples[:, :length]
    shift, excerpt = round(SHIFT_S * rate), round(EXCERPT_S * rate)
    middle = length // 2
    gain = 10 ** (MIX_DB / 20) * np.sqrt((b**2).mean() / max((a**2).mean(), 1e-12))
    at = round(EXCERPT_AT_S * rate)
    held = np.concatenate(
        [b[:, :at], a[:, middle : middle + excerpt], b[:, at + excerpt :]], axis=1
    )
    made = {
        "exact": a,
        "transposed": transposed(Waveform(a, rate)).samples,
        "time-shifted": np.concatenate([b[:, :shift], a[:, :-shift]], axis=1),
        f"mixed at {MIX_DB:g} dB": b + gain * a,
        f"{EXCERPT_S:g} s excerpt": held,
    }
    return {name: Waveform(samples, rate) for name, samples in made.items()}


def nearest_by_embedding(bank: Bank, embedder: Embedder) -> Callable[[Waveform], tuple[float, str]]:
    """Largest cosine of any window, and the training clip."""

    def search(sound: Waveform) -> tuple[float, str]:
        frames, _ = windows_of([sound], embedder)
        frames = frames[frames.any(axis=1)]
        similarities, rows = bank.search(frames, 1)
        best = int(similarities[:, 0].argmax())
        return float(similarities[best, 0]), bank.entries([int(rows[best, 0])])[0]["id"]

    return search


def report_copies(
    sounds: dict[str, Waveform], train: Sequence[str], new: Sequence[str], embedder: Embedder
) -> None:
    """Planted copies found by the embedder, and by alignment with the true source."""
    with tempfile.TemporaryDirectory() as folder:
        pairs = (
            (frame, {"id": name})
            for name in train
            for frame in windows_of([sounds[name]], embedder)[0]
            if frame.any()
        )
        bank = banks.build(folder, pairs, embedder=embedder.name, identity=embedder.identity,
                           dim=embedder.dim)  # fmt: skip
        search = nearest_by_embedding(bank, embedder)
        limit = float(np.quantile([search(sounds[n])[0] for n in new], ALARM_QUANTILE))
        print(f"  copies, {embedder.name} above {limit:.4f} (5 % of new clips) and right source:")
        chosen = train[:NUM_COPIES]
        for kind in copies(sounds[train[0]], sounds[new[0]]):
            found = 0
            for index, name in enumerate(chosen):
                copy = copies(sounds[name], sounds[new[index % len(new)]])[kind]
                similarity, source = search(copy)
                found += similarity > limit and source == name
            print(f"    {kind:18} {found:3d} of {len(chosen)}")


def report_alignment(sounds: dict[str, Waveform], train: Sequence[str], new: Sequence[str]) -> None:
    """The second opinion on planted copies, against unrelated pairs."""
    rng = np.random.default_rng(0)
    null = [
        alignment.evaluate(sounds[rng.choice(new)], sounds[rng.choice(train)]) for _ in range(40)
    ]
    limits = {
        k: float(np.quantile([n[k].similarity for n in null], ALARM_QUANTILE))
        for k in ("mel", "chroma")
    }
    shown = ", ".join(f"{k} {v:.2f}" for k, v in limits.items())
    print(f"alignment with the source, above 5 % of unrelated pairs ({shown})")
    chosen = train[:NUM_COPIES]
    for kind in copies(sounds[train[0]], sounds[new[0]]):
        found = dict.fromkeys(limits, 0)
        for index, name in enumerate(chosen):
            copy = copies(sounds[name], sounds[new[index % len(new)]])[kind]
            for k, opinion in alignment.evaluate(copy, sounds[name]).items():
                found[k] += opinion.similarity > limits[k]
        print(f"  {kind:20} mel {found['mel']:3d}, chroma {found['chroma']:3d} of {len(chosen)}")


def main() -> None:
    """Run the calibration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--embedder", default="logmel,chroma")
    parser.add_argument("--clips", type=int, default=300)
    args = parser.parse_args()
    source = open_source(args.corpus)
    rng = np.random.default_rng(0)
    chosen = [source.files[i] for i in rng.permutation(len(source.files))[: args.clips]]
    clips = [source.records[file.id] for file in chosen]
    sounds = {
        f.id: read_audio(f.path, sample_rate=16_000, start_s=f.start_s, duration_s=f.duration_s)
        for f in chosen
    }
    names = list(sounds)
    train, new = names[: len(names) // 2], names[len(names) // 2 :]
    for name in args.embedder.split(","):
        embedder = load_embedder(name)
        print(f"{embedder.name} (D = {embedder.dim})")
        report_distances(list(sounds.values()), clips, embedder)
        report_text(list(sounds.values()), clips, embedder)
        report_copies(sounds, train, new, embedder)
    report_alignment(sounds, train, new)


if __name__ == "__main__":
    main()
