// The test of the planted header.
