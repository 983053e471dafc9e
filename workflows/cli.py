"""The command line: one command, a subcommand a job, options generated from the typed configurations."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from v2a_core import __version__
from v2a_core.config import ConfigError, Settings, load, options
from v2a_core.interpolation.config import InterpolationSettings
from workflows.embed_config import EmbedJob
from workflows.evaluate_config import EvaluateJob
from workflows.generate_config import GenerateJob
from workflows.train_config import TrainingStoppedError, TrainJob

DONE, FAILED, BAD_CONFIGURATION, TOO_MANY_REJECTS, TRAINING_STOPPED = 0, 1, 2, 3, 4

_EXIT_CODES = "exit codes: 0 done, 1 failed, 2 bad configuration, 3 too many rejects, 4 training stopped before its end"
_CATALOG = (
    "file, folder, glob, fsspec URI or prefix, tar shard(s) such as 'shard-{000..009}.tar', or table with a uri column"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except ConfigError as error:
        print(f"v2a: {error}", file=sys.stderr)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:
        print("v2a: stopped; what was written is kept, the same command goes on from there", file=sys.stderr)
        return FAILED
    except Exception as error:  # noqa: BLE001 (the last stop of every job: a message, not a page of frames)
        return _failed(error)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="v2a", description="Soundtracks for silent video, in bulk.", epilog=_EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"v2a {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    embed = _job(commands, "embed", EmbedJob, _embed, "a catalog -> embeddings in Parquet, a row a segment")
    _catalog(embed)
    train = _job(commands, "train", TrainJob, _train, "embeddings -> a mapper")
    train.add_argument("embeddings", metavar="EMBEDDINGS", help="folder or URI that `v2a embed` wrote")
    train.add_argument(
        "--sweep", metavar="FILE", help="train the configurations of a YAML file, or of one in configs/sweep/ by name"
    )
    generate = _job(commands, "generate", GenerateJob, _generate, "a catalog and a mapper -> soundtracks")
    _catalog(generate)
    generate.add_argument(
        "--mapper", metavar="URI", help="folder or URI that `v2a train` wrote; none: CLIP straight into the generator"
    )
    generate.add_argument(
        "--embeddings", metavar="URI", help="what `v2a embed` wrote for the catalog: what is there is not decoded again"
    )

    evaluate = _job(commands, "evaluate", EvaluateJob, _evaluate, "soundtracks and references -> metrics")
    evaluate.add_argument("soundtracks", metavar="SOUNDTRACKS", help="folder or URI that `v2a generate` wrote")
    evaluate.add_argument(
        "--embeddings", metavar="URI", help="references: what `v2a embed` wrote (default: the catalog)"
    )

    between = _job(
        commands,
        "interpolate",
        InterpolationSettings,
        _interpolate,
        "sounds on the way between two things, and a page to hear them in a row",
        bulk=False,
    )
    between.add_argument("ends", nargs=2, metavar="END", help="image, video, audio file, or a text")
    between.add_argument("--mapper", metavar="URI", help="for an image or a video: what `v2a train` wrote, or none")

    verify = commands.add_parser("verify", help="is an output whole and undamaged? exit code 1 with a list when not")
    verify.add_argument("output", metavar="URI", help="folder or URI that `v2a embed` or `v2a generate` wrote")
    verify.set_defaults(command=_verify)

    demo = commands.add_parser("demo", help="all jobs on a small catalog, and a page to listen to")
    demo.add_argument("--output", default="demo-output", metavar="DIR", help="local folder (default: %(default)s)")
    _models_option(demo, "miniature")
    _address_option(demo)
    demo.set_defaults(command=_demo)
    _models_commands(commands)
    return parser


def _job(
    commands: Any,
    name: str,
    settings: type[Settings],
    command: Callable[[argparse.Namespace], int],
    meaning: str,
    *,
    bulk: bool = True,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=meaning,
        description=f"{meaning[0].upper()}{meaning[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"settings (--set key=value, or YAML for --config):\n{_settings_table(settings)}\n\n{_EXIT_CODES}",
    )
    parser.add_argument(
        "--output", required=True, metavar="URI", help="folder or URI of the output; finished work in it is kept"
    )
    parser.add_argument("--config", metavar="FILE", help=f"YAML file, or the name of one in configs/{name}/")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="one setting, dotted; may be repeated",
    )
    _models_option(parser, None if name == "train" else "paper")
    if bulk:
        parser.add_argument("--limit", type=_count, metavar="N", help="take the first N sources")
        parser.add_argument("--dry-run", action="store_true", help="list, plan and check, do nothing")
        _address_option(parser)
    for option in options(settings):
        if option.flag:
            parser.add_argument(
                option.flag,
                dest=f"flag:{option.key}",
                metavar="VALUE",
                # Text is taken as it is: "a dog: two barks", "no" and "1984" mean something else in YAML.
                type=json.dumps if option.type == "str" else str,
                help=f"{option.meaning} (--set {option.key}; default: {option.default})",
            )
    parser.set_defaults(command=command)
    return parser


def _catalog(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("catalog", nargs="+", metavar="CATALOG", help=_CATALOG)


def _models_option(parser: argparse.ArgumentParser, default: str | None) -> None:
    parser.add_argument(
        "--models",
        default=default,
        metavar="NAME|FILE",
        help="model bundle: a name in configs/models/, a YAML file, or a fetched folder (default: %(default)s)",
    )


def _address_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address", metavar="ADDRESS", help="a running Ray cluster (default: RAY_ADDRESS, else Ray on this machine)"
    )


def _models_commands(commands: Any) -> None:
    models = commands.add_parser(
        "models", help="the model bundles and their small world: show, fetch, init, world, train, score"
    )
    actions = models.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser("show", help="what a bundle consists of, where it is, its fingerprints")
    show.add_argument("bundle", nargs="?", default="paper", metavar="NAME|FILE")
    show.add_argument("--resolve", action="store_true", help="fetch it too: paths, sizes, fingerprints, spaces")
    show.set_defaults(command=_models_show)
    fetch = actions.add_parser("fetch", help="copy a bundle to a folder or bucket, with checksums")
    fetch.add_argument("bundle", metavar="NAME|FILE")
    fetch.add_argument("--output", required=True, metavar="URI", help="where to; use it later with --models")
    fetch.set_defaults(command=_models_fetch)
    init = actions.add_parser(
        "init", help="build the miniature bundle: the real classes at tiny size, seeded random weights"
    )
    init.add_argument("bundle", choices=["miniature"])
    init.add_argument("--output", required=True, metavar="DIR", help="local folder; use it later with --models")
    init.add_argument("--seed", type=int, default=0, help="seed of the weights (default: %(default)s)")
    init.set_defaults(command=_models_init)
    world = actions.add_parser("world", help="write the miniature world as a catalog: labelled videos, shards, stills")
    world.add_argument("--count", type=_count, required=True, metavar="N", help="scenes; 80 % train, 10 % validation")
    world.add_argument("--output", required=True, metavar="URI", help="folder or URI")
    world.add_argument("--seed", type=int, default=0, help="another seed is another world (default: %(default)s)")
    world.set_defaults(command=_models_world)
    train = actions.add_parser("train", help="train the miniature models on their world (hours); goes on where it was")
    train.add_argument("bundle", choices=["miniature"])
    train.add_argument("--output", required=True, metavar="DIR", help="local folder of the trained bundle")
    train.add_argument("--work", required=True, metavar="DIR", help="local folder of renders, checkpoints and logs")
    train.add_argument("--stage", action="append", metavar="STAGE", help="only this stage; may be repeated")
    train.add_argument("--seed", type=int, default=0, help="seed of everything (default: %(default)s)")
    train.set_defaults(command=_models_train)
    score = actions.add_parser("score", help="measure a bundle on held-out scenes of the miniature world")
    score.add_argument("bundle", metavar="NAME|FILE")
    score.add_argument("--output", metavar="DIR", help="local folder for score.json and score.md")
    score.add_argument("--per-class", type=_count, metavar="N", help="scenes of each kind")
    score.add_argument("--judge", metavar="DIR", help="folder of the judge (default: the bundle's)")
    score.set_defaults(command=_models_score)


def _settings_table(settings: type[Settings]) -> str:
    lines = []
    for option in options(settings):
        unit = f" {option.unit}" if option.unit else ""
        default = "none" if option.default is None else option.default
        lines.append(f"  {option.key} = {default}{unit}\n      {option.meaning} [{option.type}]")
    return "\n".join(lines)


def _load(arguments: argparse.Namespace, job: str, settings: type[Any]) -> Any:
    return load(settings, job=job, source=arguments.config, overrides=_overrides(arguments))


def _overrides(arguments: argparse.Namespace) -> list[str]:
    flags = {key.partition(":")[2]: value for key, value in vars(arguments).items() if key.startswith("flag:")}
    return [*arguments.overrides, *(f"{key}={value}" for key, value in flags.items() if value is not None)]


def _embed(arguments: argparse.Namespace) -> int:
    job = _load(arguments, "embed", EmbedJob)
    from workflows import embed

    embed.run(
        arguments.catalog,
        arguments.output,
        job,
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
    )
    return DONE


def _train(arguments: argparse.Namespace) -> int:
    if arguments.sweep:
        return _train_sweep(arguments)
    job = _load(arguments, "train", TrainJob)
    from workflows import train

    train.run(
        arguments.embeddings,
        arguments.output,
        job,
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
    )
    return DONE


def _train_sweep(arguments: argparse.Namespace) -> int:
    if arguments.config:
        raise ConfigError("--sweep and --config: write the settings of all runs into the sweep's file, under `base`")
    from workflows.train_sweep import load_sweep, run_sweep

    run_sweep(
        arguments.embeddings,
        arguments.output,
        load_sweep(arguments.sweep, _overrides(arguments)),
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
    )
    return DONE


def _generate(arguments: argparse.Namespace) -> int:
    job = _load(arguments, "generate", GenerateJob)
    from workflows import generate

    generate.run(
        arguments.catalog,
        arguments.output,
        job,
        mapper=arguments.mapper,
        models=arguments.models,
        embeddings=arguments.embeddings,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
    )
    return DONE


def _interpolate(arguments: argparse.Namespace) -> int:
    settings = _load(arguments, "interpolate", InterpolationSettings)
    from workflows import interpolate

    first, second = arguments.ends
    interpolate.run(first, second, arguments.output, settings, mapper=arguments.mapper, models=arguments.models)
    return DONE


def _verify(arguments: argparse.Namespace) -> int:
    from v2a_core.verify import verify

    report = verify(arguments.output)
    for line in report.lines():
        print(line)
    return FAILED if report.problems else DONE


def _demo(arguments: argparse.Namespace) -> int:
    from workflows import demo

    demo.run(arguments.output, models=arguments.models, address=arguments.address)
    return DONE


def _models_show(arguments: argparse.Namespace) -> int:
    from v2a_core.models import load_bundle, show_bundle

    print(json.dumps(show_bundle(load_bundle(arguments.bundle), resolve=arguments.resolve), indent=2))
    return DONE


def _models_fetch(arguments: argparse.Namespace) -> int:
    from v2a_core.models import fetch_bundle, load_bundle

    fetch_bundle(load_bundle(arguments.bundle), arguments.output)
    print(f"fetched {arguments.bundle}: use it with --models {arguments.output}")
    return DONE


def _models_init(arguments: argparse.Namespace) -> int:
    from v2a_core.miniature import init_miniature

    init_miniature(Path(arguments.output), arguments.seed)
    print(f"untrained miniature models (seeded random weights): use them with --models {arguments.output}")
    return DONE


def _models_world(arguments: argparse.Namespace) -> int:
    from v2a_core.miniature.world import WorldSettings
    from v2a_core.miniature.world.write import split_counts, write_world

    counts = split_counts(arguments.count)
    written = write_world(arguments.output, counts, WorldSettings(seed=arguments.seed))
    print(f"{written.videos} videos and {written.stills} stills; a catalog for a job: {' '.join(written.inputs)}")
    return DONE


def _models_train(arguments: argparse.Namespace) -> int:
    from v2a_core.miniature.training import train_miniature

    train_miniature(Path(arguments.output), work=Path(arguments.work), stages=arguments.stage, seed=arguments.seed)
    return DONE


def _models_score(arguments: argparse.Namespace) -> int:
    from v2a_core.miniature.score import score

    output, judge = (Path(folder) if folder else None for folder in (arguments.output, arguments.judge))
    score(arguments.bundle, output=output, per_class=arguments.per_class, judge=judge)
    return DONE


def _evaluate(arguments: argparse.Namespace) -> int:
    job = _load(arguments, "evaluate", EvaluateJob)
    from workflows import evaluate

    evaluate.run(
        arguments.soundtracks,
        arguments.output,
        job,
        models=arguments.models,
        embeddings=arguments.embeddings,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
    )
    return DONE


def _failed(error: Exception) -> int:
    from workflows.summary import TooManyRejectsError

    if isinstance(error, TooManyRejectsError):
        print(f"v2a: {error}", file=sys.stderr)
        return TOO_MANY_REJECTS
    if isinstance(error, TrainingStoppedError):
        print(f"v2a: training stopped: {error}", file=sys.stderr)
        return TRAINING_STOPPED
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        traceback.print_exc()
    print(f"v2a: failed: {type(error).__name__}: {error}", file=sys.stderr)
    return FAILED


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
