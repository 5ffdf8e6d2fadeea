"""From records to a report: a pure function of the files, without torch."""
