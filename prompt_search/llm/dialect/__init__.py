"""What one model's server takes of a request, learned from what it refuses.

Servers that speak OpenAI's chat completions differ in the parameters, roles and formats that they take.
`refusal_lessons` reads from a refusal what is wrong, in the server's own words, and `answer_lessons` what an answer
says; `Dialect` remembers it, changes later requests accordingly, and knows which requests cannot be changed so that the
server takes them.
"""
