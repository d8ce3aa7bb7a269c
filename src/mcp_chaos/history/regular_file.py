"""Files of people and of run folders: regular ones of bounded size, so that none blocks and none takes all memory."""

import errno
import os
import stat
from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024


def check_regular(path: Path, max_bytes: int = MAX_BYTES) -> None:
    """Check that a file can be read without an end to wait for, for whoever reads it by other means.

    Raises:
        OSError: it is not there, is a pipe, a device or a folder, or is larger; ``strerror`` says which.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    if found.st_size > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes} bytes", str(path))


def read_regular(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Args:
        path: of the file; a link is followed.
        max_bytes: that it may have.

    Raises:
        OSError: it cannot be read, is a pipe, a device or a folder, or is larger; ``strerror`` says which.
    """
    try:
        # Opening a pipe for reading would wait for somebody who writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError:
        raise OSError(errno.EINVAL, "its name has a zero byte in it", str(path)) from None
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes} bytes", str(path))
    return content
