"""Meta-gradients of hfmeta and of other libraries: compared in double, then timed side by side, then their memory."""
