"""Low-rank adapters on the denoiser's attention, through peft."""

from diffusers import UNet2DConditionModel

from musicgen_ldm.config.ldm_training import LoraConfig
from musicgen_ldm.errors import ConfigError, MissingExtraError


def add_lora(unet: UNet2DConditionModel, config: LoraConfig) -> None:
    """Freeze a denoiser and add trainable low-rank factors to it, in place.

    Raises:
        MissingExtraError: If peft is not installed.
        ConfigError: If no layer has one of the target names.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError(
            "lora needs the package peft; install it with `pip install musicgen-ldm[train]`"
        ) from error
    names = [name for name, _ in unet.named_modules()]
    absent = [t for t in config.targets if not any(name.endswith(t) for name in names)]
    if absent:
        raise ConfigError(
            f"lora.targets names {absent[0]!r}, which no layer of the denoiser is called; "
            "the attention has to_q, to_k, to_v and to_out.0"
        )
    unet.requires_grad_(False)
    unet.add_adapter(
        peft.LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=list(config.targets),
            init_lora_weights="gaussian",
        )
    )


def merge_lora(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Add the factors into the weights, so that the stock class loads the result; in place."""
    unet.fuse_lora()
    unet.unload_lora()
    return unet
