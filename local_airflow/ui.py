"""`make ui`: leave Airflow running with the DAGs; prints address and login; Ctrl-C ends it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from gate5.errors import Gate5Error
from local_airflow.components import LocalAirflow, exit_on_signals
from local_airflow.environment import ROOT, make_default_key

#: Who can log in: one may do everything, one may see everything and start nothing.
USERS = {"admin": "admin", "viewer": "viewer"}
PORT = 8080


def welcome(address: str, passwords: Mapping[str, str], wanted: int) -> str:
    """What is printed when Airflow is there."""
    taken = "" if address.endswith(f":{wanted}") else f"  (port {wanted} is taken)"
    logins = "\n".join(f"  {name:<9} {passwords[name]}" for name in USERS)
    return (
        f"\n  address   {address}{taken}\n\n  user      password\n{logins}\n\n"
        "What runs in production, and why: *Releases* in the navigation.\n"
        "`make release` uses this Airflow while it runs. Ctrl-C ends it."
    )


def main() -> int:
    """Run until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(description="Run Airflow with the DAGs of this folder until interrupted.")
    parser.add_argument("--home", default=str(ROOT / "var" / "airflow"), help="Airflow's folder (default: var/airflow)")
    parser.add_argument("--port", type=int, default=PORT, help=f"another one where it is taken (default: {PORT})")
    arguments = parser.parse_args()
    os.environ.setdefault("GATE5_HOME", str(ROOT))
    exit_on_signals()
    print("Starting Airflow (about 20 seconds) ...", flush=True)
    try:
        make_default_key()
        with LocalAirflow(Path(arguments.home), "make ui", users=USERS, port=arguments.port) as airflow:
            airflow.wait_until_ready("policy_release")
            print(welcome(airflow.address, airflow.home.passwords(USERS), arguments.port), flush=True)
            while True:
                airflow.check_alive()
                time.sleep(1.0)
    except Gate5Error as error:
        print(f"gate5: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nAirflow has ended.")
        return 0


if __name__ == "__main__":
    sys.exit(main())
