"""The nouns: addresses, patterns, messages, settings and errors. Imports nothing of hubbub."""
