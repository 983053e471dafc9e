"""`v2a models`: the model bundles and their small world, from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from workflows.command.arguments import count
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE, FAILED
from workflows.command.storage import add_storage_option, reached_storage

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    for add in (_add_show, _add_fetch, _add_check, _add_init, _add_world, _add_train, _add_score, _add_compare):
        add(actions)


def _run(arguments: argparse.Namespace) -> int:
    action: Callable[[argparse.Namespace], int] = arguments.action
    return action(arguments)


def _add_show(actions: Actions) -> None:
    show = actions.add_parser("show", help="what a bundle consists of, where it is, its fingerprints")
    show.add_argument("bundle", nargs="?", default="paper", metavar="NAME|FILE")
    show.add_argument("--resolve", action="store_true", help="fetch it too: paths, sizes, fingerprints, spaces")
    add_storage_option(show)
    show.set_defaults(action=_show)


def _add_fetch(actions: Actions) -> None:
    fetch = actions.add_parser("fetch", help="copy a bundle to a folder or bucket, with checksums")
    fetch.add_argument("bundle", metavar="NAME|FILE")
    fetch.add_argument("--output", required=True, metavar="URI", help="where to; use it later with --models")
    add_storage_option(fetch)
    fetch.set_defaults(action=_fetch)


def _add_check(actions: Actions) -> None:
    check = actions.add_parser(
        "check", help="whether the models are the right ones and run as they were trained; 1 when something is wrong"
    )
    check.add_argument("bundle", metavar="NAME|FILE")
    check.add_argument(
        "--sounds",
        metavar="DIR",
        help="a few sounds, named by what is heard (`dog barking.wav`)",
    )
    check.add_argument(
        "--pictures", metavar="DIR", help="pictures, named by what is seen, and CLIP.png and 000000039769.jpg"
    )
    check.add_argument("--checkpoint", metavar="FILE", help="AudioLDM's original checkpoint, to compare weights with")
    check.add_argument("--output", metavar="DIR", help="folder or URI for check.json and check.html: please send them")
    check.add_argument("--device", default=None, metavar="DEVICE", help="cpu, cuda, cuda:1 (default: a GPU if any)")
    add_storage_option(check)
    check.set_defaults(action=_check)


def _add_init(actions: Actions) -> None:
    init = actions.add_parser(
        "init", help="build the miniature bundle: the real classes at tiny size, seeded random weights"
    )
    init.add_argument("bundle", choices=["miniature"])
    init.add_argument("--output", required=True, metavar="DIR", help="local folder; use it later with --models")
    init.add_argument("--seed", type=int, default=0, help="seed of the weights (default: %(default)s)")
    init.set_defaults(action=_init)


def _add_world(actions: Actions) -> None:
    world = actions.add_parser("world", help="write the miniature world as a catalog: labelled videos, shards, stills")
    world.add_argument("--count", type=count, required=True, metavar="N", help="scenes; 80 %% train, 10 %% validation")
    world.add_argument("--output", required=True, metavar="URI", help="folder or URI")
    world.add_argument("--seed", type=int, default=0, help="another seed is another world (default: %(default)s)")
    add_storage_option(world)
    world.set_defaults(action=_world)


def _add_train(actions: Actions) -> None:
    train = actions.add_parser("train", help="train the miniature models on their world (hours); goes on where it was")
    train.add_argument("bundle", choices=["miniature"])
    train.add_argument("--output", required=True, metavar="DIR", help="local folder of the trained bundle")
    train.add_argument("--work", required=True, metavar="DIR", help="local folder of renders, checkpoints and logs")
    train.add_argument("--stage", action="append", metavar="STAGE", help="only this stage; may be repeated")
    train.add_argument("--seed", type=int, default=0, help="seed of everything (default: %(default)s)")
    train.set_defaults(action=_train)


def _add_score(actions: Actions) -> None:
    score = actions.add_parser("score", help="measure a bundle on held-out scenes of the miniature world")
    score.add_argument("bundle", metavar="NAME|FILE")
    score.add_argument("--output", metavar="DIR", help="local folder for score.json and score.md")
    score.add_argument("--per-class", type=count, metavar="N", help="scenes of each kind")
    score.add_argument("--judge", metavar="DIR", help="folder of the judge (default: the bundle's)")
    score.add_argument(
        "--curves", action="store_true", help="only how sounds follow curves, a few minutes; writes following.json"
    )
    add_storage_option(score)
    score.set_defaults(action=_score)


def _add_compare(actions: Actions) -> None:
    compare = actions.add_parser("compare", help="whether two scores agree: of two trainings from one seed they must")
    compare.add_argument("first", metavar="DIR", help="what `score` wrote with --output")
    compare.add_argument("second", metavar="DIR", help="the same of another bundle")
    compare.set_defaults(action=_compare)


def _show(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments):
        from v2a_core.models import load_bundle, show_bundle
        from v2a_core.models.copies import changed_since_lock

        shown = show_bundle(load_bundle(arguments.bundle), resolve=arguments.resolve)
        print(json.dumps(shown, indent=2))
        differences = changed_since_lock(shown)
        for line in differences:
            print(f"v2a: not as it was fetched: {line}", file=sys.stderr)
        return FAILED if differences else DONE


def _fetch(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments, arguments.output):
        from v2a_core.models import fetch_bundle, load_bundle

        fetch_bundle(load_bundle(arguments.bundle), arguments.output)
        print(f"fetched {arguments.bundle}: use it with --models {arguments.output}")
        return DONE


def _check(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments, arguments.output):
        from v2a_core.inspection.report import line, summary, write_report
        from v2a_core.inspection.run import check_bundle
        from v2a_core.models import load_bundle
        from v2a_core.storage.preflight import check_output

        sounds, pictures, checkpoint = (
            Path(given).expanduser() if given else None
            for given in (arguments.sounds, arguments.pictures, arguments.checkpoint)
        )
        if arguments.output:  # not after minutes
            check_output(arguments.output)
        report = check_bundle(
            load_bundle(arguments.bundle),
            sounds=sounds,
            pictures=pictures,
            checkpoint=checkpoint,
            device=arguments.device,
            told=lambda row: print(line(row), flush=True),
        )
        print(summary(report.rows))
        if arguments.output:
            write_report(arguments.output, report)
        return FAILED if any(row.verdict == "wrong" for row in report.rows) else DONE


def _init(arguments: argparse.Namespace) -> int:
    from v2a_core.miniature import init_miniature

    init_miniature(Path(arguments.output), arguments.seed)
    print(f"untrained miniature models (seeded random weights): use them with --models {arguments.output}")
    return DONE


def _world(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments):
        from v2a_core.miniature.world import WorldSettings
        from v2a_core.miniature.world.write import split_counts, write_world

        counts = split_counts(arguments.count)
        written = write_world(arguments.output, counts, WorldSettings(seed=arguments.seed))
        print(f"{written.videos} videos and {written.stills} stills; a catalog for a job: {' '.join(written.inputs)}")
        return DONE


def _train(arguments: argparse.Namespace) -> int:
    from v2a_core.miniature.training import train_miniature

    train_miniature(Path(arguments.output), work=Path(arguments.work), stages=arguments.stage, seed=arguments.seed)
    return DONE


def _score(arguments: argparse.Namespace) -> int:
    with reached_storage(arguments):
        from v2a_core.miniature.score import score, score_following

        output, judge = (Path(folder) if folder else None for folder in (arguments.output, arguments.judge))
        measure = score_following if arguments.curves else score
        measure(arguments.bundle, output=output, per_class=arguments.per_class, judge=judge)
        return DONE


def _compare(arguments: argparse.Namespace) -> int:
    from v2a_core.miniature.score.agreement import compare

    agreement = compare(Path(arguments.first), Path(arguments.second))
    print(agreement.to_markdown())
    return DONE if agreement.whole else FAILED


COMMANDS.add(
    "models",
    Command(
        "the model bundles and their small world: show, fetch, check, init, world, train, score, compare",
        _add_arguments,
        _run,
    ),
)
