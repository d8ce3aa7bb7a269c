"""What a person sets: settings, credentials and certificates."""
