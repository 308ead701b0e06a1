"""Names that the command line offers; importing this costs nothing."""

METRICS = ("fad", "kad", "prdc", "vendi", "is", "kl", "clap", "obedience", "health")
PRESET_NAMES = ("v1", "audioldm_eval", "musicldm", "audiocraft", "stable-audio", "fadtk")
