"""Score-based diffusion as EDM writes it: preconditioning, loss and sampler in a file each.

Karras, Aittala, Aila, Laine: Elucidating the Design Space of Diffusion-Based Generative Models, NeurIPS 2022.
The schedule is the linear one of TabSyn (Zhang et al., ICLR 2024): σ(t) = t, s(t) = 1.
"""

from tabsyn_core.diffusion.loss import edm_loss, validation_loss
from tabsyn_core.diffusion.preconditioning import EDMPreconditioning
from tabsyn_core.diffusion.sampler import heun_sampler

__all__ = ["EDMPreconditioning", "edm_loss", "heun_sampler", "validation_loss"]
