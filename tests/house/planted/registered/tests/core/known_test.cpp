// Registered.
