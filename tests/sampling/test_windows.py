"""Windows cover everything, stay inside, and wrap on a circle."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from musicgen_ldm.checkpoint import Checkpoint
from musicgen_ldm.codec import latent_to_mel, mel_to_latent, mel_to_waveform, resize_circular
from musicgen_ldm.windows import iterate_windows, window_size


@given(
    length=st.integers(1, 400),
    largest=st.sampled_from([16, 64, 128]),
    step=st.integers(0, 50),
    circular=st.booleans(),
)
def test_every_position_is_covered(length: int, largest: int, step: int, circular: bool) -> None:
    if not circular:
        length = -(-length // 4) * 4
    size = window_size(length, largest, 4)
    weights = torch.zeros(length)
    for index, weight in iterate_windows(length, size, step, circular=circular):
        assert (index.min() >= 0) & (index.max() < length)
        if not circular:
            assert (index.diff() == 1).all()
        assert (weight > 0).all()
        weights.index_add_(0, index, weight)
    assert (weights > 0).all()


def test_grids_move_from_step_to_step() -> None:
    starts = {
        tuple(int(index[0]) for index, _ in iterate_windows(400, 128, step, circular=True))
        for step in range(8)
    }
    assert len(starts) == 8


def vocoded(checkpoint: Checkpoint, mel: torch.Tensor, *, circular: bool = False) -> torch.Tensor:
    return mel_to_waveform("hifi-gan", checkpoint.vocoder, mel, checkpoint.mel, circular=circular)


def test_vocoder_chunks_equal_one_piece(tiny_checkpoint: Checkpoint) -> None:
    from musicgen_ldm.models.vocoder import vocode

    mel = torch.randn(1, 1, 2_500, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = vocode(tiny_checkpoint.vocoder, mel)[0]
    torch.testing.assert_close(vocoded(tiny_checkpoint, mel), whole, atol=1e-6, rtol=0)


def test_circular_vocoding_does_not_care_where_the_circle_starts(
    tiny_checkpoint: Checkpoint,
) -> None:
    mel = torch.randn(1, 1, 300, 64, generator=torch.Generator().manual_seed(0))
    turned = vocoded(tiny_checkpoint, mel.roll(100, dims=2), circular=True)
    straight = vocoded(tiny_checkpoint, mel, circular=True)
    torch.testing.assert_close(turned, straight.roll(100 * 160), atol=1e-6, rtol=0)


@pytest.mark.parametrize("num_frames", [64, 512])
def test_chunked_autoencoder_keeps_shapes_and_joins_smoothly(
    tiny_checkpoint: Checkpoint, num_frames: int
) -> None:
    vae = tiny_checkpoint.vae
    mel = torch.randn(1, 1, num_frames, 64, generator=torch.Generator().manual_seed(0))
    latent = mel_to_latent(vae, mel, 256)
    assert latent.shape == (1, 4, num_frames // 4, 16)
    for circular in (False, True):
        decoded = latent_to_mel(vae, latent, 64, circular=circular)
        assert decoded.shape == mel.shape
        jumps = decoded.diff(dim=2).abs().mean(dim=(1, 3))[0]
        assert jumps.max() < 4 * jumps.mean()


def test_circular_resize_is_periodic_and_exact_for_equal_length() -> None:
    phase = torch.arange(100) * 2 * torch.pi / 100
    mel = phase.sin()[None, None, :, None]
    assert torch.equal(resize_circular(mel, 100), mel)
    longer = resize_circular(mel, 103)[0, 0, :, 0]
    expected = (torch.arange(103) * 2 * torch.pi / 103).sin()
    torch.testing.assert_close(longer, expected, atol=1e-3, rtol=0)
