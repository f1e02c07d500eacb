"""The RayJob manifest has fields of the RayJob type alone.

The fields are those of KubeRay's `ray-operator/apis/ray/v1/rayjob_types.go` and
`raycluster_types.go`, as far as they are used.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

MANIFEST = Path(__file__).parents[2] / "deploy" / "rayjob.yaml"
COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string", "minLength": 1}


def fields(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields and no other."""
    return {
        "type": "object", "properties": {**required, **optional}, "required": list(required), "additionalProperties": False,
    }  # fmt: skip


STARTED = {"type": "object", "additionalProperties": {"type": "string"}}  # rayStartParams holds text alone
CONTAINER = fields(
    {"name": TEXT, "image": TEXT, "resources": fields({"requests": STARTED, "limits": STARTED})},
    ports={"type": "array", "items": fields({"containerPort": COUNT, "name": TEXT})},
    env={"type": "array", "items": fields({"name": TEXT}, value=TEXT, valueFrom={"type": "object"})},
    volumeMounts={"type": "array", "items": fields({"name": TEXT, "mountPath": TEXT})},
)
TEMPLATE = fields({
    "spec": fields(
        {"containers": {"type": "array", "items": CONTAINER}},
        volumes={"type": "array", "items": fields({"name": TEXT}, persistentVolumeClaim={}, emptyDir={})},
        terminationGracePeriodSeconds=COUNT,
    )
})  # fmt: skip
HEAD = fields({"rayStartParams": STARTED, "template": TEMPLATE})
WORKERS = fields({
    "groupName": TEXT, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT, "rayStartParams": STARTED,
    "template": TEMPLATE,
})  # fmt: skip
CLUSTER = fields({"rayVersion": TEXT, "headGroupSpec": HEAD, "workerGroupSpecs": {"type": "array", "items": WORKERS}})
JOB = fields({
    "apiVersion": {"const": "ray.io/v1"}, "kind": {"const": "RayJob"}, "metadata": fields({"name": TEXT}),
    "spec": fields(
        {"entrypoint": TEXT, "rayClusterSpec": CLUSTER},
        submissionMode={"enum": ["K8sJobMode", "HTTPMode"]}, backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"}, ttlSecondsAfterFinished=COUNT,
    ),
})  # fmt: skip


@pytest.fixture(scope="module")
def job() -> Any:
    found, *_ = yaml.safe_load_all(MANIFEST.read_text())
    return found


def test_every_field_is_one_of_the_rayjob_type(job: Any) -> None:
    assert [error.message for error in Draft202012Validator(JOB).iter_errors(job)] == []


def test_the_cluster_runs_the_pinned_ray_and_mounts_what_it_names(job: Any) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    pinned = (MANIFEST.parents[1] / "constraints.txt").read_text()
    assert f"ray=={cluster['rayVersion']}" in pinned
    assert cluster["rayVersion"] == version("ray")
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_a_deleted_job_has_time_to_put_its_trials_away(job: Any) -> None:
    """Ray kills the command of a job that is stopped after 3 s, unless the head's environment says
    otherwise. Snapshots take up to 10 s."""
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    (container,) = head["containers"]
    seconds = next(int(one["value"]) for one in container["env"] if one["name"] == "RAY_JOB_STOP_WAIT_TIME_S")
    assert 10 < seconds < head["terminationGracePeriodSeconds"]


def test_the_entrypoint_is_a_command_of_sweep(job: Any, tmp_path: Path) -> None:
    from sweep.config.compose import Composer
    from sweep.config.parse import parse

    program, arguments = job["spec"]["entrypoint"].split()[:3], job["spec"]["entrypoint"].split()[3:]
    assert program == ["python", "-m", "sweep"]
    config, faults = parse(Composer().compose(arguments).resolved(), str)
    assert not faults and config.launcher.name == "ray"
