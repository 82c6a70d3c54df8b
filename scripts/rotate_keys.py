"""Keys are added, ended and revoked while machines promote and plants pull.

    nice python -m scripts.rotate_keys --promotions 50 --plants 5 --seed 0

Three machines, each with a key of its own, promote; plants that trust the first key alone pull again and again, with
real engines. Meanwhile the first key adds the two others; one of these revokes the third and ends the first, at times
that follow from the seed. Right is: nobody is refused but by a key's end, no plant ever goes back or stops, each ends
with the newest release, and the log, every signature verified, has every promotion that said it was done, each once.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from gate5.edge.pull import pull
from gate5.engine import load
from gate5.errors import Gate5Error, StoreInputError
from gate5.store import ArtifactStore, current, history, keygen, load_public_keys, promote, publish
from gate5.store.directory import DirectoryBackend
from gate5.store.key_changes import add_key, close_key
from scripts.tamper_release import CHANNEL, PROVENANCE, release_files

ENDED = ("was ended", "was revoked", "is being ended")


@dataclass
class Count:
    """What happened."""

    promoted: list[str] = field(default_factory=list)
    refused: int = 0
    pulls: int = 0
    wrong: list[str] = field(default_factory=list)


class Site:
    """A store, three machines with a key each, and plants that trust the first."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.names = folder, ("first", "second", "third")
        for name in self.names:
            keygen(folder / name / "k.pem")
        self.trust = load_public_keys([folder / "first" / "k.pub"])
        for name in ("second", "third"):
            (folder / name / "first.pub").write_bytes((folder / "first" / "k.pub").read_bytes())
        self.count, self.done = Count(), threading.Event()
        self.promote(self.machine("first"), 0)

    def machine(self, name: str) -> ArtifactStore:
        """The store as a process on one machine sees it."""
        return ArtifactStore(DirectoryBackend(self.folder / "store"), self.folder / name / "k.pem")

    def promote(self, store: ArtifactStore, mark: int) -> None:
        """Publish a release and put it on the channel, unless the key has ended."""
        try:
            release = publish(store, release_files(mark), PROVENANCE)
            promote(store, CHANNEL, release, approved_by="me", trusted_keys=self.trust)
            self.count.promoted.append(release.id)
        except StoreInputError as error:
            if not any(word in str(error) for word in ENDED):
                self.count.wrong.append(f"promotion {mark}: {error}")
            self.count.refused += 1
        except Gate5Error as error:
            self.count.wrong.append(f"promotion {mark}: {error}")

    def keep_promoting(self, name: str, marks: range) -> None:
        """One machine's work."""
        for mark in marks:
            self.promote(self.machine(name), mark)

    def keep_pulling(self, number: int) -> None:
        """One plant's life: it never goes back, and always runs what the channel said when it asked or later."""
        last, ended = 0, False
        while not ended:
            ended = self.done.is_set()  # once more after the last promotion
            try:
                opened = ArtifactStore(DirectoryBackend(self.folder / "store"))
                found = pull(opened, CHANNEL, self.folder / f"plant{number}", self.trust, load_engine=load)
            except Gate5Error as error:
                self.count.wrong.append(f"plant {number}: {error}")
                return
            if found.sequence < last:
                self.count.wrong.append(f"plant {number} went from entry {last} to {found.sequence}")
            last, self.count.pulls = found.sequence, self.count.pulls + 1
        newest = current(self.machine("second"), CHANNEL, self.trust)
        if newest is None or newest.sequence != last:
            self.count.wrong.append(f"plant {number} ends at entry {last}, the channel at {newest}")


def rotate(folder: Path, promotions: int, plants: int, seed: int) -> Count:
    """Let it all happen; returns what did."""
    site, dice = Site(folder), random.Random(seed)
    first, second = site.machine("first"), site.machine("second")
    keys = {name: site.machine(name).signer.public_key for name in site.names}
    add_key(first, keys["second"], name="second", by="me", reason="rotation", root=True)
    add_key(first, keys["third"], name="third", by="me", reason="a second line")
    share, work = promotions // 3, list[threading.Thread]()
    marks = {"first": range(1, share), "third": range(share, 2 * share), "second": range(2 * share, promotions)}
    work += [threading.Thread(target=site.keep_promoting, args=(name, marks[name])) for name in marks]
    pulling = [threading.Thread(target=site.keep_pulling, args=(number,)) for number in range(plants)]
    for thread in (*work, *pulling):
        thread.start()
    for name, revoked in (("third", True), ("first", False)):
        wanted = len(site.count.promoted) + dice.randint(1, max(1, promotions // 6))
        while len(site.count.promoted) < wanted and any(thread.is_alive() for thread in work):
            time.sleep(0.01)
        close_key(second, keys[name].keyid, by="me", reason="its time", revoked=revoked)
    for thread in work:
        thread.join()
    site.done.set()
    for thread in pulling:
        thread.join()
    found = [entry.release for entry in history(second, CHANNEL, site.trust) if entry.kind == "promote"]
    if sorted(found) != sorted(site.count.promoted):
        site.count.wrong.append(f"the log has {len(found)} promotions, {len(site.count.promoted)} said they were done")
    return site.count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promotions", type=int, default=50)
    parser.add_argument("--plants", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count = rotate(Path(folder), given.promotions, given.plants, given.seed)
    print("".join(f"{line}\n" for line in count.wrong), file=sys.stderr, end="")
    told = f"{len(count.promoted)} promoted, {count.refused} refused because their key had ended, {count.pulls} pulls"
    print(f"{given.promotions} promotions tried: {told}, {len(count.wrong)} wrong")
    return 1 if count.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
