"""Reads GPUs by NVML (nvidia-ml-py). The only module that calls it for metrics."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from batchedllm_engine.foreign import Foreign, module
from batchedllm_engine.gpu_exporter import definitions
from batchedllm_engine.gpu_exporter.reading import Identity, Reading, is_visible
from batchedllm_engine.metric_definitions import MetricDefinition

_MIB: Final = 1 << 20
_WATTS: Final = 1e-3
"""Of a milliwatt."""
SLOW_EVERY_LOOKS: Final = 10
"""What says little about one second (`_SLOW_READERS`) is asked for at every so many looks: an H200 takes 4 ms of a
processor to tell its energy alone, and the API server's processors are the engine's."""


class GpusUnreadableError(Exception):
    """There is no GPU to read, or no way to."""


_Reader = Callable[[Foreign, Foreign], Foreign]
"""Asks NVML for something of the GPU with this handle."""
_Readers = tuple[tuple[MetricDefinition, _Reader], ...]


@dataclass(slots=True)
class _Device:
    identity: Identity
    handle: Foreign
    is_instance: bool = False
    """A MIG instance: it has memory of its own, and nothing else of its own that NVML tells."""
    has_instances: bool = False
    last_xid: int | None = None
    """None where XID events cannot be had."""
    slow: dict[str, float] = field(default_factory=dict)
    """What was told last of what is not asked for at each look, by metric."""


@dataclass(slots=True)
class Gpus:
    """The GPUs that CUDA lets this process use. Not for several threads."""

    nvml: Foreign
    devices: list[_Device]
    events: Foreign = field(default=None)
    looks: int = 0

    def readings(self) -> list[Reading]:
        """Read every GPU. Raise GpusUnreadableError if one is lost or the driver is gone."""
        self._take_events()
        if self.looks % SLOW_EVERY_LOOKS == 0:
            for device in self.devices:
                device.slow = {} if device.is_instance else self._told(device, _SLOW_READERS)
        self.looks += 1
        return [self._reading(device) for device in self.devices]

    def close(self) -> None:
        """Let NVML go; what fails then is of no interest."""
        try:
            self.nvml.nvmlShutdown()
        except self.nvml.NVMLError:
            return

    def _reading(self, device: _Device) -> Reading:
        values: dict[str, float] = {}
        if not device.has_instances:
            values |= self._memory(device)
        if device.is_instance:
            return Reading(device.identity, values)
        values |= device.slow | self._utilization(device) | self._told(device, _READERS)
        if device.last_xid is not None:
            values[definitions.XID.name] = device.last_xid
        mask = self._ask(device, _clock_events)
        if mask is not None:
            values[definitions.CLOCK_EVENTS.name] = mask
        return Reading(device.identity, values, None if mask is None else int(mask))

    def _told(self, device: _Device, readers: _Readers) -> dict[str, float]:
        """Return what the GPU tells of it."""
        answers = ((definition.name, self._ask(device, read)) for definition, read in readers)
        return {name: value for name, value in answers if value is not None}

    def _utilization(self, device: _Device) -> dict[str, float]:
        rates = self._ask(device, lambda nvml, one: nvml.nvmlDeviceGetUtilizationRates(one))
        if rates is None:
            return {}
        return {definitions.UTILIZATION.name: rates.gpu, definitions.COPY_UTILIZATION.name: rates.memory}

    def _memory(self, device: _Device) -> dict[str, float]:
        """Return used and free memory; version 2 leaves out, as nvidia-smi does, what the driver keeps for itself."""
        memory = self._ask(device, lambda nvml, one: nvml.nvmlDeviceGetMemoryInfo(one, version=nvml.nvmlMemory_v2))
        if memory is None:
            memory = self._ask(device, lambda nvml, one: nvml.nvmlDeviceGetMemoryInfo(one))
        if memory is None:
            return {}
        return {
            definitions.MEMORY_USED.name: memory.used // _MIB,
            definitions.MEMORY_FREE.name: memory.free // _MIB,
        }

    def _ask(self, device: _Device, read: _Reader) -> Foreign:
        """Return the answer, or None where this GPU has none. Raise GpusUnreadableError where it should have one."""
        try:
            return read(self.nvml, device.handle)
        except _no_answer(self.nvml):
            return None
        except self.nvml.NVMLError as error:
            raise GpusUnreadableError(f"NVML: {error}") from error

    def _take_events(self) -> None:
        """Take in the XID errors that have come since the last look."""
        nvml = self.nvml
        while self.events is not None:
            try:
                event = nvml.nvmlEventSetWait_v2(self.events, 0)
                uuid = nvml.nvmlDeviceGetUUID(event.device)
            except nvml.NVMLError_Timeout:
                return
            except nvml.NVMLError as error:
                raise GpusUnreadableError(f"NVML: {error}") from error
            for device in self.devices:
                if device.identity.uuid == uuid and device.last_xid is not None:
                    device.last_xid = int(event.eventData)


def open_gpus(visible: str | None) -> Gpus:
    """Return the GPUs that `visible` (CUDA_VISIBLE_DEVICES) leaves. Raise GpusUnreadableError if there are none."""
    try:
        nvml = module("pynvml")
    except ImportError as error:
        raise GpusUnreadableError("nvidia-ml-py is not installed") from error
    gpus = Gpus(nvml, [])
    try:
        nvml.nvmlInit()
        gpus.devices += [device for device in _devices(nvml) if _is_usable(nvml, device, visible)]
    except nvml.NVMLError as error:
        gpus.close()
        raise GpusUnreadableError(f"NVML: {error}") from error
    if not gpus.devices:
        gpus.close()
        raise GpusUnreadableError(f"no GPU is visible (CUDA_VISIBLE_DEVICES is {visible!r})")
    _register_events(gpus)
    return gpus


def _devices(nvml: Foreign) -> Iterator[_Device]:
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        identity = Identity(index, nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle))
        instances = list(_instances(nvml, handle, identity))
        yield _Device(identity, handle, has_instances=bool(instances))
        yield from instances


def _instances(nvml: Foreign, handle: Foreign, identity: Identity) -> Iterator[_Device]:
    """Yield the MIG instances, under the UUID of their GPU as DCGM has it."""
    try:
        if nvml.nvmlDeviceGetMigMode(handle)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except _no_answer(nvml):
        return
    for place in range(most):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except nvml.NVMLError_NotFound:
            continue
        profile = nvml.nvmlDeviceGetName(instance).partition("MIG ")[2]
        mig_id = str(nvml.nvmlDeviceGetGpuInstanceId(instance))
        yield _Device(
            Identity(identity.index, identity.uuid, identity.product, profile, mig_id), instance, is_instance=True
        )


def _is_usable(nvml: Foreign, device: _Device, visible: str | None) -> bool:
    own = nvml.nvmlDeviceGetUUID(device.handle)
    if device.is_instance:
        return is_visible(device.identity.index, (own, device.identity.uuid), visible)
    instances = tuple(nvml.nvmlDeviceGetUUID(one.handle) for one in _instances(nvml, device.handle, device.identity))
    return is_visible(device.identity.index, (own, *instances), visible)


def _register_events(gpus: Gpus) -> None:
    """Ask to be told of XID errors; a GPU that cannot (some virtual ones) has no such series."""
    nvml = gpus.nvml
    try:
        gpus.events = nvml.nvmlEventSetCreate()
    except nvml.NVMLError:
        return
    for device in gpus.devices:
        if device.is_instance:
            continue
        try:
            nvml.nvmlDeviceRegisterEvents(device.handle, nvml.nvmlEventTypeXidCriticalError, gpus.events)
        except nvml.NVMLError:
            continue
        device.last_xid = 0


def _no_answer(nvml: Foreign) -> tuple[type[Exception], ...]:
    """Return the errors by which NVML says that a GPU or a driver does not have a value."""
    return (
        nvml.NVMLError_NotSupported,
        nvml.NVMLError_FunctionNotFound,
        nvml.NVMLError_NoPermission,
        nvml.NVMLError_InvalidArgument,
    )


def _clock_events(nvml: Foreign, handle: Foreign) -> int:
    """Return the mask by today's name, or where the driver is older (before R535) by that of then."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except nvml.NVMLError_FunctionNotFound:
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _ecc(nvml: Foreign, handle: Foreign, kind: int) -> float:
    return float(nvml.nvmlDeviceGetTotalEccErrors(handle, kind, nvml.NVML_VOLATILE_ECC))


_READERS: _Readers = (
    (definitions.POWER, lambda nvml, handle: nvml.nvmlDeviceGetPowerUsage(handle) * _WATTS),
    (definitions.TEMPERATURE, lambda nvml, handle: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
    (definitions.SM_CLOCK, lambda nvml, handle: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
)
"""What is asked of a GPU at each look, and how."""
_SLOW_READERS: _Readers = (
    (definitions.ENERGY, lambda nvml, handle: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)),
    (definitions.MEMORY_CLOCK, lambda nvml, handle: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
    (
        definitions.CORRECTED_ERRORS,
        lambda nvml, handle: _ecc(nvml, handle, nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
    ),
    (
        definitions.UNCORRECTED_ERRORS,
        lambda nvml, handle: _ecc(nvml, handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    ),
)
"""What is asked for at every `SLOW_EVERY_LOOKS` looks."""
