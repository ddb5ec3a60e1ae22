"""How many processes train together, and whether they really do."""

from dataclasses import dataclass

from accelerate import PartialState

from rffd.params import ParamError, require


@dataclass(frozen=True, kw_only=True)
class LaunchParams:
    """What `dvc.yaml` hands to `accelerate launch`."""

    processes: int
    config: str

    def __post_init__(self) -> None:
        require(1 <= self.processes <= 4096, "launch.processes", self.processes, "at least 1")


def check_processes(launch: LaunchParams) -> None:
    """Refuse to train with fewer processes than asked for: on a CPU, Accelerate starts one and says nothing."""
    started = PartialState().num_processes
    if started != launch.processes:
        raise ParamError(
            f"'launch.processes' is {launch.processes} but {started} was started; set it to 1, or, with as many GPUs, "
            "also set 'launch.config' to accelerate-multi-gpu.yaml"
        )
