"""Which contenders meet on which workload. What they do: ways.py; what is asked of hfmeta: targets.py."""

from __future__ import annotations

from benchmarks.meta_gradient.ways import Way, absent, hfmeta, higher, learn2learn, torchopt
from benchmarks.meta_gradient.workloads import Workload

LOOPED, RECOMPUTE, FEW_ROWS = "hfmeta, looped", "hfmeta, recompute", "hfmeta, 5 query rows"


def contenders(workload: Workload, steps: int = 1) -> list[Way]:
    """Everybody on this workload whose package is installed, learn2learn first, one gradient after the other.

    hfmeta stands there as a user gets it, with its tasks looped where its own choice is another, and with its steps recomputed where
    memory matters. higher and torchopt have the exact gradient alone and nothing for a frozen base; on large workloads they take one
    inner step, since a step costs them what it costs learn2learn.
    """
    missing = absent()
    found = [learn2learn(), hfmeta()]
    if workload.frozen or not workload.large:
        found.append(hfmeta(LOOPED, evaluator="looped"))
    if workload.name != "B":
        found.append(hfmeta(RECOMPUTE, backward="recompute"))
    if not workload.frozen:
        found += [higher(), torchopt()] if steps == 1 or not workload.large else []
        found += [learn2learn("first_order"), hfmeta(gradient="first_order")]
    if workload.name in ("A", "B", "C2"):
        found += [learn2learn("reptile"), hfmeta(gradient="reptile")]
    if workload.name in ("B", "C2"):
        found.append(hfmeta(FEW_ROWS, "reptile", query_rows=5))
    return [way for way in found if way.needs not in missing]
