"""Discriminators of the autoencoder and of the vocoder. Used in training only, never exported.

Each returns, per sub-discriminator, its scores and the features of its layers. None has batch
normalisation, whose statistics would depend on how a batch is split over processes.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

Judgement = tuple[Tensor, list[Tensor]]  # scores, features of the hidden layers

SLOPE = 0.1  # of the leaky rectifier
PERIODS = (2, 3, 5, 7, 11)  # primes, so that no two see the same samples (Kong et al. 2020)
SPECTRA = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # n_fft, hop, window


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of a mel (PatchGAN, Isola et al. 2017).

    Args:
        width: Channels of the first layer.
        num_layers: Layers with stride 2; three see patches of 70 x 70.
    """

    def __init__(self, width: int, num_layers: int = 3) -> None:
        super().__init__()
        channels = [1] + [width * min(2**i, 8) for i in range(num_layers + 1)]
        layers: list[nn.Module] = []
        for i in range(num_layers + 1):
            stride = 2 if i < num_layers else 1
            layers.append(nn.Conv2d(channels[i], channels[i + 1], 4, stride, padding=1))
            if i:
                layers.append(nn.GroupNorm(min(32, width), channels[i + 1]))
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 4, 1, padding=1))

    def forward(self, mel: Tensor) -> Tensor:
        """Scores (B, 1, n, m), unbounded, of a log-mel (B, 1, N, M)."""
        return self.layers(mel)


class PeriodDiscriminator(nn.Module):
    """Sees a waveform folded into columns of one period (Kong et al. 2020).

    Args:
        period: Samples in a row.
        width: Channels of the first layer; 32 is the published size.
    """

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        channels = (1, width, 4 * width, 16 * width, 32 * width)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(before, after, (5, 1), (3, 1), padding=(2, 0)))
            for before, after in pairwise(channels)
        )
        self.layers.append(
            weight_norm(nn.Conv2d(channels[-1], channels[-1], (5, 1), padding=(2, 0)))
        )
        self.last = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> Judgement:
        """Judge a waveform (B, T)."""
        padded = F.pad(waveform, (0, -waveform.shape[-1] % self.period), mode="reflect")
        folded = padded.unflatten(-1, (-1, self.period)).unsqueeze(1)  # (B, 1, T / p, p)
        return _judge(folded, self.layers, self.last)


class SpectrumDiscriminator(nn.Module):
    """Sees the magnitude spectrum at one resolution (Jang et al. 2021, UnivNet).

    Args:
        n_fft: Samples of a transform.
        hop: Samples from frame to frame.
        window: Samples of the Hann window.
        width: Channels of every layer; 32 is the published size.
    """

    def __init__(self, n_fft: int, hop: int, window: int, width: int) -> None:
        super().__init__()
        self.n_fft, self.hop, self.window = n_fft, hop, window
        kernels = [((3, 9), (1, 1))] + 3 * [((3, 9), (1, 2))] + [((3, 3), (1, 1))]
        self.layers = nn.ModuleList(
            weight_norm(
                nn.Conv2d(
                    1 if i == 0 else width, width, kernel, stride,
                    padding=(kernel[0] // 2, kernel[1] // 2),
                )
            )
            for i, (kernel, stride) in enumerate(kernels)
        )  # fmt: skip
        self.last = weight_norm(nn.Conv2d(width, 1, (3, 3), padding=1))

    def forward(self, waveform: Tensor) -> Judgement:
        """Judge a waveform (B, T)."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(),
                n_fft=self.n_fft,
                hop_length=self.hop,
                win_length=self.window,
                window=torch.hann_window(self.window, device=waveform.device),
                return_complex=True,
            )
            # A root of at least 1e-6, because the gradient of abs() at 0 is undefined.
            power = spectrum.real.square() + spectrum.imag.square()
            image = power.clamp(min=1e-12).sqrt().transpose(1, 2).unsqueeze(1)  # (B, 1, t, f)
        return _judge(image, self.layers, self.last)


class WaveformDiscriminator(nn.Module):
    """Five periods and three spectral resolutions, the set of BigVGAN (Lee et al. 2023).

    Args:
        width: First channels of each; 32 is the published size, and cost falls with its square.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.judges = nn.ModuleList(
            [PeriodDiscriminator(period, width) for period in PERIODS]
            + [SpectrumDiscriminator(*spectrum, width) for spectrum in SPECTRA]
        )

    def forward(self, waveform: Tensor) -> list[Judgement]:
        """Judgements of a waveform (B, T), one per sub-discriminator."""
        return [judge(waveform) for judge in self.judges]


def _judge(image: Tensor, layers: nn.ModuleList, last: nn.Module) -> Judgement:
    features = []
    for layer in layers:
        image = F.leaky_relu(layer(image), SLOPE)
        features.append(image)
    return last(image), features


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator loss (Lim and Ye 2017), 0 where real scores reach 1 and fake ones -1."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def split_judgements(judgements: Sequence[Judgement]) -> tuple[list[Judgement], list[Judgement]]:
    """Judgements of the two halves of a batch."""
    halves: tuple[list[Judgement], list[Judgement]] = ([], [])
    for score, features in judgements:
        for half, s, f in zip(
            halves, score.chunk(2), zip(*(f.chunk(2) for f in features), strict=True), strict=True
        ):
            half.append((s, list(f)))
    return halves


def least_squares_loss(judgements: Sequence[Judgement], target: float) -> Tensor:
    """Squared distance of all scores from `target`, summed over judges (LSGAN, Mao et al. 2017)."""
    return torch.stack([(s.float() - target).square().mean() for s, _ in judgements]).sum()


def feature_matching_loss(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """L1 between the features of real and generated sound, summed over layers and judges."""
    distances = [
        F.l1_loss(f.float(), r.detach().float())
        for (_, real_features), (_, fake_features) in zip(real, fake, strict=True)
        for r, f in zip(real_features, fake_features, strict=True)
    ]
    return torch.stack(distances).sum()
