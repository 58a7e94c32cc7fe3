"""The template language: choices, spaces, candidates, and the exact prompt that ships."""
