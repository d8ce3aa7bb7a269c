"""JSON-RPC messages as they arrive: which of them is an answer, where it is found, and what it says."""

from collections.abc import Iterable
from typing import Any

import orjson

from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp.event_stream import EventStream

Message = dict[str, Any]

JSON = "application/json"
EVENT_STREAM = "text/event-stream"


def media_type(content_type: str) -> str:
    """A ``Content-Type`` in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_answer(message: Message) -> bool:
    """Whether a message answers a request: what has a method is a request or a notification of the server's own."""
    return "method" not in message


def first_answer(events: Iterable[bytes]) -> Message | None:
    """The first answer among the events of a stream; those that are no messages are passed over."""
    messages = (parse_message(data) for data in events)
    return next((message for message in messages if message is not None and is_answer(message)), None)


def answer_in(kind: str, body: bytes) -> Message | None:
    """The answer in the body of a response.

    Args:
        kind: its media type, see :func:`media_type`.
        body: all of it.

    Returns:
        The message, or ``None`` where there is none or the media type is not one of MCP's.
    """
    if kind == JSON:
        return parse_message(body)
    return first_answer(EventStream().feed(body)) if kind == EVENT_STREAM else None


def parse_message(data: bytes) -> Message | None:
    """A JSON-RPC message, or ``None`` where there is none: not JSON, not UTF-8, not an object."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) else None


def is_answer_to(call_id: int, message: Message) -> bool:
    """Whether a message is a JSON-RPC response with this id; JSON's ``true`` and ``1.0`` are not 1."""
    found = message.get("id")
    return type(found) is int and found == call_id and message.get("jsonrpc") == "2.0"


def text_of(result: Any) -> str:
    """All that a result says: the text of its content and what is structured; a result of any other form as JSON."""
    content = result.get("content") if isinstance(result, dict) else None
    if not isinstance(content, list):
        return orjson.dumps(result).decode()
    said = [str(part["text"]) for part in content if isinstance(part, dict) and "text" in part]
    if "structuredContent" in result:
        said.append(orjson.dumps(result["structuredContent"]).decode())
    return "\n".join(said)


def error_text(message: Message | None) -> str:
    """What a JSON-RPC error says, shortened and fit for a terminal; empty when it says nothing."""
    error = (message or {}).get("error")
    text = error.get("message", "") if isinstance(error, dict) else error or ""
    return printable(str(text))[:200]
