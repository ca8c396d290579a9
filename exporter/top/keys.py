"""What a terminal sends for each key. Pure."""

from __future__ import annotations

import codecs
from enum import Enum
from typing import Final


class Key(Enum):
    """A key that is no character."""

    UP = "up"
    DOWN = "down"
    PAGE_UP = "page up"
    PAGE_DOWN = "page down"
    HOME = "home"
    END = "end"
    ENTER = "enter"
    ESCAPE = "escape"
    BACKSPACE = "backspace"
    CTRL_C = "ctrl-c"
    CTRL_Z = "ctrl-z"


ESC: Final = "\x1b"

_SEQUENCES: Final = {
    # xterm, in normal and in application mode, and the linux console; see ctlseqs of xterm
    f"{ESC}[A": Key.UP,
    f"{ESC}OA": Key.UP,
    f"{ESC}[B": Key.DOWN,
    f"{ESC}OB": Key.DOWN,
    f"{ESC}[5~": Key.PAGE_UP,
    f"{ESC}[6~": Key.PAGE_DOWN,
    f"{ESC}[H": Key.HOME,
    f"{ESC}OH": Key.HOME,
    f"{ESC}[1~": Key.HOME,
    f"{ESC}[7~": Key.HOME,
    f"{ESC}[F": Key.END,
    f"{ESC}OF": Key.END,
    f"{ESC}[4~": Key.END,
    f"{ESC}[8~": Key.END,
    f"{ESC}OM": Key.ENTER,
}
_CHARACTERS: Final = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x7f": Key.BACKSPACE,
    "\b": Key.BACKSPACE,
    "\x03": Key.CTRL_C,
    "\x1a": Key.CTRL_Z,
}


class KeyReader:
    """Splits what a terminal sends into keys and characters; what means nothing is dropped."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._left = ""

    @property
    def is_waiting(self) -> bool:
        """Whether the last bytes may be the Escape key, or the beginning of another one."""
        return bool(self._left)

    def read(self, data: bytes) -> list[Key | str]:
        """The keys that are complete now. Without data: what was waiting is complete."""
        text = self._left + self._decoder.decode(data)
        self._left, keys = "", []
        while text:
            key, text = self._first(text, complete=not data)
            if key is None and text == self._left:
                break
            if key is not None:
                keys.append(key)
        return keys

    def _first(self, text: str, *, complete: bool) -> tuple[Key | str | None, str]:
        """The first key, and the text after it."""
        char = text[0]
        if char != ESC:
            return _CHARACTERS.get(char, char if char.isprintable() else None), text[1:]
        if len(text) == 1 or text[1] not in "[O":
            if len(text) > 1 or complete:
                return Key.ESCAPE, text[1:]
            self._left = text
            return None, text
        # a sequence ends with a letter or ~; `[` and `O` only begin it
        end = next((i for i in range(2, len(text)) if text[i].isalpha() or text[i] == "~"), None)
        if end is not None:
            return _SEQUENCES.get(text[: end + 1]), text[end + 1 :]
        if complete:
            return Key.ESCAPE, ""
        self._left = text
        return None, text
