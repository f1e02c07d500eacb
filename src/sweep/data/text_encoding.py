"""Decoding of text files to UTF-8, and messages for bytes in another encoding."""

from __future__ import annotations

import codecs
import sys

MARK = "\ufeff"  # a byte order mark that was decoded: encodings that name their order keep it
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHER_FILES = (
    (b"\x1f\x8b", "a .gz file"),
    (b"BZh", "a .bz2 file"),
    (b"\xfd7zXZ\x00", "an .xz file"),
    (b"\x28\xb5\x2f\xfd", "a .zst file"),
    (b"PK\x03\x04", "an archive or a spreadsheet (.zip, .xlsx)"),
    (b"PAR1", "a .parquet file"),
)
# Common encodings. Among all that Python knows, a guess for a short text is often a rare one.
_COMMON = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "cp932", "gb18030", "big5",
    "cp949", "euc_jp",
]  # fmt: skip
_UTF8 = "utf-8-sig"  # UTF-8, with a byte order mark or without
_LATIN = 0.3  # share of bytes beyond ASCII among the letters below which a text is in the Latin alphabet
_SAMPLE = 2**16  # bytes around an undecodable one, by which the encoding is guessed
_SHOWN = 60  # characters of the line


def utf8(data: bytes, encoding: str) -> bytes:
    """Return `data` in UTF-8, without a byte order mark.

    With the default encoding, utf-8, a mark of UTF-16 or UTF-32 decides; other bytes are not
    checked. Raises ValueError if they are not in `encoding`.
    """
    found = encoding_of(data, encoding)
    if found == _UTF8:
        return data.removeprefix(codecs.BOM_UTF8)
    return _decoded(data, found).removeprefix(MARK).encode()


def encoding_of(head: bytes, encoding: str) -> str:
    """Return the encoding by which a file with these first bytes is decoded, as Python names it.

    With the default encoding, utf-8, a mark of UTF-16 or UTF-32 decides. Where one of these is
    asked for and there is no mark, the order of bytes is that of this machine. Raises ValueError
    for the first bytes of a file that is no text, and with utf-8 of UTF-16 without a mark.
    """
    name = codecs.lookup(encoding).name
    marked = next((marked for mark, marked in _MARKS if head.startswith(mark)), "")
    if name in ("utf-16", "utf-32") and not marked:  # decoded piece by piece, Python would refuse it
        return f"{name}-{sys.byteorder[0]}e"
    if name != "utf-8":
        return encoding
    if marked:
        return marked
    if other := next((kind for magic, kind in _OTHER_FILES if head.startswith(magic)), None):
        raise ValueError(f"it holds {other}, whatever its name says")
    if half := _half_zero(head):
        rule = "every other byte is zero, as in UTF-16 without a byte order mark"
        raise ValueError(f"it is not UTF-8: {rule}; set dataset.encoding={half}")
    return _UTF8


def not_utf8(data: bytes) -> str:
    """Return a message with the first byte that is not UTF-8 and likely encodings; empty for valid
    UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return _undecodable(data, error.start, "UTF-8")
    return ""


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(_undecodable(data, error.start, encoding)) from None


def _undecodable(data: bytes, at: int, encoding: str) -> str:
    line = data.count(b"\n", 0, at) + 1
    return undecodable(data, at, encoding, f"in line {line} (byte {at + 1} of the file)")


def undecodable(data: bytes, at: int, encoding: str, place: str) -> str:
    """Return a message on byte `at` of `data`, which is not in `encoding`, with likely encodings.

    `data` is a file or a part of it, and `place` the place of the byte in words.
    """
    where = f"it is not {encoding}: byte 0x{data[at]:02x} {place}"
    read = [(name, text) for name in _guesses(data, at) if (text := _line(data, at, name))]
    if not read:
        return f"{where}; name its encoding in dataset.encoding"
    ways = ", or ".join(f"dataset.encoding={name} reads {text!r}" for name, text in read)
    return f"{where}; likely: {ways}"


def _guesses(data: bytes, at: int) -> list[str]:
    """Return likely encodings, the most likely first.

    Those of Latin alphabets are hard to distinguish; cp1252 is the most common.
    """
    from charset_normalizer import from_bytes

    sample = data[max(0, at - _SAMPLE) : at + _SAMPLE]
    high = sum(byte > 127 for byte in sample)
    letters = high + sum(65 <= byte & ~32 <= 90 for byte in sample if byte < 128)
    latin = ["cp1252"] if high < _LATIN * letters else []
    found = [match.encoding for match in from_bytes(sample, cp_isolation=_COMMON)]
    return list(dict.fromkeys([*latin, *found]))[:2]


def _line(data: bytes, at: int, encoding: str) -> str:
    """Return the line of byte `at`, from a few characters before it; empty if it cannot be
    decoded."""
    start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
    try:
        before = data[start:at].decode(encoding)
        after = data[at : len(data) if end < 0 else end].decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return ""
    return (before[-_SHOWN // 3 :] + after)[:_SHOWN].rstrip("\r")


def _half_zero(data: bytes) -> str:
    head = data[:1000]
    if len(head) < 4 or head.count(0) < len(head) // 3:
        return ""
    return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
