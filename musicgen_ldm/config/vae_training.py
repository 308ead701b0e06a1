"""The `vae` stage: weights of its losses, all of which are means over their elements."""

from dataclasses import dataclass, field

from musicgen_ldm.config.checks import check_least
from musicgen_ldm.config.training import AdversaryConfig, OptimConfig, StageConfig
from musicgen_ldm.errors import ConfigError

_ADAM = OptimConfig(name="adam", lr=4.5e-6, betas=(0.5, 0.9), weight_decay=0.0)


@dataclass(frozen=True, kw_only=True)
class VaeStageConfig(StageConfig):
    """Mel autoencoder; the defaults are the released recipe (Chen et al. 2023).

    The published KL weight of 1 multiplies a KL that is *averaged* over the latent, but stands
    against a reconstruction error *summed* over the 1024 x 64 mel values. Here both are means, so
    that no weight depends on the length of the crop; the same balance is then 1 / 65,536.
    AudioLDM's published weight of 1000 is 0.015 in this unit.
    """

    stage: str = "vae"
    init: str | None = None  # autoencoder that the weights start from
    # Train the decoder alone: latents, and with them denoisers and stored features, stay valid.
    frozen_encoder: bool = False
    batch_size: int = 4
    optim: OptimConfig = field(default_factory=lambda: _ADAM)
    kl_weight: float = 1 / 65_536
    multiscale_weight: float = 1.0  # of the perceptual term, see training/spectral.py
    adversary: AdversaryConfig | None = field(
        default_factory=lambda: AdversaryConfig(weight=0.5, optim=_ADAM)
    )
    scale_clips: int = 256  # clips over which the latent's scale is measured at export

    def __post_init__(self) -> None:
        """Check ranges."""
        super().__post_init__()
        if self.frozen_encoder and self.init is None:
            raise ConfigError(
                "frozen_encoder=true keeps an encoder of random weights; "
                "name a trained autoencoder with init="
            )
        check_least(self, kl_weight=0, multiscale_weight=0, scale_clips=1)
