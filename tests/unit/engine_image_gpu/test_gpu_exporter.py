"""What GPUs tell is shown under DCGM's names, and what they do not tell has no series."""

import inspect
import logging
import math
import subprocess
import sys
import threading
from pathlib import Path

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

import nvml_double
from batchedllm.core.metrics import CONTRACT
from batchedllm_engine.gpu_exporter import exporter as exporter_module
from batchedllm_engine.gpu_exporter.definitions import EXPORTER_METRICS, GPU_METRICS, THROTTLE_REASONS
from batchedllm_engine.gpu_exporter.exporter import INTERVAL_SECONDS, RETRY_SECONDS, GpuExporter, GpuGauges
from batchedllm_engine.gpu_exporter.nvml import SLOW_EVERY_LOOKS, GpusUnreadableError, open_gpus
from batchedllm_engine.gpu_exporter.reading import is_visible
from nvml_double import GIB, Device, Instance, Nvml

ENGINE_IMAGE = Path(__file__).parents[3] / "engine_image"
LABELS = {"gpu": "0", "UUID": "GPU-11111111", "modelName": "NVIDIA H200", "GPU_I_PROFILE": "", "GPU_I_ID": ""}
MIG = Device(
    lacks=frozenset({"nvmlDeviceGetUtilizationRates"}),
    instances=[
        Instance("1g.18gb", 7, 3 * GIB, 16 * GIB, "MIG-aaaa"),
        Instance("3g.71gb", 2, 60 * GIB, 69 * GIB, "MIG-bbbb"),
    ],
)


@pytest.fixture
def shown(monkeypatch):
    """Show the GPUs of a double; return the registry, and the exporter for more looks."""

    def show(nvml, visible=None):
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        registry = CollectorRegistry()
        exporter = GpuExporter(GpuGauges(registry), logging.getLogger("gpu"), lambda: open_gpus(visible))
        exporter.look()
        return registry, exporter

    return show


def value(registry, name, **labels):
    return registry.get_sample_value(name, LABELS | labels)


def up(registry):
    return registry.get_sample_value("batchedllm_engine:gpu_exporter_up")


def gpu_series(registry):
    return {
        (sample.name, sample.labels["gpu"], sample.labels["GPU_I_ID"])
        for family in registry.collect() for sample in family.samples if "gpu" in sample.labels
    }  # fmt: skip


