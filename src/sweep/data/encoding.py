"""Bytes of a text file → UTF-8, and what to say of bytes in another encoding."""

from __future__ import annotations

import codecs

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
# What files come in: from all that Python knows, short texts seem to be in the rarest.
_COMMON = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "cp932", "gb18030", "big5",
    "cp949", "euc_jp",
]  # fmt: skip
_LATIN = 0.3  # share of bytes beyond ASCII among the letters below which a text is in the Latin alphabet
_SAMPLE = 2**16  # bytes around a wrong one by which its encoding is guessed
_SHOWN = 60  # characters of the line


def utf8(data: bytes, encoding: str) -> bytes:
    """`data` in UTF-8, without a byte order mark. A mark of UTF-16 or UTF-32 outweighs the default encoding, utf-8.
    Bytes that are said to be UTF-8 are not checked. Raises ValueError where they are not in `encoding`."""
    if codecs.lookup(encoding).name != "utf-8":
        return _decoded(data, encoding).removeprefix("\ufeff").encode()
    for mark, marked in _MARKS:
        if data.startswith(mark):
            return _decoded(data, marked).encode()
    if other := next((kind for magic, kind in _OTHER_FILES if data.startswith(magic)), None):
        raise ValueError(f"it holds {other}, whatever its name says")
    if half := _half_zero(data):
        rule = "every other byte is zero, as in UTF-16 without a byte order mark"
        raise ValueError(f"it is not UTF-8: {rule}; set dataset.encoding={half}")
    return data.removeprefix(codecs.BOM_UTF8)


def not_utf8(data: bytes) -> str:
    """A message that says where `data` is not UTF-8, and which encoding it may be in; empty where it is UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return _told(data, error.start, "UTF-8")
    return ""


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(_told(data, error.start, encoding)) from None


def _told(data: bytes, at: int, encoding: str) -> str:
    line = data.count(b"\n", 0, at) + 1
    where = f"it is not {encoding}: byte 0x{data[at]:02x} in line {line} (byte {at + 1} of the file)"
    read = [(name, text) for name in _guesses(data, at) if (text := _line(data, at, name))]
    if not read:
        return f"{where}; name its encoding in dataset.encoding"
    ways = ", or ".join(f"dataset.encoding={name} reads {text!r}" for name, text in read)
    return f"{where}; likely: {ways}"


def _guesses(data: bytes, at: int) -> list[str]:
    """Likely encodings, the likeliest first. Those of Latin alphabets are told apart badly: cp1252 is the commonest."""
    from charset_normalizer import from_bytes

    sample = data[max(0, at - _SAMPLE) : at + _SAMPLE]
    high = sum(byte > 127 for byte in sample)
    letters = high + sum(65 <= byte & ~32 <= 90 for byte in sample if byte < 128)
    latin = ["cp1252"] if high < _LATIN * letters else []
    found = [match.encoding for match in from_bytes(sample, cp_isolation=_COMMON)]
    return list(dict.fromkeys([*latin, *found]))[:2]


def _line(data: bytes, at: int, encoding: str) -> str:
    """The line of byte `at`, from a few characters before it; empty where `encoding` cannot be."""
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
