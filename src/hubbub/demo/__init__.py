"""What `hubbub demo` runs: the notification example, each program a process, and who received what."""
