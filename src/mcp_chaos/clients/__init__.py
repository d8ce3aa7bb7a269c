"""Clients of our own that misbehave, and checks of what a server does about it.

A network fault cuts calls where it meets them. These clients own socket and codec, so they leave at a chosen place of
the message: before its end, after the request, in the middle of the call. They go to the server itself, TLS included.
"""
