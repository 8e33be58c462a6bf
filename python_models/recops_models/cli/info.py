"""``recops info``: versions, hardware and data folders."""

from __future__ import annotations

from recops_models.cli.application import app


@app.command()
def info() -> None:
    """Print versions, instruction set, CUDA, and the data cache.

    Example: `recops info`
    """
    import os
    import platform

    import torch
    from rich.console import Console
    from rich.table import Table

    import recops
    from recops_models.data import NAMED_SETS
    from recops_models.data.cache import cache_folder
    from recops_models.process import wait_settings

    build = recops.build_info()
    kernels = {op for op, backend in build["backends"].items() if backend != "composite"}
    library = (
        f"library for {build['cuda_architectures']}, runtime {build['cuda_runtime']}"
        if build["cuda_runtime"]
        else "no library"
    )
    cuda = f"{library}; kernels for {', '.join(sorted(kernels)) or 'no op'}"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no device"
    ready = [name for name, known in NAMED_SETS.items() if known.available() == "ready"]
    rows = {
        "recops": f"{build['version']} ({build['compiler']}; torch ABI {build['torch_target']})",
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        "idle threads": wait_settings(),
        "python": f"{platform.python_version()} on {platform.machine()}",
        "CPU kernels": recops.cpu_isa(),
        "CUDA": f"{cuda}; {device}",
        "cache": str(cache_folder()),
        "RECOPS_DATA": os.environ.get("RECOPS_DATA") or "not set",
        "data ready": ", ".join(ready) or "none",
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    for label, value in rows.items():
        table.add_row(label, value)
    Console().print(table)
