"""Every error that gate5 raises on purpose, and the exit code that the command line gives it.

``Gate5Error`` is the root. An ``InputError`` is the caller's to put right (exit code 2): its text is one sentence that
names the value and the way out. An ``OperationError`` is something that broke while gate5 worked (exit code 3):
there is no verdict. A policy that fails Gate 5 is not an error but a verdict (exit code 1) and has no exception. A
``RefusedError`` is a channel's no (exit code 1 too): the policy is held, the channel is frozen or takes no quick run.
"""

from __future__ import annotations


class Gate5Error(Exception):
    """Root of all errors that gate5 raises on purpose."""

    exit_code = 3


class InputError(Gate5Error):
    """What the caller gave is wrong; the text says what, with the value, and how to put it right."""

    exit_code = 2


class RefusedError(Gate5Error):
    """A channel does not take this policy, or nothing at present; the text says who decided that, and why."""

    exit_code = 1


class MovedOnError(RefusedError):
    """A candidate was judged against a release that is not its channel's current one any more."""


class ConfigError(InputError):
    """The configuration is wrong: an unknown key, a value out of range, a name that does not exist."""


class CheckpointError(InputError):
    """The checkpoint is missing, damaged, unsafe to read, not Stable-Baselines3's, or does not fit the plant."""


class PlantError(InputError):
    """The plant, a scenario or a constraint does not exist or contradicts the rest."""


class WorkspaceError(InputError):
    """The workspace lacks an artifact that the stage reads, or an artifact is not what was recorded."""


class DocumentError(InputError, ValueError):
    """A JSON document does not hold what its kind has: it is damaged, or another version of gate5 wrote it."""


class StoreInputError(InputError):
    """A store address, channel, release id or key that cannot be used as given."""


class OperationError(Gate5Error):
    """Something broke while gate5 worked; there is no verdict."""


class EngineError(OperationError):
    """An engine could not be built, loaded or run."""


class ExportError(OperationError):
    """The policy could not be exported."""


class EvaluationError(OperationError):
    """An evaluation could not be carried out (a variable that a constraint needs is missing, and the like)."""


class StoreError(OperationError):
    """The artifact store failed, cannot be reached, or is not safe to use."""


class IntegrityError(OperationError):
    """Bytes do not have the hash or the signature that they must have."""
