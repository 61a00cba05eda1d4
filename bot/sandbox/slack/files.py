"""Files: an address to upload to, the upload itself, and the end of it, after which people see them."""

from typing import Any

from bot.sandbox.slack.records import File, Json
from bot.sandbox.slack.state import SlackError, State

MOST_BYTES = 1_000_000_000


class Files:
    """Rules for ``files.getUploadURLExternal``, the upload, and ``files.completeUploadExternal``."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._files: dict[str, File] = {}
        self._tickets: dict[str, str] = {}

    def begin(self, arguments: Json) -> Json:
        length = arguments["length"]
        if not 0 < length <= MOST_BYTES:
            raise SlackError.because("invalid_arguments", "length is not that of a file [json-pointer:/length]")
        file = File(self._state.new_id("F"), arguments["filename"], length)
        ticket = self._state.new_id("upload")
        self._files[file.id] = file
        self._tickets[ticket] = file.id
        return {"file_id": file.id, "upload_url": f"{self._state.base_url}/upload/{ticket}"}

    def upload(self, ticket: str, content: bytes) -> bool:
        """Take the content. False for an address that was not given out, or another length than was announced."""
        file = self._files.get(self._tickets.get(ticket, ""))
        if file is None or file.completed or len(content) != file.length:
            return False
        file.content = content
        return True

    def complete(self, wanted: Any) -> list[Json]:
        """The files as they stand in messages."""
        if not isinstance(wanted, list) or not wanted or not all(isinstance(each, dict) for each in wanted):
            raise SlackError.because("invalid_arguments", "files is a list of objects [json-pointer:/files]")
        found = [self._files.get(str(each.get("id"))) for each in wanted]
        files = [file for file in found if file and file.content is not None and not file.completed]
        if len(files) != len(wanted):
            raise SlackError("file_not_found")
        for file, each in zip(files, wanted, strict=True):
            file.completed, file.title = True, str(each.get("title") or file.name)
        return [self._shown(file) for file in files]

    def content(self, id: str) -> File | None:
        """A file that people can open."""
        file = self._files.get(id)
        return file if file and file.completed else None

    def _shown(self, file: File) -> Json:
        return {
            "id": file.id,
            "name": file.name,
            "title": file.title,
            "size": file.length,
            "filetype": file.name.rpartition(".")[2],
            "user": self._state.bot_user_id,
            "url_private": f"{self._state.base_url}/files/{file.id}",
        }
