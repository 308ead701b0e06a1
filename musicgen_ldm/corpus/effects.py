"""Studio effects on stereo buffers (2, T) float32: equaliser, dynamics, space, tape.

Every function returns a new buffer of the same shape and leaves its input as it was. Filters are
those of the Audio EQ Cookbook (Bristow-Johnson); the reverberator is a feedback delay network
(Jot & Chaigne 1991).
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.signal import butter

from musicgen_ldm.corpus.kernels import njit

FloatArray = npt.NDArray[np.float32]

GAIN_STEP = 64  # samples from one gain decision to the next; gains are ramps between them
# Delays of the reverberator in seconds at size 1, mutually far from small ratios.
ROOM_DELAYS_S = np.array([0.0297, 0.0371, 0.0411, 0.0437, 0.0533, 0.0599, 0.0671, 0.0719])
INAUDIBLE = 1e-15  # -300 dB
ROOM_FADES_TO = 1e-3  # a reverberation time is a fall by 60 dB


@njit(cache=True)
def _cascade(samples: FloatArray, sos: npt.NDArray[np.float64]) -> FloatArray:
    """Second-order sections in transposed direct form II, both channels in one pass."""
    out = samples.copy()
    for s in range(sos.shape[0]):
        b0, b1, b2, a1, a2 = sos[s, 0], sos[s, 1], sos[s, 2], sos[s, 4], sos[s, 5]
        l1 = l2 = r1 = r2 = 0.0
        for n in range(samples.shape[1]):
            left, right = out[0, n], out[1, n]
            y_left, y_right = b0 * left + l1, b0 * right + r1
            # A decaying tail would end in denormal numbers, a hundred times slower than others.
            if abs(y_left) < INAUDIBLE:
                y_left = 0.0
            if abs(y_right) < INAUDIBLE:
                y_right = 0.0
            l1, r1 = b1 * left - a1 * y_left + l2, b1 * right - a1 * y_right + r2
            l2, r2 = b2 * left - a2 * y_left, b2 * right - a2 * y_right
            out[0, n], out[1, n] = y_left, y_right
    return out


def _filtered(samples: FloatArray, sos: npt.NDArray[np.float64]) -> FloatArray:
    return _cascade(samples, np.ascontiguousarray(sos, np.float64))


def shelf(
    samples: FloatArray, sample_rate: int, hertz: float, gain_db: float, *, is_high: bool
) -> FloatArray:
    """Raise or lower everything above (`is_high`) or below `hertz` by `gain_db`."""
    amplitude = 10 ** (gain_db / 40)
    omega = 2 * math.pi * min(hertz, 0.45 * sample_rate) / sample_rate
    cosine = math.cos(omega) * (1 if is_high else -1)
    root = math.sin(omega) * math.sqrt(2 * amplitude)  # slope 1
    plus, minus = amplitude + 1, amplitude - 1
    sign = 1 if is_high else -1
    b = [
        amplitude * (plus + minus * cosine + root),
        -2 * sign * amplitude * (minus + plus * cosine),
        amplitude * (plus + minus * cosine - root),
    ]
    a = [
        plus - minus * cosine + root,
        2 * sign * (minus - plus * cosine),
        plus - minus * cosine - root,
    ]
    return _filtered(samples, np.array([[*b, *a]]) / a[0])


def peaking(
    samples: FloatArray, sample_rate: int, hertz: float, gain_db: float, q: float
) -> FloatArray:
    """Raise or lower a band around `hertz` by `gain_db`; larger `q` is narrower."""
    amplitude = 10 ** (gain_db / 40)
    omega = 2 * math.pi * min(hertz, 0.45 * sample_rate) / sample_rate
    alpha = math.sin(omega) / (2 * q)
    b = [1 + alpha * amplitude, -2 * math.cos(omega), 1 - alpha * amplitude]
    a = [1 + alpha / amplitude, -2 * math.cos(omega), 1 - alpha / amplitude]
    return _filtered(samples, np.array([[*b, *a]]) / a[0])


def low_pass(samples: FloatArray, sample_rate: int, hertz: float) -> FloatArray:
    """Second-order Butterworth low-pass."""
    cutoff = min(hertz, 0.45 * sample_rate)
    return _filtered(samples, butter(2, cutoff, fs=sample_rate, output="sos"))


def high_pass(samples: FloatArray, sample_rate: int, hertz: float) -> FloatArray:
    """Second-order Butterworth high-pass."""
    return _filtered(samples, butter(2, hertz, "highpass", fs=sample_rate, output="sos"))


def pan(samples: FloatArray, position: float) -> FloatArray:
    """Balance with constant power: -1 left, 0 unchanged, +1 right."""
    angle = (position + 1) * math.pi / 4
    gains = math.sqrt(2) * np.array([[math.cos(angle)], [math.sin(angle)]])
    return (samples * gains).astype(np.float32)


def widen(samples: FloatArray, width: float) -> FloatArray:
    """Scale the side signal: 0 mono, 1 unchanged."""
    middle = samples.mean(axis=0, keepdims=True)
    return (middle + width * (samples - middle)).astype(np.float32)


def saturate(samples: FloatArray, drive: float) -> FloatArray:
    """Tape-like soft clipping; small signals keep their level, 0 drive changes nothing."""
    if drive == 0:
        return samples.copy()
    return (np.tanh(drive * samples) / drive).astype(np.float32)


def crush(samples: FloatArray, bits: float) -> FloatArray:
    """Round to a resolution of `bits`, relative to the peak."""
    steps = 2 ** (bits - 1) / max(1e-9, float(np.abs(samples).max()))
    return (np.round(samples * steps) / steps).astype(np.float32)


def soft_clip(samples: FloatArray, ceiling: float, knee: float = 0.7) -> FloatArray:
    """Leave samples below `knee * ceiling` alone and bend the rest to stay below `ceiling`."""
    start = knee * ceiling
    over = np.maximum(np.abs(samples) - start, 0) / (ceiling - start)
    bent = start + (ceiling - start) * np.tanh(over)
    magnitude = np.where(over > 0, bent, np.abs(samples))
    return (np.sign(samples) * magnitude).astype(np.float32)


@njit(cache=True)
def _smoothed_gain(
    levels_db: npt.NDArray[np.float64],
    threshold_db: float,
    ratio: float,
    attack: float,
    release: float,
) -> npt.NDArray[np.float64]:
    """Gain in dB at each step; `attack` and `release` are one-pole coefficients."""
    gains = np.empty(len(levels_db))
    state = 0.0
    for i in range(len(levels_db)):
        wanted = min(0.0, (threshold_db - levels_db[i]) * (1 - 1 / ratio))
        pole = attack if wanted < state else release
        state = wanted + pole * (state - wanted)
        gains[i] = state
    return gains


def compress(
    samples: FloatArray,
    sample_rate: int,
    *,
    threshold_db: float,
    ratio: float,
    attack_s: float = 0.008,
    release_s: float = 0.12,
) -> FloatArray:
    """Feed-forward compressor on the louder channel; below the threshold nothing changes."""
    num_samples = samples.shape[1]
    loudest = np.abs(samples).max(axis=0)
    padded = np.pad(loudest, (0, -num_samples % GAIN_STEP))
    peaks = padded.reshape(-1, GAIN_STEP).max(axis=1).astype(np.float64)
    rate = sample_rate / GAIN_STEP
    gains_db = _smoothed_gain(
        20 * np.log10(peaks + 1e-9),
        threshold_db,
        ratio,
        math.exp(-1 / (rate * attack_s)),
        math.exp(-1 / (rate * release_s)),
    )
    steps = np.arange(len(gains_db)) * GAIN_STEP
    gains = np.interp(np.arange(num_samples), steps, 10 ** (gains_db / 20))
    return (samples * gains).astype(np.float32)


def duck(
    samples: FloatArray,
    sample_rate: int,
    times_s: list[float],
    *,
    depth: float,
    release_s: float,
) -> FloatArray:
    """Side-chain pumping: fall by `depth` (0-1) at each time and rise again."""
    if not times_s:
        return samples.copy()
    onsets = np.array(sorted(times_s))
    num_samples = samples.shape[1]
    steps = np.arange(0, num_samples + GAIN_STEP, GAIN_STEP)
    before = np.searchsorted(onsets, steps / sample_rate, side="right") - 1
    since = np.where(before >= 0, steps / sample_rate - onsets[before], np.inf)
    gain = 1 - depth * np.exp(-((since / release_s) ** 2))
    # The step from one decision to the next is a ramp, short enough to sound tight.
    gains = np.interp(np.arange(num_samples), steps, gain)
    return (samples * gains).astype(np.float32)


@njit(cache=True)
def _echo_lines(
    samples: FloatArray, delays: npt.NDArray[np.int64], feedback: float, damping: float
) -> FloatArray:
    out = np.zeros_like(samples)
    low_left = low_right = 0.0
    for n in range(samples.shape[1]):
        # Each side hears the other's past: the repeats bounce from ear to ear.
        if n >= delays[0]:
            low_left += damping * (
                samples[1, n - delays[0]] + feedback * out[1, n - delays[0]] - low_left
            )
        if n >= delays[1]:
            low_right += damping * (
                samples[0, n - delays[1]] + feedback * out[0, n - delays[1]] - low_right
            )
        out[0, n] = low_left
        out[1, n] = low_right
    return out


def echo(
    samples: FloatArray, sample_rate: int, delay_s: float, *, feedback: float, cutoff: float
) -> FloatArray:
    """Ping-pong repeats only (no dry sound), each darker than the one before."""
    damping = 1 - math.exp(-2 * math.pi * cutoff / sample_rate)
    steps = max(1, int(delay_s * sample_rate))
    return _echo_lines(samples, np.array([steps, steps + 37]), feedback, damping)


@njit(cache=True)
def _delay_network(
    samples: FloatArray,
    delays: npt.NDArray[np.int64],
    gains: npt.NDArray[np.float64],
    damping: float,
    predelay: int,
) -> FloatArray:
    """Eight delay lines mixed by a Householder reflection, each with a one-pole low-pass."""
    lines = np.zeros((8, delays.max() + 1))
    heads = np.zeros(8, np.int64)
    lows = np.zeros(8)
    reads = np.empty(8)
    out = np.zeros_like(samples)
    for n in range(samples.shape[1]):
        total = 0.0
        for i in range(8):
            lows[i] += damping * (lines[i, heads[i]] - lows[i])
            reads[i] = gains[i] * lows[i]
            total += reads[i]
        left = right = 0.0
        if n >= predelay:
            left = samples[0, n - predelay]
            right = samples[1, n - predelay]
        for i in range(8):
            source = left if i % 2 == 0 else right
            lines[i, heads[i]] = source + reads[i] - 0.25 * total
            heads[i] += 1
            if heads[i] >= delays[i]:
                heads[i] = 0
        out[0, n] = 0.5 * (reads[0] - reads[2] + reads[4] - reads[6])
        out[1, n] = 0.5 * (reads[1] - reads[3] + reads[5] - reads[7])
    return out


def reverb(
    samples: FloatArray,
    sample_rate: int,
    *,
    time_s: float,
    size: float,
    damping_hz: float,
    predelay_s: float = 0.012,
) -> FloatArray:
    """Late reverberation only (no dry sound).

    Args:
        samples: (2, T).
        sample_rate: Hz.
        time_s: Fall by 60 dB.
        size: 0.5 a small room, 2 a hall: scales the delays.
        damping_hz: Walls swallow what lies above.
        predelay_s: Silence before the first reflection.
    """
    delays = np.maximum(8, (ROOM_DELAYS_S * size * sample_rate)).astype(np.int64)
    gains = ROOM_FADES_TO ** (delays / (time_s * sample_rate))
    damping = 1 - math.exp(-2 * math.pi * min(damping_hz, 0.4 * sample_rate) / sample_rate)
    return _delay_network(samples, delays, gains, damping, int(predelay_s * sample_rate))


@njit(cache=True)
def _read_at(samples: FloatArray, delays: npt.NDArray[np.float64]) -> FloatArray:
    """Samples `delays` (2, T) samples ago, linear interpolation; silence before the start."""
    out = np.zeros_like(samples)
    for channel in range(2):
        for n in range(samples.shape[1]):
            position = n - delays[channel, n]
            index = math.floor(position)
            if 0 <= index < samples.shape[1] - 1:
                share = position - index
                here, there = samples[channel, index], samples[channel, index + 1]
                out[channel, n] = here + share * (there - here)
    return out


def chorus(
    samples: FloatArray, sample_rate: int, *, rate_hz: float, depth_s: float, mix: float
) -> FloatArray:
    """Add a copy whose delay swings around 12 ms, opposite in the two channels."""
    angle = 2 * np.pi * rate_hz / sample_rate * np.arange(samples.shape[1])
    swing = depth_s * np.sin(angle)
    wet = _read_at(samples, np.stack([0.012 + swing, 0.012 - swing]) * sample_rate)
    return ((1 - mix / 2) * samples + mix * wet).astype(np.float32)


def wow(
    samples: FloatArray, sample_rate: int, *, cents: float, rate_hz: float, flutter_cents: float
) -> FloatArray:
    """Uneven tape speed: slow `cents` at `rate_hz` and a fast flutter at 8 Hz."""
    time = np.arange(samples.shape[1]) / sample_rate
    shift = np.zeros(len(time))
    for depth, rate in ((cents, rate_hz), (flutter_cents, 8.0)):
        # A speed of 1 + a sin(w t) moves the position by (a / w) (1 - cos(w t)).
        omega = 2 * np.pi * rate
        shift += (2 ** (depth / 1200) - 1) / omega * (1 - np.cos(omega * time))
    return _read_at(samples, np.stack([shift, shift]) * sample_rate)


def record_noise(
    num_samples: int, sample_rate: int, rng: np.random.Generator, *, crackle_hz: float
) -> FloatArray:
    """Hiss with RMS 1 and the clicks of a worn record, `crackle_hz` a second, (2, T)."""
    hiss = low_pass(
        rng.standard_normal((2, num_samples)).astype(np.float32), sample_rate, 0.2 * sample_rate
    )
    hiss /= hiss.std()
    clicks = np.zeros((2, num_samples), np.float32)
    count = rng.poisson(crackle_hz * num_samples / sample_rate)
    places = rng.integers(0, num_samples, count)
    clicks[:, places] = (rng.standard_normal(count) * rng.gamma(0.5, 30, count)).astype(np.float32)
    return hiss + low_pass(clicks, sample_rate, 0.12 * sample_rate)
