"""`make ui`: leave Airflow running with the DAGs; prints address and login; Ctrl-C ends it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from gate5.errors import Gate5Error
from local_airflow.components import LocalAirflow, exit_on_signals
from local_airflow.environment import ROOT, make_default_key


def main() -> int:
    """Run until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(description="Run Airflow with the DAGs of this folder until interrupted.")
    parser.add_argument("--home", default=str(ROOT / "var" / "airflow"), help="Airflow's folder (default: var/airflow)")
    arguments = parser.parse_args()
    os.environ.setdefault("GATE5_HOME", str(ROOT))
    exit_on_signals()
    make_default_key()
    print("Starting Airflow (about 20 seconds) ...", flush=True)
    try:
        with LocalAirflow(Path(arguments.home), "make ui") as airflow:
            airflow.wait_until_ready("policy_release")
            user, password = airflow.login
            print(f"\n  address   {airflow.address}\n  user      {user}\n  password  {password}\n", flush=True)
            print("`make release` uses this Airflow while it runs. Ctrl-C ends it.", flush=True)
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
