"""What ``prompt-search init`` sees in a file of labelled rows, and the files that it writes for it."""

from prompt_search.cli.scaffold.study_file import Scaffold, scaffold
from prompt_search.cli.scaffold.target_column import described, proposed_target

__all__ = ["Scaffold", "described", "proposed_target", "scaffold"]
