"""Sends the rows of a run to Trackio: `[log] command = ["python3", "integrations/loggers/to_trackio.py", "PROJECT"]`.

Needs `pip install trackio`. Without PROJECT it is `ruminate`. Trackio keeps the rows on this machine unless its own settings
say otherwise.
"""

import sys

import rows
import trackio


def begin(start):
    project = sys.argv[1] if len(sys.argv) > 1 else "ruminate"
    # Trackio finds the run of a resumed process by its name.
    trackio.init(project=project, name=f"{start['name']}-{start['id'][:8]}", config=start["config"], resume="allow")


def log(numbers, step):
    trackio.log(numbers, step=step)


if __name__ == "__main__":
    rows.follow(begin, log, trackio.finish)
