"""Corpora of photographs in folders: miniImagenet's CSV splits, four fine-grained sets, and folders divided into parts.

All give tables with the columns `image` (read, cropped and resized when a row is asked for) and `label`.
"""

from hfmeta.corpora.images.fine_grained import FINE_GRAINED, load_fine_grained
from hfmeta.corpora.images.folders import load_image_folder
from hfmeta.corpora.images.mini_imagenet import load_mini_imagenet

__all__ = ["FINE_GRAINED", "load_fine_grained", "load_image_folder", "load_mini_imagenet"]
