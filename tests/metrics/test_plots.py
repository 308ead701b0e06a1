"""Plots: round ticks, fixed signs, sound and picture inside the page."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from PIL import Image
from synthetic_music import RATE, melody

from musicgen_ldm.audio import Waveform
from musicgen_ldm.metrics import plots


@pytest.mark.parametrize(
    "values", [[0, 1], [-3, 7.7], [0.001, 0.0017], [5, 5], [1e6, 3e6], [-1e-9, 1e-9]]
)
def test_ticks_are_round_and_hold_the_data(values):
    axis = plots._Axis(min(values), max(values))
    assert axis.ticks[0] <= min(values)
    assert axis.ticks[-1] >= max(values) - 1e-12
    assert 2 <= len(axis.ticks) <= 9
    steps = np.diff(axis.ticks)
    np.testing.assert_allclose(steps, steps[0])
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-6


def test_points_lie_inside_the_frame_and_names_are_escaped():
    svg = plots.scatter({"a<b": ([0.0, 1.0], [2.0, -2.0])}, title="x & y")
    assert "a&lt;b" in svg
    assert "x &amp; y" in svg
    for name, size in (("cx", plots.WIDTH), ("cy", plots.HEIGHT)):
        for value in re.findall(rf'{name}="([\d.]+)"', svg):
            assert plots.MARGIN <= float(value) <= size - plots.MARGIN


def test_the_map_does_not_flip():
    rng = np.random.default_rng(0)
    gen, ref = rng.standard_normal((2, 30, 5)) * np.arange(1, 6)
    first, others = plots.principal_plane(gen, ref)
    assert first.shape == others.shape == (30, 2)
    again, _ = plots.principal_plane(gen[::-1], ref[::-1])
    np.testing.assert_allclose(again[::-1], first, atol=1e-9)
    assert plots.principal_plane(gen, None)[1] is None


def test_player_and_spectrogram_carry_their_data():
    waveform = Waveform(melody(0), RATE)
    sound = re.search(r"base64,([^\"]+)", plots.player(waveform))[1]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
    assert rate == plots.PLAYER_RATE
    assert len(samples) / rate == pytest.approx(waveform.seconds, abs=0.1)
    picture = re.search(r"base64,([^\"]+)", plots.spectrogram(waveform))[1]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
    assert pixels.shape == (64, 256)
    assert pixels[32:].mean() > pixels[:32].mean()  # the melody is low: bottom half is brighter
