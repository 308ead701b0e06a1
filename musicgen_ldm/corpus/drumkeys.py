"""Names of drum voices in genre files, and their General MIDI percussion keys."""

VOICES: dict[str, int] = {
    "kick": 36, "kick2": 35, "snare": 38, "snare2": 40, "rim": 37, "clap": 39, "hat": 42,
    "pedal": 44, "open": 46, "crash": 49, "crash2": 57, "ride": 51, "bell": 53, "china": 52,
    "splash": 55, "tom1": 50, "tom2": 47, "tom3": 43, "tom4": 41, "tambourine": 54,
    "cowbell": 56, "bongo": 60, "bongo_low": 61, "conga_mute": 62, "conga": 63, "conga_low": 64,
    "timbale": 65, "timbale_low": 66, "agogo": 67, "agogo_low": 68, "cabasa": 69, "maracas": 70,
    "guiro": 73, "guiro_long": 74, "clave": 75, "woodblock": 76, "woodblock_low": 77,
    "cuica": 78, "cuica_open": 79, "triangle_mute": 80, "triangle": 81, "shaker": 82,
    "sleigh": 83, "surdo_mute": 86, "surdo": 87,
}  # fmt: skip
# Voices that keep time; two patterns of a genre may swap theirs.
TIMEKEEPERS = frozenset({"hat", "pedal", "open", "ride", "bell", "shaker", "maracas", "cabasa",
                         "tambourine", "triangle", "triangle_mute", "sleigh"})  # fmt: skip
