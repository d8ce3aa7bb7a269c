"""A server that speaks over standard input and output, behind a loopback port: its network can be broken too."""
