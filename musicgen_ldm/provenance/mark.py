"""The AI-generated mark: one sentence for people, a few fields for machines.

Machine-readable marking of synthetic audio is what Article 50(2) of the EU AI Act asks for; the
field values follow the IPTC vocabulary that photo, video and audio tools share.
"""

from musicgen_ldm import __version__

GENERATOR = "musicgen_ldm"

# IPTC NewsCodes, "digital source type": created by a model trained on sampled content
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

COMMENT = f"AI-generated music, made with {GENERATOR} {__version__}"


def ai_mark() -> dict[str, object]:
    """The mark as it stands in a record, under the key `mark`."""
    return {
        "ai_generated": True,
        "comment": COMMENT,
        "digital_source_type": DIGITAL_SOURCE_TYPE,
    }
