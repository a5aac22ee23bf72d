"""The service over HTTP: who may enter, what a body must hold, and what is answered."""
