"""What a checkpoint says about the clips that its denoiser was trained on."""

from dataclasses import replace

import torch
from tiny_music import write_tiny_music

from musicgen_ldm.config.models import PRESETS
from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.config.vae_training import VaeStageConfig
from musicgen_ldm.data.clips import ClipDataset
from musicgen_ldm.data.manifest import read_manifest, write_manifest
from musicgen_ldm.mel import log_mel
from musicgen_ldm.training.assemble import data_summary, mel_ceiling
from musicgen_ldm.training.components import first_waveforms


def test_the_ceiling_is_the_loudest_level_of_every_bin(tmp_path):
    manifest = write_tiny_music(tmp_path)
    config = VaeStageConfig(
        preset="tiny", model=PRESETS["tiny"], data=DataConfig(manifest=str(manifest), seconds=2.56)
    )
    ceiling = torch.tensor(mel_ceiling(config))
    clips = ClipDataset.for_mel(config.data, "train", config.model.mel, config.seed)
    mels = log_mel(first_waveforms(clips, len(clips)), config.model.mel)
    assert ceiling.shape == (64,)
    assert (mels <= ceiling + 1e-5).all()
    assert ((mels >= ceiling - 1e-5).sum(dim=(0, 1, 2)) >= 1).all()


def test_totals_count_the_allowed_training_clips_alone(tmp_path):
    manifest = write_tiny_music(tmp_path)
    clips = list(read_manifest(manifest))
    foreign = replace(clips[0], licence="CC-BY-NC-4.0", source="elsewhere")
    write_manifest(manifest, [foreign, *clips[1:]])

    def licences(*allowed):
        return data_summary(DataConfig(manifest=str(manifest), licences=allowed))

    assert licences()["licences"] == {"CC-BY-NC-4.0": 1, "CC0-1.0": 7}
    free = licences("CC0-1.0")
    assert free["licences"] == {"CC0-1.0": 7}
    assert free["sources"] == {"synthetic": 7}
    assert free["clips"] == 7
