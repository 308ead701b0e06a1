"""What a checkpoint says about the clips that its denoiser was trained on."""

from dataclasses import replace

from tiny_music import write_tiny_music

from musicgen_ldm.config.training import DataConfig
from musicgen_ldm.data.manifest import read_manifest, write_manifest
from musicgen_ldm.training.assemble import data_summary


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
