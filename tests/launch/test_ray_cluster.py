"""Workers on the nodes of a Ray cluster, which is there before the study and outlives it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from support import remote_parts, toys
from sweep.errors import UserError
from sweep.launch.launcher import Search
from sweep.launch.start import launched
from sweep.plan.plan import Plan
from sweep.records.trial import Completed, EvalPoint, Failed, FailureReason, Outcome, TrialPlan, Verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HEAD = "127.0.0.42"  # never 127.0.0.1, which Ray replaces by the machine's own address


@dataclass
class Nodes:
    """A cluster of nodes at addresses of their own, with a core each."""

    cluster: Any
    count: int = 0

    def add(self) -> Any:
        self.count += 1
        return self.cluster.add_node(
            num_cpus=1, num_gpus=0, object_store_memory=80 * 2**20, node_ip_address=f"127.0.0.{42 + self.count}"
        )

    @property
    def options(self) -> list[str]:
        return ["launcher=ray", f"launcher.address={self.cluster.address}", f"launcher.node_ip_address={HEAD}"]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head without workers, and a node."""
    from ray.cluster_utils import Cluster

    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patched.setenv("RAY_TMPDIR", folder)
        (Path(folder) / "ray").mkdir()
        patched.setenv("RAY_worker_niceness", "0")
        patched.setenv("RAY_worker_register_timeout_seconds", "600")
        head = {
            "num_cpus": 0,
            "num_gpus": 0,
            "node_ip_address": HEAD,
            "object_store_memory": 80 * 2**20,
            "temp_dir": folder,
        }
        cluster = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False})
        found = Nodes(cluster)
        found.add()
        yield found
        cluster.shutdown()


@dataclass
class Study:
    """The callbacks of a study whose lost trials are given out again. `after` is called once, after
    the first evaluation."""

    plans: list[TrialPlan]
    after: Any = None
    ended: list[tuple[int, Outcome]] = field(default_factory=list)

    def next(self) -> TrialPlan | None:
        return self.plans.pop(0) if self.plans else None

    def evaluated(self, _plan: TrialPlan, _point: EvalPoint) -> Verdict:
        if self.after is not None:
            after, self.after = self.after, None
            after()
        return Verdict.CONTINUE

    def end(self, plan: TrialPlan, outcome: Outcome) -> None:
        self.ended.append((plan.number, outcome))
        if isinstance(outcome, Failed):
            self.plans.append(plan)

    @property
    def completed(self) -> list[int]:
        return sorted(number for number, outcome in self.ended if isinstance(outcome, Completed))


def run(plan: Plan, count: int, said: list[str], after: Any = None) -> Study:
    trial = plan.trial(0, {})
    study = Study([replace(trial, number=number) for number in range(count)], after)
    search = Search(lambda _: None, lambda *_: False, lambda: False, count)
    with launched(plan, say=said.append, make_engine=remote_parts.slow_engine) as launcher:
        launcher.engine(search).run(study.next, lambda *_: Verdict.CONTINUE, study.evaluated, study.end)
    return study


def test_a_node_that_joins_is_taken_in_and_one_that_dies_loses_its_trials(nodes: Nodes, tmp_path: Path) -> None:
    plan, said, made = toys.plan(tmp_path, *nodes.options, "study.pruner=none"), list[str](), list[Any]()
    first = nodes.cluster.list_all_nodes()[-1]

    def join() -> None:
        made.append(nodes.add())

    study = run(plan, 40, said, join)
    hosts = {outcome.cost.worker for _, outcome in study.ended}
    assert study.completed == list(range(40)) and len(hosts) == 2, said
    study = run(plan, 4, said, lambda: nodes.cluster.remove_node(first, allow_graceful=False))
    lost = [outcome for _, outcome in study.ended if isinstance(outcome, Failed)]
    assert study.completed == list(range(4))
    assert lost and {outcome.reason for outcome in lost} == {FailureReason.LOST}


def test_a_worker_with_other_versions_is_refused(nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.launch.remote.versions", lambda: {"torch": "1.0"})
    said: list[str] = []
    with pytest.raises(UserError, match="torch is .* there, and 1.0 on the coordinator"):
        run(toys.plan(tmp_path, *nodes.options), 1, said)
    first, second = said
    assert "is not used: torch is" in first and "type there: pip install torch==1.0; once that is mended" in first
    assert second.startswith("note: no worker is there: none of those that came is used")


def test_a_worker_that_cannot_import_an_adapter_is_told_with_the_line(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "from pathlib import Path",
        "from typing import ClassVar",
        "from sweep.model.adapters.lora import LoraSettings",
        "if Path('/proc/self/cmdline').read_text().startswith('ray::'): import rare_library_of_mine",
        "class Rare(LoraSettings):",
        "    label: ClassVar[str] = 'rare'",
    )
    (tmp_path / "rare_adapter.py").write_text("\n".join(lines))
    (tmp_path / "mine" / "adapter").mkdir(parents=True)
    (tmp_path / "mine" / "adapter" / "rare.yaml").write_text("method: rare_adapter.Rare\n")
    monkeypatch.syspath_prepend(tmp_path)
    plan = toys.plan(tmp_path, *nodes.options, "adapter=rare", f"--config-dir={tmp_path}/mine", "study.space=null")
    with pytest.raises(
        UserError, match=r"own code names rare_adapter, .* No module named 'rare_library_of_mine' \(rare_ad"
    ):
        run(plan, 1, [])


def test_a_cluster_without_a_gpu_is_told_after_a_while(nodes: Nodes, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no worker came for 3 s \(launcher.wait\): each takes a GPU, and the cluster has"
    ):
        run(toys.plan(tmp_path, *nodes.options, "trainer.device=cuda", "launcher.wait=3"), 1, [])
