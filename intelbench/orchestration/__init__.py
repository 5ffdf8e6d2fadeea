"""From a suite to records: plan the runs, isolate each in a process, execute it."""
