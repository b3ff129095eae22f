"""The resources of Junctor: models, validation rules, conditions and reasons, and the operator's configuration. No I/O."""
