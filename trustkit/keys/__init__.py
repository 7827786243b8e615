"""Keys of people and machines: key files, where passphrases come from, and the store that joins them."""
