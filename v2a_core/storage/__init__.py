"""Files anywhere: local disks, S3 and everything else that fsspec reaches.

Here belongs how bytes get to a place and back, and what is tried again on the way. What the bytes mean does not.
"""

from v2a_core.storage.access import (
    StorageAccess,
    attempt,
    filesystem,
    in_use,
    look,
    look_through,
    reach,
    set_process_default,
)
from v2a_core.storage.files import (
    JSON_BYTES,
    canonical,
    check_there,
    copy_tree,
    create_json,
    download,
    exists,
    is_local,
    join,
    list_files,
    local_copy,
    open_read,
    read_bytes,
    read_json,
    remove,
    upload,
    write_bytes,
    write_json,
    writing,
)
from v2a_core.storage.public import public, public_text

__all__ = [
    "JSON_BYTES",
    "StorageAccess",
    "attempt",
    "canonical",
    "check_there",
    "copy_tree",
    "create_json",
    "download",
    "exists",
    "filesystem",
    "in_use",
    "is_local",
    "join",
    "list_files",
    "local_copy",
    "look",
    "look_through",
    "open_read",
    "public",
    "public_text",
    "reach",
    "read_bytes",
    "read_json",
    "remove",
    "set_process_default",
    "upload",
    "write_bytes",
    "write_json",
    "writing",
]
