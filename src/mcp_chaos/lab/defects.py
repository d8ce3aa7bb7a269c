"""Defects that can be planted in the reference server with ``MCP_CHAOS_LAB_DEFECT=NAME``, to see a run fail.

Each is a thing that real servers do. To add one: name it here, say what it does, ask for it where it bites.
"""

import os
from enum import Enum

from mcp_chaos.errors import UsageError

VARIABLE = "MCP_CHAOS_LAB_DEFECT"


class Defect(Enum):
    """What is wrong with the lab on purpose."""

    NO_BACKEND_RECOVERY = "no_backend_recovery"
    """Once a connection to the warehouse has broken, no other is ever opened."""

    BLOCKS_ON_BACKEND = "blocks_on_backend"
    """Queries run on the event loop: while one of them waits for the warehouse, nobody is served."""

    HANGS_AFTER_CUT = "hangs_after_cut"
    """A session belongs to the connection it was opened on; on another one its calls wait for ever."""

    BYPASSES_PROXY = "bypasses_proxy"
    """The load and the canary are pointed past Toxiproxy, straight at the server: no fault is ever delivered."""

    KEEPS_PLACES_OF_LOST_CLIENTS = "keeps_places_of_lost_clients"
    """A call takes one of six places; one whose client leaves before its answer never gives it back."""

    KEEPS_DESCRIPTORS_OF_LOST_CLIENTS = "keeps_descriptors_of_lost_clients"
    """Each client that leaves before its answer costs a file descriptor."""

    POISONS_SESSIONS = "poisons_sessions"
    """A session in which a client left a call is answered HTTP 500 from then on."""

    ANSWERS_LOST_SESSIONS_400 = "answers_lost_sessions_400"
    """A session that the server does not know is answered 400, so that its client never opens another."""

    MIXES_UP_ANSWERS = "mixes_up_answers"
    """Answers are kept by request id alone: clients with the same ids get each other's."""

    SPINS_AFTER_LOST_CLIENTS = "spins_after_lost_clients"
    """What waited for a client that has left goes on in a loop that never rests."""

    KEEPS_PLACES_OF_LOST_HANDSHAKES = "keeps_places_of_lost_handshakes"
    """A session that is being opened takes one of six places, until its client says that it has opened it."""

    STOPS_SESSIONS_BY_CANCELLATION = "stops_sessions_by_cancellation"
    """A cancellation that arrives while its call runs ends what answers its session: later calls wait for ever."""

    FORGETS_IDLE_SESSIONS_BADLY = "forgets_idle_sessions_badly"
    """A session that was idle for 5 s is answered HTTP 500."""

    KEEPS_ENDED_SESSIONS = "keeps_ended_sessions"
    """What belongs to a session stays in memory when the session is ended."""

    SLOWS_WITH_EACH_SESSION = "slows_with_each_session"
    """Ended sessions stay in a list that each request goes through."""

    NEVER_FORGIVES_BAD_REQUESTS = "never_forgives_bad_requests"
    """A session that once sent a bad request is answered HTTP 500 from then on."""

    READS_ONE_PIECE = "reads_one_piece"
    """What has arrived of a request when it is first looked at is taken for all of it."""

    LOSES_CALLS_AT_ONCE = "loses_calls_at_once"
    """A session has room for eight calls under way; what comes on top is never answered."""

    WORKS_OFF_THE_ABANDONED = "works_off_the_abandoned"
    """Calls are worked off one by one in the order in which they came, also those whose clients have gone."""

    STREAMS_TAKE_PLACES = "streams_take_places"
    """A GET stream occupies one of the sixteen workers that answer calls."""

    BROADCASTS_ANSWERS = "broadcasts_answers"
    """What is sent in answer to a call is sent on every open GET stream as well."""

    BREAKS_ON_SECOND_STREAM = "breaks_on_second_stream"
    """A second GET stream of a session takes the place of the first one, and the session's calls wait for ever."""

    BROADCASTS_UNDELIVERED = "broadcasts_undelivered"
    """An answer whose client has left is sent on every open GET stream."""

    LOCKS_WRITES = "locks_writes"
    """One lock is held around every write: a client that does not read keeps it."""

    LOCKS_READS = "locks_reads"
    """One lock is held while a request is read: a client that does not finish its request keeps it."""

    RESETS_IDLE_CONNECTIONS = "resets_idle_connections"
    """A connection that was idle for 4 s stays open, and is cut when its next request comes."""

    REPLAYS_OTHER_STREAMS = "replays_other_streams"
    """A stream that is resumed by Last-Event-ID carries what belongs to other streams."""

    KEEPS_LOGS_OF_ENDED_SESSIONS = "keeps_logs_of_ended_sessions"
    """What a session did is written to a file a second after its end, and the file stays open."""

    KEEPS_OPENED_SESSIONS = "keeps_opened_sessions"
    """Each session that is opened gets a buffer of 1 MB, which is never given back."""

    LEAVES_THREADS = "leaves_threads"
    """Each session that is opened starts a thread, which waits for ever."""

    LEAVES_CHILDREN = "leaves_children"
    """Each client that leaves before its answer costs a child process, which is never ended."""

    HEALTH_STAYS_DOWN = "health_stays_down"
    """Once a client has left before its answer, /health says that the server is down, whatever becomes of calls."""

    HEALTH_SAYS_WELL = "health_says_well"
    """/health is a fixed text; once a client has left before its answer, every call is answered HTTP 500."""

    SLOWER_BY_A_FIFTH = "slower_by_a_fifth"
    """Every answer takes 20 % longer: too little for thresholds, and what a comparison with a baseline should find."""


def planted_defect() -> Defect | None:
    """The defect that the environment asks for, or ``None``.

    Raises:
        UsageError: there is no such defect.
    """
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    try:
        return Defect(name)
    except ValueError:
        known = ", ".join(defect.value for defect in Defect)
        raise UsageError(f"{VARIABLE}: there is no defect {name!r}; there are {known}.") from None
