"""What OMP_WAIT_POLICY costs and saves: seconds of a training step, alone and beside a busy process.

Run: python benchmarks/waiting.py
"""

import os
import subprocess
import sys

STEP = """
import time, torch
from tabsyn_core.diffusion import EDMPreconditioning, edm_loss
from tabsyn_core.networks import ResidualDenoiser
torch.set_num_threads(2)
denoiser, random = EDMPreconditioning(ResidualDenoiser(205, 512, 4), 0.5), torch.Generator()
optimizer, batch = torch.optim.AdamW(denoiser.parameters()), torch.randn(256, 205)
start = time.perf_counter()
for _ in range(40):
    loss = edm_loss(denoiser, batch, p_mean=-1.2, p_std=1.4, generator=random)
    optimizer.zero_grad(); loss.backward(); optimizer.step()
print((time.perf_counter() - start) / 40)
"""


def seconds(policy: str) -> float:
    environment = {**os.environ, "OMP_WAIT_POLICY": policy}
    return float(subprocess.check_output([sys.executable, "-c", STEP], env=environment))  # noqa: S603  # our own code


def main() -> None:
    print(f"{'':22}{'ACTIVE':>9}{'PASSIVE':>9}{'ratio':>7}")
    alone = seconds("ACTIVE"), seconds("PASSIVE")
    print(f"{'alone':22}{alone[0]:9.3f}{alone[1]:9.3f}{alone[0] / alone[1]:7.2f}")
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        beside = seconds("ACTIVE"), seconds("PASSIVE")
    finally:
        busy.kill()
    print(f"{'beside a busy process':22}{beside[0]:9.3f}{beside[1]:9.3f}{beside[0] / beside[1]:7.2f}")


if __name__ == "__main__":
    main()
