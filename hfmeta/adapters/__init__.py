"""Everything that knows PEFT: attaching adapters to stock models. Adapting their values is the inner loop's work."""

from hfmeta.adapters.lora import attach_lora

__all__ = ["attach_lora"]
