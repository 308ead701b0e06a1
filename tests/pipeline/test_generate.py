"""Requests to takes: determinism, lengths, controls, sources."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from musicgen_ldm import GenerateRequest, MusicGenError, MusicLDM, read_audio
from musicgen_ldm.config.generation import SAMPLERS, VOCODERS
from musicgen_ldm.errors import AudioError, NumericsError, RequestError
from musicgen_ldm.mel import log_mel
from musicgen_ldm.pipeline import Take
from musicgen_ldm.sampling import Progress

FAST = {"sampler": "dpm++", "steps": 3, "guidance": 2.0}


def render(model: MusicLDM, **request: object) -> np.ndarray:
    values = {"prompt": "slow piano", "sampling": FAST, **request}
    return model.generate(GenerateRequest(**values))[0].waveform.samples  # type: ignore[arg-type]


def test_a_take_is_the_same_alone_in_a_batch_and_after_a_reload(
    tiny_model: MusicLDM, tiny_folder: Path
) -> None:
    request = {"prompt": "slow piano", "seconds": 1, "seed": 7, "sampling": FAST}
    batch = {t.take: t for t in tiny_model.generate(GenerateRequest(**request, takes=4))}
    alone = tiny_model.generate(GenerateRequest(**request, first_take=3))[0]
    reloaded = MusicLDM.from_pretrained(tiny_folder, device="cpu")
    again = reloaded.generate(GenerateRequest(**request, first_take=3))[0]
    assert np.array_equal(batch[3].waveform.samples, alone.waveform.samples)
    assert np.array_equal(alone.waveform.samples, again.waveform.samples)
    assert not np.array_equal(batch[2].waveform.samples, batch[3].waveform.samples)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_near_full_and_is_as_repeatable(
    tiny_folder: Path, tiny_model: MusicLDM, precision: str
) -> None:
    half = MusicLDM.from_pretrained(tiny_folder, device="cpu", precision=precision)
    assert half.checkpoint.unet.dtype == half.checkpoint.vae.dtype != torch.float32
    assert half.checkpoint.clap.model.dtype == torch.float32
    sound, whole = render(half, seconds=1), render(tiny_model, seconds=1)
    assert np.array_equal(sound, render(half, seconds=1))
    assert sound.dtype == whole.dtype == np.float32
    assert 0 < np.abs(sound - whole).mean() < 0.2 * np.abs(whole).mean()


def test_nothing_is_louder_than_the_ceiling_of_its_mel_bin(tiny_folder: Path) -> None:
    request = {"seconds": 1, "sampling": {**FAST, "vocoder": "griffin-lim"}}
    open_model = MusicLDM.from_pretrained(tiny_folder, device="cpu")
    loud = log_mel(torch.tensor(render(open_model, **request)), open_model.checkpoint.mel)
    ceiling = (float(loud.median()),) * 64
    capped = MusicLDM(replace(open_model.checkpoint, mel_ceiling=ceiling), device="cpu")
    quiet = log_mel(torch.tensor(render(capped, **request)), open_model.checkpoint.mel)
    # Phases are found, not known, so a few values end a little above.
    assert (loud > ceiling[0]).float().mean() > 0.4
    assert (quiet > ceiling[0] + 0.5).float().mean() < 0.05


def test_an_unknown_precision_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(RequestError, match="precision is 'int8'; choose one of fp32, bf16, fp16"):
        MusicLDM.from_pretrained(tiny_folder, device="cpu", precision="int8")  # type: ignore[arg-type]


def test_attention_in_slices_changes_nothing(tiny_folder: Path, tiny_model: MusicLDM) -> None:
    sliced = MusicLDM.from_pretrained(tiny_folder, device="cpu")
    sliced.checkpoint.unet.set_attention_slice("max")
    sound = render(sliced, seconds=1)
    np.testing.assert_allclose(sound, render(tiny_model, seconds=1), atol=1e-4)


def test_all_takes_come_back_best_first(tiny_model: MusicLDM) -> None:
    request = GenerateRequest(prompt="slow piano", seconds=1, takes=3, sampling=FAST)
    takes = tiny_model.generate(request)
    ranks = [take.scores["rank"] for take in takes]
    assert sorted(take.take for take in takes) == [0, 1, 2]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.345, 10.24, 25.0])
def test_the_length_is_the_one_asked_for(tiny_model: MusicLDM, seconds: float) -> None:
    samples = render(tiny_model, seconds=seconds, sampling=FAST | {"steps": 1})
    assert samples.shape == (1, round(seconds * 16_000))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_runs_guided_inside_its_interval(tiny_model: MusicLDM, sampler: str) -> None:
    options = {"sampler": sampler, "steps": 4, "guidance": 3.0, "guidance_rescale": 0.7}
    everywhere = render(tiny_model, seconds=1, sampling=options)
    half = render(tiny_model, seconds=1, sampling=options | {"guidance_interval": (0.0, 0.5)})
    never = render(tiny_model, seconds=1, sampling=options | {"guidance": 1.0})
    assert not np.array_equal(everywhere, half)
    assert not np.array_equal(half, never)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "fast techno"},
        {"negative_prompt": "drums"},
        {"seed": 1},
        {"bpm": 90.0},
        {"key": "A minor"},
        {"sampling": FAST | {"sampler": "ddim", "eta": 1.0}},
        {"sampling": FAST | {"vocoder": "griffin-lim"}},
    ],
)
def test_every_control_changes_the_sound(tiny_model: MusicLDM, change: dict) -> None:
    assert not np.array_equal(
        render(tiny_model, seconds=1), render(tiny_model, **({"seconds": 1} | change))
    )


def test_ancestral_noise_is_part_of_the_seed(tiny_model: MusicLDM) -> None:
    options = {"sampler": "ddim", "steps": 3, "eta": 1.0}
    first = render(tiny_model, seconds=1, sampling=options)
    assert np.array_equal(first, render(tiny_model, seconds=1, sampling=options))


def test_blends_sit_between_their_ends(tiny_model: MusicLDM, stereo_file: Path) -> None:
    from musicgen_ldm.config.generation import Blend

    plain = render(tiny_model, seconds=1)
    for blend in (Blend(text="fast techno", weight=0.4), Blend(audio=str(stereo_file), weight=0.4)):
        assert not np.array_equal(plain, render(tiny_model, seconds=1, blends=(blend,)))
    whole = render(tiny_model, seconds=1, blends=(Blend(text="fast techno", weight=1.0),))
    other = render(tiny_model, seconds=1, prompt="fast techno")
    np.testing.assert_allclose(whole, other, atol=1e-4)


def test_a_sound_with_a_tempo_is_also_told_the_tempo(
    tiny_model: MusicLDM, stereo_file: Path
) -> None:
    by_sound = {"prompt": "", "seconds": 1, "audio_prompt": str(stereo_file)}
    with_tempo = render(tiny_model, **by_sound, bpm=120.0)
    assert not np.array_equal(with_tempo, render(tiny_model, **by_sound))
    said = render(tiny_model, **by_sound | {"prompt": "120 bpm"})
    assert np.array_equal(with_tempo, said)


def test_progress_counts_steps_and_carries_a_preview(tiny_model: MusicLDM) -> None:
    seen: list[tuple[int, int, int]] = []

    def watch(take: int, progress: Progress) -> None:
        assert progress.clean.shape == (1, 4, 26, 16)
        seen.append((take, progress.step, progress.total))

    tiny_model.generate(
        GenerateRequest(prompt="a", seconds=1, takes=2, sampling=FAST), on_progress=watch
    )
    assert seen == [(t, s, 3) for t in range(2) for s in (1, 2, 3)]


def test_a_callback_can_stop_the_rendering(tiny_model: MusicLDM) -> None:
    class Stop(Exception):
        pass

    def stop(take: int, progress: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        tiny_model.generate(GenerateRequest(prompt="a", seconds=1, sampling=FAST), on_progress=stop)


@pytest.mark.parametrize(("bars", "bpm"), [(1, 120.0), (2, 97.0), (4, 171.3)])
def test_loops_are_exact_to_the_sample(tiny_model: MusicLDM, bars: int, bpm: float) -> None:
    samples = render(tiny_model, bars=bars, bpm=bpm, loop=True)
    assert samples.shape == (1, round(bars * 4 * 60 / bpm * 16_000))


@pytest.mark.parametrize("vocoder", VOCODERS)
def test_a_loop_has_no_step_at_its_seam(tiny_model: MusicLDM, vocoder: str) -> None:
    sampling = FAST | {"vocoder": vocoder}
    looped = render(tiny_model, bars=2, bpm=120.0, loop=True, sampling=sampling)[0]
    inside = np.abs(np.diff(looped))
    assert abs(looped[0] - looped[-1]) <= 2 * np.quantile(inside, 0.99)
    straight = render(tiny_model, bars=2, bpm=120.0, sampling=sampling)[0]
    assert not np.array_equal(looped, straight)


def test_repaint_returns_everything_else_bit_equal(tiny_model: MusicLDM, stereo_file: Path) -> None:
    source = read_audio(stereo_file)
    regions = ((0.8, 1.6), (2.5, 3.0))
    result = render(tiny_model, init=str(stereo_file), repaint=regions)
    assert result.shape == source.samples.shape
    times = np.arange(result.shape[1]) / source.sample_rate
    inside = np.any([(a <= times) & (times < b) for a, b in regions], axis=0)
    changed = (result != source.samples).any(axis=0)
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.9


def test_regions_that_touch_are_one(tiny_model: MusicLDM, stereo_file: Path) -> None:
    def repainted(*regions: tuple[float, float]) -> Take:
        return tiny_model.generate(
            GenerateRequest(prompt="a", init=str(stereo_file), repaint=regions, sampling=FAST)
        )[0]

    one, two = repainted((0.8, 1.6)), repainted((1.2, 1.6), (0.8, 1.2))
    assert np.array_equal(one.waveform.samples, two.waveform.samples)
    assert one.measured["seam"] == two.measured["seam"]


@pytest.mark.parametrize("side", ["after", "before"])
def test_continuation_keeps_the_given_file(
    tiny_model: MusicLDM, stereo_file: Path, side: str
) -> None:
    source = read_audio(stereo_file)
    result = render(tiny_model, continue_file=str(stereo_file), continue_side=side, seconds=1.5)
    rate, length = source.sample_rate, source.samples.shape[1]
    assert result.shape == (2, length + round(1.5 * rate))
    fade = round(0.03 * rate) + 1
    if side == "after":
        assert np.array_equal(result[:, : length - fade], source.samples[:, : length - fade])
        assert np.abs(result[:, length:]).max() > 0
    else:
        assert np.array_equal(result[:, -(length - fade) :], source.samples[:, fade:])
        assert np.abs(result[:, : round(1.4 * rate)]).max() > 0


def test_variation_goes_from_the_codec_round_trip_to_a_new_take(
    tiny_model: MusicLDM, stereo_file: Path
) -> None:
    def vary(strength: float, seed: int) -> np.ndarray:
        return render(tiny_model, init=str(stereo_file), strength=strength, seed=seed)

    assert np.array_equal(vary(0.0, 0), vary(0.0, 1))
    assert not np.array_equal(vary(1.0, 0), vary(1.0, 1))
    assert vary(0.5, 0).shape == (1, 64_000)


def test_records_hold_what_reproduces_the_take(tiny_model: MusicLDM, stereo_file: Path) -> None:
    request = GenerateRequest(
        prompt="slow piano", init=str(stereo_file), strength=0.5, takes=2, seed=3, sampling=FAST
    )
    take = tiny_model.generate(request)[0]
    stored = GenerateRequest.from_json(take.record["request"])
    again = tiny_model.generate(stored)[0]
    assert np.array_equal(take.waveform.samples, again.waveform.samples)
    assert take.record["checkpoint"]["sha256"] == tiny_model.identity
    assert set(take.record["sources"]) == {"init"}
    assert take.record["render_s"] > 0


def test_weights_that_overflow_are_an_error_never_noise(tiny_folder: Path) -> None:
    model = MusicLDM.from_pretrained(tiny_folder, device="cpu")
    model.checkpoint.unet.conv_out.weight.fill_(float("nan"))
    with pytest.raises(NumericsError, match="NaN or infinity after step 1"):
        render(model, seconds=1)
    model = MusicLDM.from_pretrained(tiny_folder, device="cpu")
    model.checkpoint.vocoder.conv_post.weight.fill_(float("nan"))
    with pytest.raises(NumericsError, match="decoded audio"):
        render(model, seconds=1)


def test_silent_and_missing_sources_are_errors(tiny_model: MusicLDM, tmp_path: Path) -> None:
    import soundfile

    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(32_000), 16_000)
    for request in ({"init": str(silent)}, {"continue_file": str(silent), "seconds": 1.0}):
        with pytest.raises(AudioError, match="silent where it matters"):
            render(tiny_model, **request)
    with pytest.raises(MusicGenError, match="cannot be read"):
        render(tiny_model, init=str(tmp_path / "none.wav"))


def test_sources_without_sound_to_work_on_are_refused(
    tiny_model: MusicLDM, tmp_path: Path, rng: np.random.Generator
) -> None:
    import soundfile

    hiss = tmp_path / "hiss.wav"  # the dither of a silent 16-bit recording
    soundfile.write(hiss, rng.integers(-1, 2, 32_000).astype(np.int16), 16_000)
    with pytest.raises(AudioError, match="silent where it matters"):
        render(tiny_model, init=str(hiss))
    with pytest.raises(AudioError, match="silent, so it says nothing"):
        render(tiny_model, audio_prompt=str(hiss), seconds=1)
    short = tmp_path / "short.wav"
    soundfile.write(short, np.full(3, 0.5), 96_000)
    for loop in (False, True):
        with pytest.raises(RequestError, match=r"lasts 0\.00 s; 0\.5 to 600 s can be worked on"):
            render(tiny_model, init=str(short), loop=loop)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_out_of_memory_is_a_sentence(
    tiny_model: MusicLDM, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("musicgen_ldm.pipeline.musicldm.sample", fail)
    with pytest.raises(RequestError, match="out of memory to render this; ask for a shorter"):
        render(tiny_model, seconds=1)
    monkeypatch.setattr("musicgen_ldm.pipeline.musicldm.load", fail)
    with pytest.raises(RequestError, match="out of memory to load tiny"):
        MusicLDM.from_pretrained("tiny")


def test_unknown_bridge_and_device(tiny_model: MusicLDM, tiny_folder: Path) -> None:
    with pytest.raises(RequestError, match="stores no bridge 'ridge'"):
        render(tiny_model, seconds=1, sampling=FAST | {"bridge": "ridge"})
    with pytest.raises(RequestError, match="device 'toaster'"):
        MusicLDM.from_pretrained(tiny_folder, device="toaster")
