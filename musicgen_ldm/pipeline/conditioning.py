"""From words and sounds to the vectors that steer the denoiser."""

import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen_ldm.audio import SILENCE_DBFS, read_audio, rms_dbfs
from musicgen_ldm.checkpoint import Checkpoint
from musicgen_ldm.config.generation import GenerateRequest
from musicgen_ldm.errors import AudioError, CheckpointError, RequestError
from musicgen_ldm.sampling import Condition

NO_BRIDGE = "none"


def encode_text(checkpoint: Checkpoint, sentence: str, bridge: str) -> Tensor:
    """Condition (1, D) of a sentence, moved to the audio side of the space.

    Raises:
        RequestError: If the checkpoint stores no bridge of that name.
    """
    embedding = checkpoint.clap.text([sentence])
    if bridge == NO_BRIDGE:
        return embedding
    if bridge not in checkpoint.bridges:
        known = ", ".join([NO_BRIDGE, *checkpoint.bridges])
        raise RequestError(f"this checkpoint stores no bridge {bridge!r}; choose one of {known}")
    return checkpoint.bridges[bridge].apply(embedding)


def encode_sound(checkpoint: Checkpoint, path: str) -> Tensor:
    """Condition (1, D) of a sound file.

    Raises:
        AudioError: If the file cannot be read or is silent.
        CheckpointError: If the checkpoint has no audio tower.
    """
    if checkpoint.clap.feature_extractor is None:
        raise CheckpointError(
            "this checkpoint has no CLAP audio tower, so a sound cannot be a prompt; use a text"
        )
    sound = read_audio(path)
    if rms_dbfs(sound.mono) < SILENCE_DBFS:
        raise AudioError(f"{path}: silent, so it says nothing; give a file with sound in it")
    return checkpoint.clap.audio([sound])


def make_condition(checkpoint: Checkpoint, request: GenerateRequest, bridge: str) -> Condition:
    """Everything the request says, as one positive and one negative vector.

    Blends are weighted sums of unit vectors, normalised again. The negative vector is the CLAP
    *text* embedding of the negative prompt; that of "" is the one the denoiser was trained with
    when the condition was dropped (Chen et al. 2023), so it is never bridged.
    """
    parts: list[tuple[float, Tensor]] = []
    main = 1 - sum(blend.weight for blend in request.blends)
    sentence, share = request.conditioning_text, main
    if sentence and request.audio_prompt is not None:
        share = main / 2
    if sentence:
        parts.append((share, encode_text(checkpoint, sentence, bridge)))
    if request.audio_prompt is not None:
        parts.append((share, encode_sound(checkpoint, request.audio_prompt)))
    for blend in request.blends:
        if blend.text is not None:
            parts.append((blend.weight, encode_text(checkpoint, blend.text, bridge)))
        elif blend.audio is not None:
            parts.append((blend.weight, encode_sound(checkpoint, blend.audio)))
    positive = torch.stack([weight * vector for weight, vector in parts]).sum(dim=0)
    if request.negative_prompt.strip():
        negative = encode_text(checkpoint, request.negative_prompt, bridge)
    else:
        negative = checkpoint.clap.text([""])
    return Condition(F.normalize(positive, dim=-1), negative)
