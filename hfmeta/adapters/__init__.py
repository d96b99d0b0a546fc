"""Everything that knows PEFT."""

from hfmeta.adapters.lora import attach_lora
from hfmeta.adapters.names import adapter_names

__all__ = ["adapter_names", "attach_lora"]
