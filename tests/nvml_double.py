"""A double of nvidia-ml-py's module `pynvml`, for machines without a GPU.

It has the functions, constants and errors that the exporter and the preflight call, over GPUs that a test describes.
It leaves out all else: the C library and its structs (answers are plain objects), versioned calls but for memory's,
event types but XID errors, compute instances of MIG, threads, and the permissions of containers. That its names and
constants are nvidia-ml-py's own is checked by `tests/unit/engine_image_gpu`; that the values agree with nvidia-smi,
only a real GPU shows: `python -m batchedllm_engine gpu`.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace

GIB = 1 << 30


class NVMLError(Exception):
    """Any of NVML's errors."""


class NVMLError_NotSupported(NVMLError): ...


class NVMLError_FunctionNotFound(NVMLError): ...


class NVMLError_NoPermission(NVMLError): ...


class NVMLError_InvalidArgument(NVMLError): ...


class NVMLError_NotFound(NVMLError): ...


class NVMLError_Timeout(NVMLError): ...


class NVMLError_GpuIsLost(NVMLError): ...


class NVMLError_DriverNotLoaded(NVMLError): ...


@dataclass
class Instance:
    """A MIG instance."""

    profile: str
    instance_id: int
    used: int
    total: int
    uuid: str


@dataclass
class Device:
    """A GPU. `lacks` names the functions that it does not support."""

    uuid: str = "GPU-11111111"
    product: str = "NVIDIA H200"
    used: int = 40 * GIB
    total: int = 140 * GIB
    reserved: int = GIB
    utilization: int = 87
    copy_utilization: int = 41
    milliwatts: int = 612_345
    millijoules: int = 1_000_000
    celsius: int = 61
    sm_mhz: int = 1980
    memory_mhz: int = 3201
    corrected: int = 2
    uncorrected: int = 0
    clock_events: int = 0x4
    capability: tuple[int, int] = (9, 0)
    instances: list[Instance] = field(default_factory=list)
    lacks: frozenset[str] = frozenset()
    lost: bool = False


class Nvml:
    """The module."""

    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    NVML_VOLATILE_ECC = 0
    NVML_MEMORY_ERROR_TYPE_CORRECTED = 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1
    NVML_DEVICE_MIG_ENABLE = 1
    nvmlMemory_v2 = 0x02000028
    nvmlEventTypeXidCriticalError = 8

    NVMLError = NVMLError
    NVMLError_NotSupported = NVMLError_NotSupported
    NVMLError_FunctionNotFound = NVMLError_FunctionNotFound
    NVMLError_NoPermission = NVMLError_NoPermission
    NVMLError_InvalidArgument = NVMLError_InvalidArgument
    NVMLError_NotFound = NVMLError_NotFound
    NVMLError_Timeout = NVMLError_Timeout

    def __init__(self, *devices, driver="580.95.05", cuda=13000, loaded=True):
        self.devices = list(devices)
        self.xids = []
        """Pairs of a GPU and the error that it will report."""
        self.driver, self.cuda, self.loaded = driver, cuda, loaded
        self.opened = 0

    def _needs(self, device, name):
        if getattr(device, "lost", False):
            raise NVMLError_GpuIsLost("GPU is lost")
        if name in getattr(device, "lacks", ()):
            raise NVMLError_NotSupported("Not Supported")

    def nvmlInit(self):
        if not self.loaded:
            raise NVMLError_DriverNotLoaded("Driver Not Loaded")
        self.opened += 1

    def nvmlShutdown(self):
        if self.opened == 0:
            raise NVMLError("Uninitialized")
        self.opened -= 1

    def nvmlSystemGetDriverVersion(self):
        return self.driver

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return self.cuda

    def nvmlDeviceGetCount(self):
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.devices[index]

    def nvmlDeviceGetUUID(self, device):
        return device.uuid

    def nvmlDeviceGetName(self, device):
        if isinstance(device, Instance):
            return f"NVIDIA H200 MIG {device.profile}"
        return device.product

    def nvmlDeviceGetCudaComputeCapability(self, device):
        return device.capability

    def nvmlDeviceGetUtilizationRates(self, device):
        self._needs(device, "nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=device.utilization, memory=device.copy_utilization)

    def nvmlDeviceGetMemoryInfo(self, device, version=None):
        self._needs(device, "nvmlDeviceGetMemoryInfo")
        if isinstance(device, Instance):
            if version is not None:
                raise NVMLError_InvalidArgument("Invalid Argument")
            return SimpleNamespace(used=device.used, free=device.total - device.used, total=device.total)
        free = device.total - device.used - device.reserved
        if version is None:
            return SimpleNamespace(used=device.used + device.reserved, free=free, total=device.total)
        if "memory_v2" in device.lacks:
            raise NVMLError_FunctionNotFound("Function Not Found")
        return SimpleNamespace(used=device.used, free=free, total=device.total, reserved=device.reserved)

    def nvmlDeviceGetPowerUsage(self, device):
        self._needs(device, "nvmlDeviceGetPowerUsage")
        return device.milliwatts

    def nvmlDeviceGetTotalEnergyConsumption(self, device):
        self._needs(device, "nvmlDeviceGetTotalEnergyConsumption")
        return device.millijoules

    def nvmlDeviceGetTemperature(self, device, sensor):
        self._needs(device, "nvmlDeviceGetTemperature")
        return {self.NVML_TEMPERATURE_GPU: device.celsius}[sensor]

    def nvmlDeviceGetClockInfo(self, device, clock):
        self._needs(device, "nvmlDeviceGetClockInfo")
        return {self.NVML_CLOCK_SM: device.sm_mhz, self.NVML_CLOCK_MEM: device.memory_mhz}[clock]

    def nvmlDeviceGetTotalEccErrors(self, device, kind, counter):
        self._needs(device, "nvmlDeviceGetTotalEccErrors")
        assert counter == self.NVML_VOLATILE_ECC
        return {0: device.corrected, 1: device.uncorrected}[kind]

    def nvmlDeviceGetCurrentClocksEventReasons(self, device):
        self._needs(device, "nvmlDeviceGetCurrentClocksEventReasons")
        if "EventReasons" in device.lacks:
            raise NVMLError_FunctionNotFound("Function Not Found")
        return device.clock_events

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, device):
        self._needs(device, "nvmlDeviceGetCurrentClocksThrottleReasons")
        return device.clock_events

    def nvmlDeviceGetMigMode(self, device):
        self._needs(device, "nvmlDeviceGetMigMode")
        return [int(bool(device.instances)), int(bool(device.instances))]

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        del device
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, index):
        if index >= len(device.instances):
            raise NVMLError_NotFound("Not Found")
        return device.instances[index]

    def nvmlDeviceGetGpuInstanceId(self, instance):
        return instance.instance_id

    def nvmlEventSetCreate(self):
        return []

    def nvmlDeviceRegisterEvents(self, device, types, events):
        self._needs(device, "nvmlDeviceRegisterEvents")
        assert types == self.nvmlEventTypeXidCriticalError
        events.append(device)

    def nvmlEventSetWait_v2(self, events, timeout_milliseconds):
        assert timeout_milliseconds == 0, "the sampler never waits for events"
        for place, (device, xid) in enumerate(self.xids):
            if any(device is one for one in events):
                del self.xids[place]
                return SimpleNamespace(device=device, eventData=xid)
        raise NVMLError_Timeout("Timeout")
