"""Make the built-in captioned music corpus: composed, rendered and described from a seed."""

import argparse
from pathlib import Path

HELP = "build, list, play, draw and ask about the built-in music corpus"

# As in `corpus.recipe`, which takes long to import.
SPLITS = ("train", "valid", "test")
PRESETS = (*SPLITS, "tiny")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_build(actions.add_parser("build", help="make a corpus folder, or finish one"))
    actions.add_parser("list", help="genres, instruments, moods and sounds that can be used")
    _add_play(actions.add_parser("play", help="render one clip and say what is in it"))
    join = actions.add_parser("join", help="one manifest over several corpora or prepared folders")
    join.add_argument("manifest", type=Path, metavar="MANIFEST", help="JSONL file to write")
    join.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="built or prepared")
    _add_prompts(actions.add_parser("prompts", help="write evaluation prompts about a corpus"))
    sheet = actions.add_parser("sheet", help="draw spectrograms with beats and captions")
    sheet.add_argument("corpus", metavar="OUT", type=Path, help="folder that `build` made")
    sheet.add_argument("-o", "--output", type=Path, help="PNG or JPEG (default: OUT/sheet.png)")
    sheet.add_argument("--clips", type=int, default=40, help="at most this many (default: 40)")


def _add_build(build: argparse.ArgumentParser) -> None:
    build.add_argument("out", metavar="OUT", type=Path, help="folder to fill")
    build.add_argument("--clips", type=int, metavar="N", help="default: the preset's number")
    build.add_argument("--seed", type=int, default=0, help="of the whole corpus (default: 0)")
    build.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    build.add_argument("--preset", choices=PRESETS, default="train",
                       help="material and composition (default: train)")  # fmt: skip
    build.add_argument("--sample-rate", type=int, default=16_000, help="Hz (default: 16000)")
    build.add_argument("--stereo", action="store_true", help="keep two channels")
    build.add_argument("--stems", action="store_true", help="write every instrument's stem")
    build.add_argument("--midi", action="store_true", help="write the scores as MIDI files")
    _add_sounds(build)
    build.add_argument("--genres", nargs="+", default=[], metavar="GENRE",
                       help="only these (default: all)")  # fmt: skip


def _add_prompts(prompts: argparse.ArgumentParser) -> None:
    prompts.add_argument("corpus", type=Path, metavar="MANIFEST", help="built corpus or its folder")
    prompts.add_argument("out", type=Path, metavar="OUT.jsonl",
                         help="file for `generate --prompts` and `evaluate --prompts`")  # fmt: skip
    prompts.add_argument("--count", type=int, default=500, help="how many (default: 500)")
    prompts.add_argument("--seed", type=int, default=0, help="of all choices (default: 0)")


def _add_play(play: argparse.ArgumentParser) -> None:
    play.add_argument("seed", metavar="SEED", type=int, help="of the piece")
    play.add_argument("--genre", help="default: drawn by the seed")
    play.add_argument("--split", choices=SPLITS, default="train", help="default: train")
    play.add_argument("--sample-rate", type=int, default=44_100, help="Hz (default: 44100)")
    play.add_argument("-o", "--output", type=Path, metavar="FILE",
                      help="FLAC file (default: GENRE-SEED.flac)")  # fmt: skip
    _add_sounds(play)


def _add_sounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--soundfont", nargs="+", type=Path, default=[], metavar="PATH",
                        help="sf2 or sf3 files to play on (default: all known)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do what was asked."""
    actions = {
        "build": _build,
        "list": _list,
        "play": _play,
        "join": _join,
        "prompts": _prompts,
        "sheet": _sheet,
    }
    actions[args.action](args)
    return 0


