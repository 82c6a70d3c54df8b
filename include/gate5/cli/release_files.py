"""Which release a command means: an id or a channel of the store, or a folder; and which keys vouch for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gate5 import store
from gate5.config.models import ReleaseConfig
from gate5.edge.release_files import ReleaseFiles, in_folder, in_store
from gate5.errors import StoreInputError
from gate5.store.keyring import keyring
from gate5.store.signing import PublicKey


def own_keys(opened: store.ArtifactStore) -> list[PublicKey] | None:
    """The signing key and those beside it; ``None`` (no signature is checked) where this machine has none of either."""
    try:
        own = [opened.signer.public_key]
    except StoreInputError:
        own = []  # a machine that only verifies
    return [*own, *opened.trusted_keys] or None


def find(config: ReleaseConfig, wanted: str | None, channel: str | None, trust: Sequence[str]) -> ReleaseFiles:
    """The files of a release.

    Args:
        config: whose store it is.
        wanted: a folder that `gate5 pull` filled, or a release's id; ``None``: the channel's current release.
        channel: ``None``: the configuration's.
        trust: public key files; none: the keys that lie beside this machine's signing key, if there are any.

    Raises:
        StoreInputError: there is no such release.
        IntegrityError: its manifest is damaged or not signed by a key that is trusted.
    """
    opened = store.open_store(config.store)
    given = store.load_public_keys(trust) if trust else own_keys(opened)
    if wanted is not None and (Path(wanted).is_dir() or "/" in wanted or wanted.startswith(".")):
        return in_folder(Path(wanted).absolute(), given)
    keys: Sequence[PublicKey] | None = None if given is None else keyring(opened, given)
    if wanted is not None:
        return in_store(opened, wanted, keys)
    name = channel or config.release.channel
    entry = store.current(opened, name, given)
    if entry is None:
        raise StoreInputError(f"Nothing was ever promoted on the channel {name} of {opened.uri}.")
    return in_store(opened, entry.release, keys)
