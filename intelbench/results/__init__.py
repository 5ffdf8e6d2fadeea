"""From records to numbers: runs, cohorts, comparisons, and the tables that reports and exports read."""
