"""What is in a reply: the JSON of its body, an answer, its usage, and when to ask again."""
