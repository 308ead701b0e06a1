"""What a generated file says about itself: how it was made, that an AI made it, what it holds.

`write_audio` puts the record into the file's own tags and into a sidecar; `verify` reads it back
and says whether the audio is still the audio that was written. The record is a statement, not a
signature: who wants to forge one can.
"""

from musicgen_ldm.provenance.codec import depth_keeping
from musicgen_ldm.provenance.files import check_target, sidecar_path, write_audio
from musicgen_ldm.provenance.record import SCHEMA_VERSION, environment, how_loaded
from musicgen_ldm.provenance.verify import Verification, read_record, verify

__all__ = [
    "SCHEMA_VERSION",
    "Verification",
    "check_target",
    "depth_keeping",
    "environment",
    "how_loaded",
    "read_record",
    "sidecar_path",
    "verify",
    "write_audio",
]
