"""On whose behalf a process runs, beyond its user: a job, a pod, a container."""

from __future__ import annotations

from gpudoctor.model.values import Value


class Owner(Value, frozen=True):
    """What the control group of a process says: Slurm's job, Kubernetes' pod (its UID), a container.

    `container` is the beginning of its id, as the engines show it.
    """

    slurm_job: str | None = None
    pod_uid: str | None = None
    container: str | None = None
