"""What `hubbub demo` runs: the notification example, and a view of who received what."""