def test_a_gpu_is_shown_in_dcgms_units(shown):
    registry, _ = shown(Nvml(Device()))
    assert {one: value(registry, f"DCGM_FI_DEV_{one}") for one in ("GPU_UTIL", "MEM_COPY_UTIL")} == {
        "GPU_UTIL": 87,
        "MEM_COPY_UTIL": 41,
    }
    assert value(registry, "DCGM_FI_DEV_FB_USED") == 40 * 1024
    assert value(registry, "DCGM_FI_DEV_FB_FREE") == 99 * 1024
    assert value(registry, "DCGM_FI_DEV_POWER_USAGE") == pytest.approx(612.345)
    assert value(registry, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == 1_000_000
    assert value(registry, "DCGM_FI_DEV_GPU_TEMP") == 61
    assert value(registry, "DCGM_FI_DEV_SM_CLOCK") == 1980
    assert value(registry, "DCGM_FI_DEV_MEM_CLOCK") == 3201
    assert value(registry, "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL") == 2
    assert value(registry, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL") == 0
    assert value(registry, "DCGM_FI_DEV_XID_ERRORS") == 0
    assert up(registry) == 1


def test_throttling_is_told_by_reason(shown):
    registry, _ = shown(Nvml(Device(clock_events=0x1 | 0x4 | 0x40)))
    told = {reason: value(registry, "batchedllm_engine:gpu_throttled", reason=reason) for reason in THROTTLE_REASONS}
    assert told == dict.fromkeys(THROTTLE_REASONS, 0) | {"sw_power_cap": 1, "hw_thermal": 1}
    assert value(registry, "DCGM_FI_DEV_CLOCKS_EVENT_REASONS") == 0x45


def test_what_moves_is_asked_for_at_each_look_and_what_is_slow_at_each_tenth(shown):
    device = Device()
    registry, exporter = shown(Nvml(device))
    device.utilization, device.millijoules = 12, 2_000_000

    exporter.look()
    assert value(registry, "DCGM_FI_DEV_GPU_UTIL") == 12
    assert value(registry, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == 1_000_000

    for _ in range(SLOW_EVERY_LOOKS - 1):
        exporter.look()
    assert value(registry, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION") == 2_000_000


def test_an_older_driver_tells_throttling_by_its_older_name(shown):
    registry, _ = shown(Nvml(Device(lacks=frozenset({"EventReasons"}))))
    assert value(registry, "DCGM_FI_DEV_CLOCKS_EVENT_REASONS") == 0x4


def test_several_gpus_have_series_each(shown):
    registry, _ = shown(Nvml(Device(), Device(uuid="GPU-22222222", utilization=3)))
    assert value(registry, "DCGM_FI_DEV_GPU_UTIL") == 87
    assert value(registry, "DCGM_FI_DEV_GPU_UTIL", gpu="1", UUID="GPU-22222222") == 3


@pytest.mark.parametrize(
    ("lacking", "names"),
    [
        ("nvmlDeviceGetUtilizationRates", {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL"}),
        ("nvmlDeviceGetTotalEccErrors", {"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"}),
        ("nvmlDeviceGetMemoryInfo", {"DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"}),
        ("nvmlDeviceRegisterEvents", {"DCGM_FI_DEV_XID_ERRORS"}),
        (
            "nvmlDeviceGetCurrentClocksEventReasons",
            {"DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "batchedllm_engine:gpu_throttled"},
        ),
    ],
)
def test_what_a_gpu_does_not_tell_has_no_series_and_the_rest_is_there(shown, lacking, names):
    registry, _ = shown(Nvml(Device(lacks=frozenset({lacking}))))
    assert {one.name for one in GPU_METRICS} - {name for name, _, _ in gpu_series(registry)} == names
    assert up(registry) == 1


def test_mig_instances_have_their_memory_and_their_gpu_the_rest(shown):
    registry, _ = shown(Nvml(MIG))
    small = {"GPU_I_PROFILE": "1g.18gb", "GPU_I_ID": "7"}
    assert value(registry, "DCGM_FI_DEV_FB_USED", **small) == 3 * 1024
    assert value(registry, "DCGM_FI_DEV_FB_FREE", **small) == 13 * 1024
    assert value(registry, "DCGM_FI_DEV_FB_USED", GPU_I_PROFILE="3g.71gb", GPU_I_ID="2") == 60 * 1024
    assert value(registry, "DCGM_FI_DEV_FB_USED") is None
    assert value(registry, "DCGM_FI_DEV_GPU_UTIL") is None
    assert value(registry, "DCGM_FI_DEV_POWER_USAGE") == pytest.approx(612.345)
    assert value(registry, "DCGM_FI_DEV_POWER_USAGE", **small) is None


def test_only_the_mig_instance_that_cuda_may_use_is_shown(shown):
    registry, _ = shown(Nvml(MIG, Device(uuid="GPU-22222222")), "MIG-bbbb")
    assert {(gpu, instance) for _, gpu, instance in gpu_series(registry)} == {("0", ""), ("0", "2")}


def test_only_gpus_that_cuda_may_use_are_shown(shown):
    registry, _ = shown(Nvml(Device(), Device(uuid="GPU-22222222"), Device(uuid="GPU-33333333")), "2,0")
    assert {gpu for _, gpu, _ in gpu_series(registry)} == {"0", "2"}


@pytest.mark.parametrize(
    ("nvml", "visible"),
    [(Nvml(loaded=False), None), (Nvml(), None), (Nvml(Device()), ""), (None, None)],
    ids=["no driver", "no GPU", "none for CUDA", "no nvidia-ml-py"],
)
def test_without_a_gpu_there_is_no_series_and_no_zero_but_of_the_exporter_itself(shown, nvml, visible):
    registry, exporter = shown(nvml, visible)
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert [(one.name, one.value) for one in samples] == [("batchedllm_engine:gpu_exporter_up", 0)]
    assert exporter.look() == RETRY_SECONDS


def test_a_gpu_that_is_lost_takes_its_series_along_and_brings_them_back(shown, caplog):
    device = Device()
    registry, exporter = shown(Nvml(device))
    device.lost = True
    for _ in range(3):
        assert exporter.look() == RETRY_SECONDS
    assert gpu_series(registry) == set()
    assert up(registry) == 0
    assert [record.getMessage() for record in caplog.records] == [
        "no GPU metrics: NVML: GPU is lost; looking again every 30 s"
    ]
    device.lost = False
    assert exporter.look() == INTERVAL_SECONDS
    assert value(registry, "DCGM_FI_DEV_GPU_UTIL") == 87
    assert up(registry) == 1


def test_among_several_processes_a_lost_gpu_is_no_number(shown, monkeypatch):
    """Their files cannot lose a series; the operator takes what is no number for absent."""
    device = Device()
    registry, exporter = shown(Nvml(device))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    device.lost = True
    exporter.look()
    assert math.isnan(value(registry, "DCGM_FI_DEV_GPU_UTIL"))


def test_the_last_xid_error_stays(shown):
    device, other = Device(), Device(uuid="GPU-22222222")
    nvml = Nvml(device, other)
    registry, exporter = shown(nvml)
    nvml.xids += [(device, 31), (device, 79)]
    exporter.look()
    exporter.look()
    assert value(registry, "DCGM_FI_DEV_XID_ERRORS") == 79
    assert value(registry, "DCGM_FI_DEV_XID_ERRORS", gpu="1", UUID="GPU-22222222") == 0


def test_nvml_is_let_go_when_it_is_given_up(shown):
    device = Device(instances=[Instance("1g.18gb", 7, 3 * GIB, 16 * GIB, "MIG-aaaa")])
    nvml = Nvml(device)
    _, exporter = shown(nvml)
    device.lost = True
    for _ in range(3):
        assert exporter.look() == RETRY_SECONDS
        assert nvml.opened == 0


def test_the_thread_looks_until_it_is_told_to_stop(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(Device()))
    registry = CollectorRegistry()
    stop = exporter_module.start_exporter(registry, logging.getLogger("gpu"))
    (thread,) = [one for one in threading.enumerate() if one.name == "gpu-exporter"]
    assert thread.daemon
    stop.set()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert up(registry) == 1


def test_an_error_of_our_own_ends_the_thread_and_says_so(caplog):
    registry = CollectorRegistry()

    def broken():
        raise TypeError("a bug")

    GpuExporter(GpuGauges(registry), logging.getLogger("gpu"), broken).run(threading.Event())
    assert "the engine goes on without GPU metrics" in caplog.text
    assert up(registry) == 0


def test_what_the_operator_reads_is_among_the_names():
    read = {name for metric in CONTRACT for name in metric.names if name.startswith("DCGM_")}
    assert read == {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_POWER_USAGE"}
    assert read <= {one.name for one in EXPORTER_METRICS}


@pytest.mark.parametrize(
    ("visible", "usable"),
    [
        (None, True), ("0", True), ("1", False), ("1,0", True), ("", False), ("-1", False), ("GPU-1111", True),
        ("GPU-2222", False), ("MIG-aa", True), ("1,-1,0", False), ("nonsense", False), (" 0 ", True),
        ("00", True), ("²", False), ("²,0", False), ("9" * 5000, False),
    ],
)  # fmt: skip
def test_cuda_visible_devices_is_read_as_cuda_reads_it(visible, usable):
    assert is_visible(0, ("GPU-11111111", "MIG-aaaa"), visible) is usable


@given(st.text(max_size=30), st.integers(0, 15))
def test_no_list_of_devices_fails(visible, index):
    assert is_visible(index, ("GPU-x",), visible) in (True, False)


def test_no_driver_is_said_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(loaded=False))
    with pytest.raises(GpusUnreadableError, match="Driver Not Loaded"):
        open_gpus(None)


def test_the_double_has_nvidia_ml_pys_names_and_constants():
    for name, what in vars(Nvml).items():
        if name.startswith("_"):
            continue
        theirs = getattr(pynvml, name)
        if isinstance(what, int):
            assert theirs == what, name
        elif inspect.isfunction(what):
            ours = list(inspect.signature(what).parameters)[1:]
            assert len(ours) == len(inspect.signature(theirs).parameters), name
        else:
            assert issubclass(theirs, pynvml.NVMLError), name
    errors = {name for name in vars(nvml_double) if name.startswith("NVMLError")}
    assert errors <= set(vars(pynvml))


def test_the_reasons_bits_are_nvmls():
    names = {
        "sw_power_cap": "SwPowerCap",
        "hw_slowdown": "HwSlowdown",
        "sync_boost": "SyncBoost",
        "sw_thermal": "SwThermalSlowdown",
        "hw_thermal": "HwThermalSlowdown",
        "hw_power_brake": "HwPowerBrakeSlowdown",
    }
    theirs = {reason: getattr(pynvml, f"nvmlClocksEventReason{name}") for reason, name in names.items()}
    assert theirs == THROTTLE_REASONS


def test_the_command_prints_the_exposition_once_and_says_when_there_is_no_gpu():
    ended = subprocess.run(
        [sys.executable, "-m", "batchedllm_engine", "gpu"],
        env={"PYTHONPATH": str(ENGINE_IMAGE), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    families = {family.name for family in text_string_to_metric_families(ended.stdout)}
    assert families == {one.name for one in EXPORTER_METRICS}
    assert "batchedllm_engine:gpu_exporter_up 0.0" in ended.stdout
    assert ended.stderr.startswith("no GPU metrics: ")
    assert ended.returncode == 1
