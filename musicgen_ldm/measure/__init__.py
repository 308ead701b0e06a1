"""What can be measured on sound alone: tempo, key, level, health and seams."""

from musicgen_ldm.measure.health import Health, signal_health
from musicgen_ldm.measure.key import Key, key_agreement, measure_key, parse_key
from musicgen_ldm.measure.loudness import integrated_loudness
from musicgen_ldm.measure.seam import loop_seam_score, seam_score
from musicgen_ldm.measure.tempo import Tempo, measure_tempo, tempo_agreement

__all__ = [
    "Health",
    "Key",
    "Tempo",
    "integrated_loudness",
    "key_agreement",
    "loop_seam_score",
    "measure_key",
    "measure_tempo",
    "parse_key",
    "seam_score",
    "signal_health",
    "tempo_agreement",
]
