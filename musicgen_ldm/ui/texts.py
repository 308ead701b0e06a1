"""Every sentence of the page, in one place, so that a language can be added."""

TITLE = "musicgen_ldm"
INTRO = "Describe the music, press **Make music**, keep shaping what you hear."
ADDRESS = "Open {address} in a browser; Ctrl-C here ends it."
LOADING = "Loading the model; you can already write your prompt."
READY = "Ready: {name}"
FAILED = "The model could not be loaded: {reason}"

TAB_CREATE, TAB_TRANSFORM, TAB_HISTORY, TAB_BATCH, TAB_ABOUT = (
    "Create", "Transform", "History", "Batch", "About"
)  # fmt: skip

PROMPT = "What should it sound like?"
PROMPT_HINT = "a relaxed bossa nova with nylon guitar and flute"
NEGATIVE = "What should it avoid?"
LENGTH = "Length in seconds"
BPM, BPM_HINT = "Tempo in beats per minute", "0 leaves it to the model"
KEY, KEY_HINT = "Key", "for example A minor; empty leaves it to the model"
BARS, BARS_HINT = "Bars", "0 uses the length in seconds; needs a tempo"
LOOP = "Seamless loop"
TAKES = "Takes"
SEED, SEED_HINT = "Seed", "the same seed gives the same music again"
DICE = "Roll the dice"
LOCK, LOCK_HINT = "Keep this seed", "otherwise every press makes new music"
ADVANCED = "Advanced"
MODELS_OWN = "the model's own"
SAMPLER, SAMPLER_HINT = "Way of drawing", "the diffusion sampler"
STEPS, STEPS_HINT = "Steps", "more are slower and cleaner; 0 uses the model's own number"
GUIDANCE = "How strictly to follow the words"
GUIDANCE_HINT = "guidance; 0 uses the model's own value"
INTERVAL_START, INTERVAL_END = "Follow the words from", "Follow the words until"
INTERVAL_HINT = "share of the steps"
BRIDGE, BRIDGE_HINT = "From words to sound", "the bridge between text and audio embedding"
VOCODER, VOCODER_HINT = "From picture to sound", "hifi-gan is the model's own network"
CANDIDATES = "Drafts"
CANDIDATES_HINT = "each take is the best of so many; 0 uses the model's own number"
MAKE, CANCEL = "Make music", "Stop"
EXAMPLES = "Ideas"
EXAMPLE_PROMPTS = (
    "a relaxed bossa nova with nylon guitar and flute",
    "slow ambient pads, spacious and calm, no drums",
    "energetic house with a bright synth lead, 124 bpm",
    "solo piano, gentle and sad",
    "funky bass and drums with electric piano",
)

ESTIMATE = "About {seconds} on this machine."
ESTIMATE_UNKNOWN = "The time it takes is known as soon as the model is loaded."
PREVIEW = "Preview"
STEP = "Take {take} of {takes}: step {step} of {total}"
LEFT, PROGRESS = " ({seconds:.0f} s left)", "progress"
WAITING = "Waiting for the model…"
AHEAD = "Waiting: {count} before you."
DONE = "Done: {count} in {seconds:.1f} s."
STOPPED = "Stopped. Finished takes are in the history."
BUSY = "You have {count} requests waiting already; let one finish first."
FULL = "{count} requests are waiting already; try again in a minute."
TOO_LONG = "This page renders at most {limit:g} s; you asked for {seconds:g} s."
LONG_SOURCE = "{name} lasts {seconds:.0f} s; at most {limit:g} s can be worked on, cut it first."
LARGE_SOURCE = (
    "{name} holds {millions:.0f} million samples; at most {limit:.0f} million can be worked on, "
    "export it with fewer channels or a lower rate."
)
TOO_MANY = "This page renders at most {limit} takes at once; you asked for {takes}."
BROKEN = "The model failed ({kind}; the log says more). Try again, or with other settings."
FULL_DISK = "The server's disk is full: delete what you no longer need, or tell who runs this page."
NO_ACCESS = (
    "The server cannot read or write a file ({reason}); try again, or tell who runs this page."
)
BROKEN_PAGE = "The page failed ({kind}; the log says more). Reload it and try again."
NO_TAKE = "Choose a take first."
NO_FILE = "Choose a file first."

RESULTS = "Takes"
TAKE = "Take {number}"
CHOSEN = "Work on"
AGAIN, VARIATION, EXTEND, REPAINT, LOOP_IT = (
    "Again with these settings", "Variation", "Extend", "Repaint the region", "Loop it"
)  # fmt: skip
FAVOURITE = "Favourite"
IS_FAVOURITE = "Kept as a favourite; it is not deleted when space is needed."
NO_FAVOURITE = "No longer a favourite."
REGION_START, REGION_END = "Region from (s)", "Region to (s)"
REGION_HINT = "Click twice on the picture, or type the seconds."
STRENGTH, STRENGTH_HINT = "How far to move away", "0 keeps the sound, 1 ignores it"
EXTEND_BY = "Extend by (s)"
FORMAT, DOWNLOAD = "Download as", "Prepare download"

