"""The GPU's slate optimiser finds what the CPU's does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kernel_cases import compare

pytest.importorskip("triton", reason="PyTorch has no Triton on this platform")


def test_interpreted_it_finds_the_same_slates() -> None:
    environ = os.environ | {"TRITON_INTERPRET": "1"}  # read as Triton is imported: not in this process
    script = Path(__file__).with_name("kernel_cases.py")
    subprocess.run([sys.executable, str(script)], env=environ, check=True, timeout=120)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_it_finds_the_same_slates() -> None:
    compare("cuda")
