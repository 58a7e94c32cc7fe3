"""What a run takes, before anything is spent: the share of proposals, and the words of an estimate."""
