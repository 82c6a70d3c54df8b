"""Ceph's object gateway in a single node, as the compose file's S3 service is one: a monitor, an OSD, radosgw.

The OSD keeps objects in its memory: a kill -9 of radosgw, which is the service `s3`, loses nothing; one of the OSD
would.
No manager: pools are made by radosgw itself, and nothing here asks for statistics.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import uuid
from importlib.metadata import version
from pathlib import Path

from local_airflow.components import free_port
from local_airflow.patience import wait_for
from local_cluster.backing import needed, run
from local_cluster.boxes import Box
from local_cluster.packages import MissingError, ensure_programs
from local_cluster.processes import Processes, Running

CEPH, TESTS = "ceph", "tests"
PROGRAMS = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")
#: So much may lie in the OSD's memory [bytes]; a release has a few megabytes.
MEMORY = 4 << 30
#: Each of Ceph's parts, with what it may do.
CAPABILITIES = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *", "mgr": "allow profile osd"},
}
CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = {monitor}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
keyring = {folder}/keyring
run_dir = {folder}
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}
admin_socket =
log_file =
log_to_stderr = true
mon_cluster_log_file =
debug_rocksdb = 0
client_mount_timeout = 120
rgw_init_timeout = 120
rgw_thread_pool_size = 64
# One OSD, and no second copy of anything.
osd_objectstore = memstore
memstore_device_bytes = {memory}
osd_crush_chooseleaf_type = 0
osd_crush_initial_weight = 1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 2
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
# One monitor need not gather changes for a second: each of eight pools is two of them.
paxos_propose_interval = 0.05
paxos_min_wait = 0.02
[mon]
mon_initial_members = a
"""


def chosen(asked: str | None, short: bool) -> str:
    """Which S3 server it is to be: the one asked for; else Ceph where it can be had, and in the short form the tests'.

    Raises:
        MissingError: Ceph is asked for and cannot be had.
    """
    if asked == TESTS or (asked is None and short):
        return TESTS
    try:
        ensure_programs(PROGRAMS)
    except MissingError as error:
        if asked:
            raise
        print(f"S3 is the tests' server, in memory: {error}", file=sys.stderr, flush=True)
        return TESTS
    return CEPH


def name_and_version(server: str) -> str:
    """Which S3 server it is, in words."""
    if server == TESTS:
        return f"the tests' S3 server (moto {version('moto')}, in memory)"
    done = subprocess.run([needed("radosgw"), "--version"], capture_output=True, text=True, check=False)
    return f"Ceph's object gateway (radosgw {' '.join(done.stdout.split()[2:3])})"


def start_ceph(box: Box, processes: Processes) -> None:
    """A monitor, an OSD and radosgw, with the user that the image would make of the same variables; returns once it
    answers."""
    folder, monitor = box.folder, f"[v2:127.0.0.1:{free_port()}]"
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}
    (folder / "osd").mkdir()
    (folder / "ceph.conf").write_text(configuration(folder, fsid, monitor))
    write_keys(folder / "keyring", environment)

    def command(name: str, *words: str) -> list[str]:
        return [needed(name), "-c", str(folder / "ceph.conf"), *words]

    def start(name: str, *words: str) -> None:
        processes.start(Running(name, command(*words), environment, folder, box.log, stays=True))

    first = ["--create", "--clobber", "--enable-all-features", "--addv", "a", monitor, "--fsid", fsid]
    run([needed("monmaptool"), *first, str(folder / "monmap")], environment, folder)
    make = ("--mkfs", "--monmap", str(folder / "monmap"), "--keyring", str(folder / "keyring"))
    run(command("ceph-mon", "-i", "a", *make), environment, folder)
    start("ceph-mon", "ceph-mon", "-i", "a", "-f")
    run(command("ceph", "--connect-timeout", "120", "osd", "new", osd, "0"), environment, folder)
    run(command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd), environment, folder)
    start("ceph-osd", "ceph-osd", "-i", "0", "-f")
    make_user(box, command("radosgw-admin", "user", "create"), environment)
    options = box.service.environment["RGW_FRONTEND_OPTIONS"]
    listen = ["--rgw-frontends", f"beast {options} endpoint=127.0.0.1:{box.ports.s3}"]
    start("s3", "radosgw", "-n", "client.admin", "-f", *listen)

    def there() -> bool | None:
        processes.check()
        return answers(box.ports.s3) or None

    wait_for("Ceph's gateway does not answer", there, every_s=0.1)


def configuration(folder: Path, fsid: str, monitor: str) -> str:
    """ceph.conf: everything in one folder, on the loopback address, and no second copy of anything."""
    return CONFIGURATION.format(folder=folder, fsid=fsid, monitor=monitor, memory=MEMORY)


def write_keys(path: Path, environment: dict[str, str]) -> None:
    """Ceph's own keys, new ones; what the monitor is made with is what everything here reads."""
    path.touch(mode=0o600)
    for name, allowed in CAPABILITIES.items():
        words = [word for part, what in allowed.items() for word in ("--cap", part, what)]
        run([needed("ceph-authtool"), str(path), "--gen-key", "-n", name, *words], environment, path.parent)


def make_user(box: Box, command: list[str], environment: dict[str, str]) -> None:
    """The user with the keys that the service's environment says; they are in no command line."""
    said = box.service.environment
    keys = f"--access-key={said['CEPH_DEMO_ACCESS_KEY']} --secret-key={said['CEPH_DEMO_SECRET_KEY']}"
    name = said["CEPH_DEMO_UID"]
    run([*command, f"--uid={name}", f"--display-name={name}"], {**environment, "CEPH_ARGS": keys}, box.folder)


def answers(port: int) -> bool:
    """Whether an S3 server answers there."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asked.request("GET", "/")
        return asked.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asked.close()
