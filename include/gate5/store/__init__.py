"""The artifact store: releases that are never overwritten, and channels that say which one is current.

store = open_store(config.store)
release = publish(store, files, provenance)
promotion = promote(store, "production", release, approved_by="A. Person")
"""

from gate5.store.artifact_store import ArtifactStore, open_store
from gate5.store.candidate import Candidate, identities
from gate5.store.channel import ChannelEntry, current, history
from gate5.store.held import Hold
from gate5.store.hold_changes import HoldChange, hold, holds, lift
from gate5.store.keyring import demands
from gate5.store.manifest import Release
from gate5.store.promotion import Promotion, promote
from gate5.store.releases import find_release, list_releases, publish, verify_release
from gate5.store.rollbacks import rollback
from gate5.store.signing import KeyPair, keygen, load_public_keys, load_signer

__all__ = [
    "ArtifactStore",
    "Candidate",
    "ChannelEntry",
    "Hold",
    "HoldChange",
    "KeyPair",
    "Promotion",
    "Release",
    "current",
    "demands",
    "find_release",
    "history",
    "hold",
    "holds",
    "identities",
    "keygen",
    "lift",
    "list_releases",
    "load_public_keys",
    "load_signer",
    "open_store",
    "promote",
    "publish",
    "rollback",
    "verify_release",
]
