"""A lock between processes. Its file stays open: opening it anew takes a hundred times as long as locking it."""

import os
from pathlib import Path

import portalocker

_AT_ONCE = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING


class FileLock:
    """Held by one process at a time, and by none that has ended. ``file`` is made for this user's eyes only, and stays.

    Methods raise ``OSError`` where there can be no such lock.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened: int | None = None

    def take(self) -> bool:
        """False while another one has it."""
        while True:
            if self._opened is None:
                self._opened = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                portalocker.lock(self._opened, _AT_ONCE)
            except portalocker.AlreadyLocked:
                return False
            except portalocker.LockException as error:
                raise OSError(error.strerror or str(error)) from error
            if self._is_the_file(self._opened):
                return True
            self.close()  # somebody has removed it, and others lock the next one of its name

    def release(self) -> None:
        if self._opened is not None:
            portalocker.unlock(self._opened)

    def close(self) -> None:
        """Release it and let go of the file, until it is taken again."""
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None

    def _is_the_file(self, opened: int) -> bool:
        try:
            return os.path.samestat(os.fstat(opened), self._file.stat())
        except FileNotFoundError:
            return False
