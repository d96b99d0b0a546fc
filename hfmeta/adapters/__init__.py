"""Everything that knows PEFT; importing registers the PEFT type `PRIVATE_MLP`."""

from hfmeta.adapters.lora import attach_lora
from hfmeta.adapters.names import adapter_names
from hfmeta.adapters.private_mlp import PrivateMlpConfig, attach_private_mlp
from hfmeta.adapters.rank_private import save_rank_private

__all__ = ["PrivateMlpConfig", "adapter_names", "attach_lora", "attach_private_mlp", "save_rank_private"]
