"""Takes drawn during training, as a user would hear them."""

from diffusers import SchedulerMixin, UNet2DConditionModel

from musicgen_ldm.audio import Waveform
from musicgen_ldm.codec import latent_to_mel, mel_to_waveform
from musicgen_ldm.config.generation import SamplingConfig
from musicgen_ldm.config.ldm_training import PreviewConfig
from musicgen_ldm.config.models import ModelConfig
from musicgen_ldm.data.latents import LatentEncoder
from musicgen_ldm.diffusion import take_generator
from musicgen_ldm.models.bridge import Bridge
from musicgen_ldm.sampling import Canvas, Condition, sample

PREVIEW_SEED = 0


def draw_previews(
    unet: UNet2DConditionModel,
    scheduler: SchedulerMixin,
    encoder: LatentEncoder,
    bridge: Bridge,
    config: PreviewConfig,
    model: ModelConfig,
) -> dict[str, Waveform]:
    """One take per prompt, from the same noise whenever it is called.

    Args:
        unet: Denoiser with the weights to listen to.
        scheduler: Diffusion process.
        encoder: VAE, vocoder and CLAP.
        bridge: From text to audio embedding.
        config: Prompts and sampling.
        model: Signal numbers and latent shape.

    Returns:
        Waveforms by "01-words-of-the-prompt".
    """
    canvas = Canvas(model.latent_shape(config.seconds), window=unet.config.sample_size)
    sampling = SamplingConfig(sampler="dpm++", steps=config.steps, guidance=config.guidance)
    negative = encoder.embed_text([""])
    takes = {}
    for number, prompt in enumerate(config.prompts, start=1):
        positive = bridge.apply(encoder.embed_text([prompt]))
        generator = take_generator(PREVIEW_SEED, number)
        condition = Condition(positive, negative)
        latent = sample(unet, scheduler, condition, canvas, sampling, generator)
        mel = latent_to_mel(encoder.vae, latent, canvas.window, circular=False)
        sound = mel_to_waveform(config.vocoder, encoder.vocoder, mel, model.mel)
        samples = sound.float().cpu().numpy()
        words = "-".join("".join(c if c.isalnum() else " " for c in prompt).split()[:6])
        takes[f"{number:02d}-{words}"] = Waveform(samples.clip(-1, 1), model.mel.sample_rate)
    return takes
