"""`thinkling doctor`."""

import json

import pytest

from thinkling.cli.main import main


def test_doctor_tells_what_the_contract_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cpu", "--seconds", "0.3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"version", "torch", "device", "compute_dtype", "matmul_gflops", "threads"} <= told.keys()
    assert told["device"] == "cpu"
    assert told["dtypes"].keys() == {"float32", "bfloat16"}
    assert told["matmul_gflops"] == told["dtypes"][told["compute_dtype"]] > 0
    assert told["disk_free_gb"] > 0


def test_doctor_names_the_devices_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cpv"]) == 2
    assert "did you mean 'cpu'?" in capsys.readouterr().err
