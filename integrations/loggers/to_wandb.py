"""Sends the rows of a run to Weights & Biases: `[log] command = ["python3", "integrations/loggers/to_wandb.py"]`.

Needs `pip install wandb`. The project, the entity and whether anything leaves the machine are wandb's own settings
(`WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_MODE=offline`).
"""

import rows
import wandb


def begin(start):
    # The same id for a run that is resumed. Rows have their step as a metric, since steps that are made again after a
    # resume would be dropped as wandb's own step.
    wandb.init(
        project=None,
        id=start["id"],
        name=start["name"],
        job_type=start["command"],
        config=start["config"],
        resume="allow",
    )
    wandb.define_metric("step")
    wandb.define_metric("*", step_metric="step")


def log(numbers, step):
    wandb.log({**numbers, "step": step})


if __name__ == "__main__":
    rows.follow(begin, log, wandb.finish)
