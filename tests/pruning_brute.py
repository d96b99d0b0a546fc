"""Algorithm 1 and the node rule edge by edge, in loops over numbers: written from the paper's text, sharing no code with hfmeta."""

from __future__ import annotations

import numpy as np


def edge_masks(weights, gamma, keep_first=True, keep_last=True):
    """Weights bottom to top as nested lists [out][in]; gives masks of the weights and of the upper nodes (biases)."""
    layers = len(weights)
    edges, uppers = [None] * layers, [None] * layers
    kept_nodes = {(layers, i) for i in range(len(weights[-1]))}  # (level, node); level k is below layer k
    for k in reversed(range(layers)):
        outs, ins = len(weights[k]), len(weights[k][0])
        whole = (k == 0 and keep_first) or (k == layers - 1 and keep_last)
        kept = set()
        for i in range(outs):
            for j in range(ins):
                if whole or (abs(np.float32(weights[k][i][j])) > np.float32(gamma) and (k + 1, i) in kept_nodes):
                    kept.add((i, j))
        for j in range(ins):
            if any((i, j) in kept for i in range(outs)):
                kept_nodes.add((k, j))
        edges[k] = [[(i, j) in kept for j in range(ins)] for i in range(outs)]
        uppers[k] = [(k + 1, i) in kept_nodes for i in range(outs)]
    return edges, uppers


def node_masks(weights, gamma):
    """The reference code's rule: an outer product of node masks in every layer, nothing kept whole but the outputs."""
    out = [True] * len(weights[-1])
    edges, uppers = [None] * len(weights), [None] * len(weights)
    for k in reversed(range(len(weights))):
        ins = len(weights[k][0])
        below = [
            any(out[i] and abs(np.float32(weights[k][i][j])) > np.float32(gamma) for i in range(len(out)))
            for j in range(ins)
        ]
        edges[k] = [[out[i] and below[j] for j in range(ins)] for i in range(len(out))]
        uppers[k] = out
        out = below
    return edges, uppers