CHECKPOINT, LOAD = "Model", "Load this model"
NOVELTY = "Does it copy?"
NOVELTY_UNKNOWN = "This model carries no list of its training clips, so nothing can be compared."
NOVELTY_CLEAR = "**No sign of it.** The nearest training clip has a similarity of {nearest:.2f}."
NOVELTY_CLOSE = "**Listen and judge.** It is close to a training clip: similarity {nearest:.2f}."
NOVELTY_CALIBRATED = (
    "The threshold is {limit:.2f}: one training clip in ten is as near to another recording."
)
NOVELTY_PUBLISHED = (
    "The threshold is the published {limit:.2f}; this model lists too few clips for one of its own."
)
UNKNOWN = "unknown"
NOVELTY_ROW = "| {similarity:.2f} | {caption} | {licence} | {attribution} |"
NOVELTY_HEAD = "| similarity | training clip | licence | by |\n|---|---|---|---|"
LISTEN = "Listen to the nearest training clips"
FETCHING = "Fetching {id}…"
NO_TRAINING_AUDIO = "The sound of {id} is not on this machine: {folder} does not hold its file."
HALF_OF_A_PAIR = (
    "{id} is half of a pair that was composed together, and cannot be composed again by itself; "
    "its file is not in {folder}."
)
NOT_COMPOSED = "The {genre} piece cannot be composed again here: {reason}"
NOT_INSTALLED = (
    "The {genre} piece is composed again here as soon as who runs this page has run {commands}."
)

SOURCE = "Your sound"
BLEND, BLEND_HINT = "Second idea", "empty: your sound, where it is used as a prompt"
BLEND_WEIGHT = "How much of the second idea"
LENGTH_HINT = "a sound that is varied keeps its own"
MODE = "What to do with it"
MODE_VARY, MODE_PROMPT = "Vary the sound", "Use the sound as the prompt"

SEARCH = "Search your music"
ONLY_FAVOURITES = "Favourites only"
HISTORY_HEADERS = ("when", "prompt", "made by", "length", "kept", "id")
MADE_BY = {
    "repaint": "repaint", "continue_file": "extension", "init": "variation",
    "audio_prompt": "sound as prompt", "loop": "loop",
}  # fmt: skip
REUSE, WORK_ON, DELETE, REFRESH = (
    "Use these settings", "Work on this take", "Delete", "Refresh"
)  # fmt: skip
SOURCE_GONE = "The sound that this take was made from was deleted; give it again on Transform."
NO_SOURCE = "It was made from another sound, which settings do not bring back."
NOTHING_FOUND = "None of your music matches; search for other words, or fewer."
NOTHING_YET = "Nothing here yet: what you make is kept here."
GONE = "This take is no longer in the history; refresh the list."
DELETE_FOR_GOOD, KEEP_IT = "Delete for good", "Keep it"
SURE = "Delete this take and its record? It cannot be brought back."
DELETED = "Deleted."
DROP = "Drop any file made here to get its settings back and to check where it comes from"
VERIFIED = "Made by this program and unchanged since."
ALTERED = "Made by this program, but changed since."
MADE_WITH = "Model: {name}. Seed: {seed}, take {take}."
THIS_MODEL, OTHER_MODEL = "It is the model that is loaded now.", "It is not the model loaded now."
DAMAGED = "Its record cannot be read: it was edited, or written by another version."
FOREIGN = "Not made by this program: it carries no record."

BATCH_FILE = "Prompts: a text file with one prompt a line, or JSONL"
BATCH_RUN = "Render all"
BATCH_RESULT = "Zip of all files with their records"
BATCH_DONE = "Done: {count} files."
BATCH_STEP = "{number} / {total}: {prompt}"
BATCH_LINE = "Line {number}: {error}"
WORDS_ONLY = "A prompts file on this page holds words only, no file names."
BATCH_TOO_LONG = "The file has {count} prompts; this page takes at most {limit}."

ABOUT = """
**What this is.** A text-to-music model that runs on your own machine. Nothing you type or make
leaves it.

**Every file says that an AI made it**, and with which prompt, seed and model: in its own
tags and in the `.json` beside it.

**Limits.** No vocals; nothing above 8 kHz; trained on synthetic music where the model's card
says so.
"""

CARD = "Licence and model card"
NO_CARD = "This model carries no card; ask where you got it what you may do with its music."

# The parts of the sentence about a take; the page joins those that are known with commas.
SECONDS = "{:.1f} seconds"
TEMPO, SOUNDS_LIKE, ASKED = "about {:.0f} beats per minute", "sounds like {}", " (asked {})"
NO_TEMPO = "no clear tempo"
QUIETER, LOUDER = "{:.0f} dB quieter than streamed music", "{:.0f} dB louder than streamed music"
AS_LOUD, TEXT_FIT = "as loud as streamed music", "match with the words {:.2f}"
NEAREST = "similarity of the nearest training clip {:.2f} ({})"
NO_COPY, MAY_COPY = "no sign of a copy", "listen whether it copies"
SEAM, NO_SEAM = "a seam can be heard ({:.1f})", "no seam can be heard"
BUT, AND = "but ", " and "
FAULTS = {
    "silent": "it is silent",
    "gaps": "it has long gaps",
    "clipped": "it is distorted",
    "dc": "it is off centre",
}
