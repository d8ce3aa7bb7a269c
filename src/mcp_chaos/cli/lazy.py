"""Commands that are imported when they are called: most need a second for that, and a list of them nothing."""

from collections.abc import Mapping
from importlib import import_module

import click


class LazyGroup(click.Group):
    """A group that knows some of its commands by name and a sentence only, until one of them is asked for."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.lazy: dict[str, tuple[str, str]] = {}

    def add_lazily(self, module: str, commands: Mapping[str, str]) -> None:
        """Add commands of a module.

        Args:
            module: its name, where each of the commands is.
            commands: by name, the sentence that the list of commands shows.
        """
        self.lazy |= {name: (module, sentence) for name, sentence in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted([*super().list_commands(ctx), *self.lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, imported now where it is not yet; ``None`` where there is none."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        found = vars(import_module(self.lazy[cmd_name][0])).values()
        return next(one for one in found if isinstance(one, click.Command) and one.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, as click does, without importing any."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._short_help(ctx, name, limit)) for name in names])

    def _short_help(self, ctx: click.Context, name: str, limit: int) -> str:
        known = self.commands.get(name) or click.Command(name, help=self.lazy[name][1])
        return known.get_short_help_str(limit)
