"""The one reader of model packages. What a package may hold is a list here; everything else is refused by name.

``examine_model`` reads one model's folder: names and kinds of files (``entries``), config.pbtxt (``config``, ``fields``), which
file may lie where (``model``), and each file's content (``onnx_file``, ``formats``, ``documents``). It raises InvalidArgument
only, whose text names the file, the field and the mend. ``copy_tree`` makes a copy that nobody else changes while it is read.
"""

from inference.examine.config import read_config
from inference.examine.copying import copy_tree
from inference.examine.entries import FILE_NAME
from inference.examine.model import CONFIG, MANIFEST, ExaminedModel, examine_model
from inference.examine.refusal import checked_name

__all__ = [
    "CONFIG",
    "FILE_NAME",
    "MANIFEST",
    "ExaminedModel",
    "checked_name",
    "copy_tree",
    "examine_model",
    "read_config",
]
