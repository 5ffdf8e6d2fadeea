"""The report in words: its sections as Markdown, laid out from the evidence."""
