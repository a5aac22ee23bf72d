"""Typed configuration: schemas, composition, validation with full keys."""
