"""The bank of users' private adapters, and the live slot that one of them occupies in a model."""

from hfmeta.adapters.bank.bank import MODES, AdapterBank
from hfmeta.adapters.bank.errors import BankError
from hfmeta.adapters.bank.records import Owner, Record
from hfmeta.adapters.bank.slot import LiveSlot

__all__ = ["MODES", "AdapterBank", "BankError", "LiveSlot", "Owner", "Record"]
