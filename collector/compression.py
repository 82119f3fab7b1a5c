"""Zstandard: of Python itself from 3.14 on, of its backport before."""

import sys
from typing import Any, Final

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_ERROR: Final = zstd.ZstdError
_WINDOW_LOG: Final = 23  # 8 MiB, the most that a sender may ask of a receiver over HTTP (RFC 9659)


def zstd_compress(content: bytes) -> bytes:
    """One frame at the fastest level; frames that follow each other are one body."""
    return zstd.compress(content, 1)


def zstd_decompressor() -> Any:
    """Of one frame: ``decompress(data, max_length)``, ``eof`` and ``unused_data``, like those of zlib."""
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
