"""`v2a plan` on the command line."""

from __future__ import annotations

import argparse
import json
import time

from workflows.command.arguments import add_address, add_catalog_places, add_models, count
from workflows.command.commands import COMMANDS, Command
from workflows.command.exit_codes import DONE, FAILED
from workflows.plan.asked import JOBS, Asked, amount, duration_s

_DESCRIPTION = (
    "What a job will take, before it is paid for: a sample of the catalog is measured on this machine, and time, "
    "money, requests, storage, memory and bottleneck are computed for the machines of a file, with the mix of them "
    "that is cheapest for a deadline. Exit code 1 when no mix meets deadline and budget."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_catalog_places(parser)
    parser.add_argument(
        "--cluster", required=True, metavar="FILE", help="the machines and prices: YAML, or a name in configs/clusters/"
    )
    parser.add_argument("--job", choices=JOBS, default="embed", help="what is planned (default: %(default)s)")
    parser.add_argument(
        "--deadline", type=duration_s, metavar="TIME", help="be done in this time, such as 90m, 12h, 2d"
    )
    parser.add_argument("--budget", type=amount, metavar="SUM", help="spend no more; alone: the fastest mix for it")
    parser.add_argument("--sample", type=count, metavar="N", help="sources to measure (default: a tenth, 8 to 32)")
    parser.add_argument(
        "--sources", type=count, metavar="N", help="plan for so many sources like these (default: those of the catalog)"
    )
    parser.add_argument("--output", metavar="URI", help="an output of the job: what it holds is not counted again")
    parser.add_argument("--mapper", metavar="URI", help="of --job generate, as there")
    parser.add_argument("--embeddings", metavar="URI", help="of --job generate, as there")
    parser.add_argument("--limit", type=count, metavar="N", help="take the first N sources")
    parser.add_argument("--config", metavar="FILE", help="the job's configuration: YAML, or a name in configs/JOB/")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="a setting of the job"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    add_models(parser, "paper")
    add_address(parser)


def _run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    from workflows.costing.config import read_cluster

    cluster = read_cluster(arguments.cluster)  # what is wrong with it is told before anything is measured
    names = Asked.__dataclass_fields__.keys() - {"deadline_s"}
    asked = Asked(**{name: getattr(arguments, name) for name in names}, deadline_s=arguments.deadline)
    from workflows.plan import job

    plan = job.make(asked, cluster, began)
    text = json.dumps(plan.to_dict(), indent=2) if arguments.json else "\n".join(plan.lines())
    print(text, flush=True)
    return DONE if plan.mix.best else FAILED


COMMANDS.add("plan", Command("what a job will take: time, money, machines", _add_arguments, _run, _DESCRIPTION))
