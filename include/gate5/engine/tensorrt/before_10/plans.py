"""One engine, one file: a plan for all batches, or one for batch 1 and one for larger batches.

A single plan is the file itself. Two lie in a ZIP archive without compression, as ``batch_1.plan`` and
``batches.plan``, so that ``unzip`` gives NVIDIA's own tools what they read.
"""

from __future__ import annotations

import io
import zipfile

from gate5.errors import EngineError

SINGLE, WIDE = "batch_1.plan", "batches.plan"
_ZIP = b"PK\x03\x04"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same plans give the same bytes


def pack(single: bytes, wide: bytes | None = None) -> bytes:
    """The engine's file.

    Args:
        single: the plan for batch 1; without ``wide`` for all batches.
        wide: the plan for larger batches.
    """
    if wide is None:
        return single
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, plan in ((SINGLE, single), (WIDE, wide)):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), plan)  # not compressed
    return file.getvalue()


def unpack(blob: bytes) -> tuple[bytes, bytes | None]:
    """The plans for batch 1 and for larger batches; ``None`` where the first serves both.

    Raises:
        EngineError: the archive is damaged.
    """
    if not blob.startswith(_ZIP):
        return blob, None
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            single, wide = (_member(archive, name) for name in (SINGLE, WIDE))
            return single, wide
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise EngineError(
            f"The engine's file is a damaged archive of TensorRT plans ({error}): fetch it or build it again."
        ) from None


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    about = archive.getinfo(name)
    if about.compress_type != zipfile.ZIP_STORED:  # ours never is; who wrote it may have meant to fill the memory
        raise zipfile.BadZipFile(f"{name} is compressed")
    return archive.read(about)
