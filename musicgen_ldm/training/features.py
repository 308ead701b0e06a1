"""What a stage keeps of its clips (mels, latents, embeddings), computed ahead of its training.

Training computes the same when it first needs it; ahead, many processes share the work, and the
networks that are to be trained take no memory meanwhile.
"""

from musicgen_ldm.config.training import StageConfig
from musicgen_ldm.data.feature_store import FeatureCache
from musicgen_ldm.errors import ConfigError
from musicgen_ldm.parallel import Workers
from musicgen_ldm.training.task import Task

SPLITS = ("train", "valid")


def fill_features(config: StageConfig, task: Task, launched: Workers) -> int:
    """Compute this process's share of what is not yet stored.

    Args:
        config: Of the stage.
        task: Its networks; the frozen ones move to this process's device.
        launched: The processes that share the work.

    Returns:
        How many clips' features are stored now; an unusable clip has none.

    Raises:
        ConfigError: If the stage stores nothing.
    """
    device = "cpu" if config.run.device == "cpu" else launched.device
    for network in task.frozen.values():
        network.to(device)
    found = [getattr(task.dataset(split), "cache", None) for split in SPLITS]
    caches = [cache for cache in found if isinstance(cache, FeatureCache)]
    if not caches:
        raise ConfigError(
            f"{config.stage}: as configured, it stores no features; set cache (clap) or "
            "cache.folder (ldm), the other stages have none"
        )
    for cache in caches:
        cache.fill(launched.share(range(len(cache.keys))), label="features")
    launched.wait()
    return sum(cache.num_stored() for cache in caches)
