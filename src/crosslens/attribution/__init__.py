"""Every technique that measures: functions that return values with named axes."""
