"""Numbers of a module that the host reads in every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class HostState(nn.Module):
    """Keeps plain numbers and flags in its state dict, as tensors.

    As buffers they would move to a GPU with the module, and each look at one would wait for all that is computed there.
    """

    @property
    def host_state(self) -> tuple[str, ...]:
        """The names of the attributes."""
        return ()

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:  # noqa: FBT001
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({prefix + name: torch.tensor(getattr(self, name)) for name in self.host_state})

    def _load_from_state_dict(  # noqa: PLR0917 - torch's signature
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,  # noqa: FBT001
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        for name in self.host_state:
            kept = state_dict.pop(prefix + name, None)
            if kept is not None:
                setattr(self, name, kept.item())
            elif strict:
                missing_keys.append(prefix + name)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
