"""Commands that use an exported prompt."""
