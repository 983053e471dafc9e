"""The command line: one command, a subcommand a job, options generated from the typed configurations."""

from __future__ import annotations

import argparse
import functools
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from v2a_core.config import ConfigError, Settings
from v2a_core.interpolation.config import InterpolationSettings
from v2a_core.storage.public import public_text
from workflows.cli.models import add_models_commands, count
from workflows.cli.page import add_page_command
from workflows.cli.version import VersionAction
from workflows.cluster_runtime import address as cluster_address
from workflows.cluster_runtime.signals import interrupt_on_sigterm
from workflows.command.exit_codes import BAD_CONFIGURATION, DONE, FAILED, MEANINGS, TOO_MANY_REJECTS, TRAINING_STOPPED
from workflows.command.options import LateParser, add_config, add_flags, load_settings, overrides, settings_table
from workflows.command.storage import add_storage_option, reached_storage
from workflows.embed.config import EmbedJob
from workflows.evaluate.config import EvaluateJob
from workflows.generate.config import GenerateJob
from workflows.train.config import TrainingStoppedError, TrainJob

_CATALOG = (
    "file, folder, glob, fsspec URI or prefix, tar shard(s) such as 'shard-{000..009}.tar', or table with a uri column"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    interrupt_on_sigterm()
    try:
        if "address" in arguments:  # before models load: that takes longer
            cluster_address.check(arguments.address)
        return command(arguments)
    except ConfigError as error:
        print(f"v2a: {public_text(str(error))}", file=sys.stderr)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:
        print("v2a: stopped; what was written is kept, the same command goes on from there", file=sys.stderr)
        return FAILED
    except Exception as error:  # noqa: BLE001 (the last stop of every job: a message, not a page of frames)
        return _failed(error)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="v2a", description="Soundtracks for silent video, in bulk.", epilog=MEANINGS)
    parser.add_argument("--version", action=VersionAction, nargs=0, help="print version and commit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=LateParser)

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
    verify.add_argument("output", metavar="URI", help="folder or URI that any job of `v2a` wrote")
    verify.add_argument(
        "--repair",
        action="store_true",
        help="take out what is damaged (into damaged/), so that the job makes it anew; not while it runs",
    )
    add_storage_option(verify)
    verify.set_defaults(command=_verify)

    add_page_command(commands)
    demo = commands.add_parser("demo", help="all jobs on a small catalog, and a page to listen to")
    demo.add_argument("--output", default="demo-output", metavar="DIR", help="local folder (default: %(default)s)")
    _models_option(demo, "miniature")
    _address_option(demo)
    demo.set_defaults(command=_demo)
    add_models_commands(commands)
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
    parser: LateParser = commands.add_parser(
        name,
        help=meaning,
        description=f"{meaning[0].upper()}{meaning[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output", required=True, metavar="URI", help="folder or URI of the output; finished work in it is kept"
    )
    add_config(parser, name)
    _models_option(parser, None if name == "train" else "paper")
    if bulk:
        parser.add_argument("--limit", type=count, metavar="N", help="take the first N sources")
        parser.add_argument("--dry-run", action="store_true", help="list, plan and check, do nothing")
        _address_option(parser)
    parser.fill = functools.partial(_add_settings, settings=settings)
    parser.set_defaults(command=command)
    return parser


def _add_settings(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    add_flags(parser, settings)
    parser.epilog = f"settings (--set key=value, or YAML for --config):\n{settings_table(settings)}\n\n{MEANINGS}"


def _catalog(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("catalog", nargs="+", metavar="CATALOG", help=_CATALOG)
    parser.add_argument(
        "--retry-rejects",
        action="append",
        default=[],
        metavar="STAGE",
        help="try the rejects of a stage again, as `reject_stage` names it (decode, probe, mux, ...); may be repeated",
    )


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


def _embed(arguments: argparse.Namespace) -> int:
    job = load_settings(arguments, "embed", EmbedJob)
    from workflows.embed import job as embed

    embed.run(
        arguments.catalog,
        arguments.output,
        job,
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
        retry_rejects=arguments.retry_rejects,
    )
    return DONE


def _train(arguments: argparse.Namespace) -> int:
    if arguments.sweep:
        return _train_sweep(arguments)
    job = load_settings(arguments, "train", TrainJob)
    from workflows.train import job as train
    from workflows.train import plan as train_plan

    told = train.run(
        arguments.embeddings,
        arguments.output,
        job,
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
    )
    if arguments.dry_run:
        train_plan.show(told)
    return DONE


def _train_sweep(arguments: argparse.Namespace) -> int:
    if arguments.config:
        raise ConfigError("--sweep and --config: write the settings of all runs into the sweep's file, under `base`")
    from workflows.train.sweep import load_sweep, run_sweep

    run_sweep(
        arguments.embeddings,
        arguments.output,
        load_sweep(arguments.sweep, overrides(arguments)),
        models=arguments.models,
        limit=arguments.limit,
        dry_run=arguments.dry_run,
        address=arguments.address,
    )
    return DONE


def _generate(arguments: argparse.Namespace) -> int:
    job = load_settings(arguments, "generate", GenerateJob)
    from workflows.generate import job as generate

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
        retry_rejects=arguments.retry_rejects,
    )
    return DONE


def _interpolate(arguments: argparse.Namespace) -> int:
    settings = load_settings(arguments, "interpolate", InterpolationSettings)
    from workflows.interpolate import job as interpolate

    first, second = arguments.ends
    interpolate.run(first, second, arguments.output, settings, mapper=arguments.mapper, models=arguments.models)
    return DONE


def _verify(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments):
        from v2a_core.verification import repair, verify

        report = verify(arguments.output)
        for line in report.lines():
            print(line, flush=True)
        if not (arguments.repair and report.damaged):
            return FAILED if report.problems else DONE
        for line in repair(report):
            print(f"repair: {line}", flush=True)
        rows = f" (at most {report.to_make} rows)" if report.to_make else ""
        print(f"repair: run {report.again}: it makes anew what was taken out{rows}", flush=True)
        return DONE


def _demo(arguments: argparse.Namespace) -> int:
    from workflows.demo import job as demo

    demo.run(arguments.output, models=arguments.models, address=arguments.address)
    return DONE


def _evaluate(arguments: argparse.Namespace) -> int:
    job = load_settings(arguments, "evaluate", EvaluateJob)
    from workflows.evaluate import job as evaluate

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
    from v2a_core.models.finite import DamagedWeightsError
    from v2a_core.outputs.unfinished import UnfinishedError
    from v2a_core.storage.trouble import StorageStopError
    from workflows.streaming.summary import TooManyRejectsError

    if isinstance(error, TooManyRejectsError):
        print(f"v2a: {error}", file=sys.stderr)
        return TOO_MANY_REJECTS
    if isinstance(error, (UnfinishedError, StorageStopError, DamagedWeightsError)):
        print(f"v2a: {error}", file=sys.stderr)
        return FAILED
    if isinstance(error, TrainingStoppedError):
        print(f"v2a: training stopped: {error}", file=sys.stderr)
        return TRAINING_STOPPED
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        traceback.print_exc()
    print(f"v2a: failed: {public_text(f'{type(error).__name__}: {error}')}", file=sys.stderr)
    return FAILED
