"""A job that publishes the commits of a folder, and waits at one call for a line of its standard input."""

import sys
import time
from pathlib import Path

from commits import WatchedStore, publisher

from rfdetr_train.checkpoints.lease import acquire
from rfdetr_train.storage import open_store


def main(output_dir: str, uri: str, hold: str, ttl: str) -> None:
    method, ending = hold.split()

    def wait_there(called: str, key: str) -> None:
        if called == method and key.endswith(ending):
            print("held", flush=True)
            sys.stdin.readline()

    store = WatchedStore(open_store(uri), wait_there)
    lease = acquire(store, ttl=float(ttl))
    print("leased", flush=True)
    publishing = publisher(Path(output_dir), store, lease)
    publishing.start()
    while publishing.degraded is None:
        time.sleep(0.02)
    print(publishing.degraded.reason, flush=True)


main(*sys.argv[1:])
