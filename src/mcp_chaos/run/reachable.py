"""A server that is asked without a run: a stdio server is started for it, and ends however this process does."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mcp_chaos.bridge.part import stdio_server
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import PartError
from mcp_chaos.faults.watchdog import Watchdog
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.parts import LOOPBACK
from mcp_chaos.machine.streams import tell
from mcp_chaos.observe.era import find_dialect
from mcp_chaos.run.trial import DEADLINE_S
from mcp_chaos.workload.file import AUTO


@contextmanager
def reachable(settings: Settings) -> Iterator[Settings]:
    """Settings whose server can be asked: a stdio server runs meanwhile, and a dialect to be found is found.

    Raises:
        McpChaosError: the server does not start, or does not answer.
    """
    with ExitStack() as stack:
        if settings.command:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="mcp_chaos_", ignore_cleanup_errors=True)))
            stack.callback(Watchdog(RunFolder(folder), Clock.start(), is_scratch=True).dismiss)
            part = stdio_server(folder, settings.dialect, settings.command, settings.start_timeout_s)
            stack.callback(part.stop)
            part.start()
            try:
                part.wait_until_it_answers(lambda told: tell(f"{told} (MCP_START_TIMEOUT_S)", err=True))
            except PartError as error:  # whose log is removed with its folder
                raise PartError(str(error).replace(f" are in {part.child.log}:", ":")) from None
            settings = replace(settings, mcp_url=f"http://{LOOPBACK}:{part.port.number}/mcp")
        if settings.dialect == AUTO:
            settings = replace(settings, dialect=find_dialect(settings.mcp_url or "", DEADLINE_S))
        yield settings
