// Private: no contract asked.