def _build(args: argparse.Namespace) -> None:
    from musicgen_ldm.corpus.build import BuildRequest, build_corpus
    from musicgen_ldm.data.manifest import read_manifest

    request = BuildRequest(
        preset=args.preset,
        seed=args.seed,
        num_clips=args.clips,
        genres=tuple(args.genres),
        soundfonts=tuple(args.soundfont),
        sample_rate=args.sample_rate,
        is_stereo=args.stereo,
        with_stems=args.stems,
        with_midi=args.midi,
    )
    manifest = build_corpus(args.out, request, workers=args.workers, show_progress=True)
    clips = list(read_manifest(manifest))
    hours = sum(clip.duration_s for clip in clips) / 3600
    genres = {clip.tags.genre for clip in clips} - {None}  # None where two are heard
    print(f"{manifest}: {len(clips)} clips, {hours:.2f} h, {len(genres)} genres")


def _list(args: argparse.Namespace) -> None:
    from musicgen_ldm.corpus.genre import list_genres, load_genre
    from musicgen_ldm.corpus.instruments import TABLE
    from musicgen_ldm.corpus.moods import MOODS
    from musicgen_ldm.corpus.oneshots import PACKAGE, find_oneshots
    from musicgen_ldm.corpus.soundfont import SOUNDFONTS

    genres = [load_genre(name) for name in list_genres()]
    print(f"{len(genres)} genres")
    for genre in genres:
        low, high = genre.tempo
        patterns = sum(len(group) for group in genre.patterns.values())
        print(f"  {genre.name:24} {genre.kind:11} {genre.meter.name:5} {low:3.0f}-{high:3.0f} bpm"
              f"  {patterns:3} patterns")  # fmt: skip
    print(f"{len(TABLE)} instruments")
    for instrument in TABLE:
        sound = f"synth {instrument.synth}" if instrument.synth else f"GM {instrument.program}"
        print(f"  {instrument.name:24} {instrument.family:11} {sound}")
    print(f"{len(MOODS)} moods: {', '.join(MOODS)}")
    print("sounds")
    for info in SOUNDFONTS:
        state = "installed" if info.path.is_file() else f"missing, `apt install {info.package}`"
        print(f"  {info.name:24} {info.licence:11} {state}")
    has_oneshots = find_oneshots().folder is not None
    state = "installed" if has_oneshots else f"missing (optional), `apt install {PACKAGE}`"
    print(f"  {PACKAGE:24} {'CC0-1.0':11} {state}")


def _play(args: argparse.Namespace) -> None:
    from musicgen_ldm.corpus.clip import make_clip
    from musicgen_ldm.corpus.recipe import single_plan
    from musicgen_ldm.corpus.render import SoundBank
    from musicgen_ldm.errors import CorpusError, OutputError

    if args.output and args.output.suffix != ".flac":
        raise CorpusError(f"{args.output}: clips are FLAC; give a name that ends in .flac")
    plan = single_plan(args.seed, genre=args.genre, split=args.split)
    bank = SoundBank.open(tuple(args.soundfont))
    made = make_clip(plan, bank, sample_rate=args.sample_rate, is_stereo=True)
    tags = made.clip.tags
    path = args.output or Path(f"{tags.genre}-{args.seed}.flac")
    try:
        path.write_bytes(made.flac)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error}); give another -o") from error
    key = f"{tags.key} {tags.mode}" if tags.key else "no key"
    bpm = f"{tags.bpm:g} bpm" if tags.bpm else "no pulse"
    print(f"{path}: {tags.genre}, {tags.mood}, {bpm}, {key}, {', '.join(tags.instruments)}")
    for caption in made.clip.captions:
        print(f"  {caption}")


def _join(args: argparse.Namespace) -> None:
    from musicgen_ldm.data.manifest import join_manifests

    count = join_manifests(args.manifest, [path / "manifest.jsonl" for path in args.folders])
    print(f"{args.manifest}: {count} clips")


def _prompts(args: argparse.Namespace) -> None:
    from musicgen_ldm.corpus.prompts import write_prompts

    clips = write_prompts(args.corpus, args.out, count=args.count, seed=args.seed)
    print(f"{args.out}: {args.count} prompts about {clips} clips")


def _sheet(args: argparse.Namespace) -> None:
    from musicgen_ldm.corpus.sheet import draw_sheet

    path = args.output or args.corpus / "sheet.png"
    draw_sheet(args.corpus, path, count=args.clips)
    print(path)
