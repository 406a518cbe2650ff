"""Moving in: another gateway's configuration as one of ours.

    LiteLLM's config.yaml ──▶ Document ──▶ deployments, settings ──▶ hoosh.toml, and a remark for each thing that has no
                                                                     counterpart here or means something else

Pure, but for PyYAML, which the extra `migrate` brings and which is imported where a file is read.
"""

from hoosh.migration.document import Document, NotReadable, read_yaml
from hoosh.migration.litellm import Migrated, migrate_litellm
from hoosh.migration.remarks import Remark, Remarks

__all__ = ["Document", "Migrated", "NotReadable", "Remark", "Remarks", "migrate_litellm", "read_yaml"]
