"""The table of commands: each is a folder with a `command.py`, and a line here.

Other packages add theirs by an entry point of the group `v2a.commands`, which names the module that registers it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from v2a_core.registry import Registry


@dataclass(frozen=True)
class Command:
    """A command of the command line. Its settings, if it has some, are registered with it.

    Attributes:
        meaning: In one line, as part of a list.
        add_arguments: Adds its arguments, but those that its settings give.
        run: Does it; gives the exit code. It imports what takes long.
        description: What its own help says first; without one, the meaning, where there are settings.
    """

    meaning: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    description: str | None = None


COMMANDS: Registry[Command] = Registry(
    "command",
    "v2a.commands",
    {
        "embed": "workflows.embed.command",
        "train": "workflows.train.command",
        "train-timing": "workflows.train_timing.command",
        "train-adapter": "workflows.train_adapter.command",
        "generate": "workflows.generate.command",
        "evaluate": "workflows.evaluate.command",
        "interpolate": "workflows.interpolate.command",
        "plan": "workflows.plan.command",
        "verify": "workflows.cli.verify",
        "status": "workflows.cli.status",
        "page": "workflows.page.command",
        "listening": "workflows.listening.command",
        "demo": "workflows.demo.command",
        "reproduce": "workflows.reproduce.command",
        "models": "workflows.cli.models",
    },
)
